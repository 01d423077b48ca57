"""Column types that mean the same in SQLite and PostgreSQL. Knows no table."""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger as _BigInteger
from sqlalchemy import DateTime, Dialect, Integer, Text, TypeDecorator

# SQLite gives ids by itself only to a column declared exactly INTEGER.
BigInteger = _BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware UTC in and out, also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"got the naive time {value}; times are timezone-aware UTC")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Metrics(TypeDecorator[dict[str, float]]):
    """A mapping of figures as JSON text; a diverged update's NaN is a figure too, which JSON columns refuse."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, float] | None, dialect: Dialect) -> str:
        return json.dumps(value or {})

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, float]:
        return {} if value is None else {name: float(figure) for name, figure in json.loads(value).items()}


class JsonObject(TypeDecorator[dict[str, Any]]):
    """A mapping as JSON text, NULL when it is empty."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:
        return json.dumps(value, ensure_ascii=False) if value else None

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any]:
        return {} if value is None else json.loads(value)
