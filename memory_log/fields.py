"""What a field of a record may hold, checked when a record is made. Knows sizes and types, and no record.

What does not fit raises `BadInput` with a sentence that says what to change.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    ValidationError,
)

from memory_log.errors import BadInput

MAX_TEXT_BYTES = 16384
MAX_NAME_BYTES = 256
MAX_METADATA_BYTES = 4096
MAX_FACTS = 64
MAX_INTEGER = 2**63 - 1
MAX_PRIORITY = 1_000_000


def _storable(text: str, limit_bytes: int) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which text columns cannot store; remove it")
    try:
        num_bytes = len(text.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise ValueError("is not UTF-8 text (it holds undecodable bytes); convert it to UTF-8") from exc
    if num_bytes > limit_bytes:
        raise ValueError(f"has {num_bytes} bytes of UTF-8, the limit is {limit_bytes}; split it into several")
    return text


def _long(text: str) -> str:
    return _storable(text, MAX_TEXT_BYTES)


def _short(text: str) -> str:
    return _storable(text, MAX_NAME_BYTES)


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; give it at least one word")
    return text


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


def _bounded(metadata: dict[str, object]) -> dict[str, object]:
    num_bytes = len(json.dumps(metadata, ensure_ascii=False).encode("utf-8"))
    if num_bytes > MAX_METADATA_BYTES:
        raise ValueError(f"has {num_bytes} bytes as JSON, the limit is {MAX_METADATA_BYTES}; keep a few short values")
    return metadata


OptionalText = Annotated[str, AfterValidator(_long)]
Text = Annotated[OptionalText, AfterValidator(_filled)]
Name = Annotated[str, AfterValidator(_short), AfterValidator(_filled)]
UtcTime = Annotated[AwareDatetime, AfterValidator(_utc)]
Integer = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
_WholeNumber = Annotated[StrictInt, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Metadata = Annotated[dict[Name, StrictBool | _WholeNumber | FiniteFloat | OptionalText], AfterValidator(_bounded)]


class Record(BaseModel):
    """Frozen, and without room for a misspelt field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputRecord(Record):
    """A record that users and workers make themselves: what does not fit raises `BadInput`, in one readable line."""

    if not TYPE_CHECKING:  # a signature here would hide the fields from the type checker

        def __init__(self, **fields: object) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as exc:
                raise BadInput(_readable(type(self).__name__, exc)) from None


def _readable(record: str, exc: ValidationError) -> str:
    lines = []
    for error in exc.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in error["loc"]) or record
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "string_unicode":
            message = "is not UTF-8 text (it holds undecodable bytes); convert it to UTF-8"
        lines.append(f"{name} {message[0].lower()}{message[1:]}")
    return f"{record} not accepted: " + "; ".join(lines)
