"""Statements compiled once and handed to the driver: what an update says to the log at each of its steps.

Knows SQLAlchemy's compiler and the drivers' cursors. Refuses to know tables. The general way costs several times what
SQLite takes to run such a statement; both may be used in one transaction.
"""

import json
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Dialect,
    SelectBase,
    Text,
    TypeDecorator,
    UpdateBase,
    bindparam,
    literal_column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType, TypeEngine

Processor = Callable[[Any], Any]

PreparedRow: TypeAlias = Any
"""One row of a result, with its columns as attributes."""


class _Compiled(NamedTuple):
    """A statement as one database takes it, and what its values and rows go through on the way."""

    text: str
    names: Sequence[str] | None
    """Of the values by place; None where the driver takes them by name."""
    constants: Mapping[str, Any]
    before: Mapping[str, Processor]
    after: Sequence[Processor | None]
    row: Callable[..., Any] | None
    """Makes a row of a result; None where there is none."""


class Prepared:
    """A statement that is run often, with other values each time.

    Args:
        statement: of SQLAlchemy's core, without lists of values (see `among`).
        columns: of an INSERT, the columns that values are given for.

    Example: Prepared(select(batches).where(batches.c.id == bindparam("batch"))).one_or_none(connection, batch=3)
    """

    def __init__(self, statement: SelectBase | UpdateBase, *, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: Connection, **values: object) -> list[PreparedRow]:
        """Run it; the rows, with the columns as attributes."""
        compiled = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect)
        given: dict[str, Any] = {**compiled.constants, **values}
        for name, before in compiled.before.items():
            given[name] = before(given[name])
        cursor = connection.connection.cursor()
        try:
            cursor.execute(compiled.text, given if compiled.names is None else [given[name] for name in compiled.names])
            if compiled.row is None:
                return []
            return [
                compiled.row(*(after(one) if after else one for one, after in zip(row, compiled.after, strict=True)))
                for row in cursor.fetchall()
            ]
        finally:
            cursor.close()

    def one(self, connection: Connection, **values: object) -> PreparedRow:
        """Run it; its one row."""
        (found,) = self.rows(connection, **values)
        return found

    def one_or_none(self, connection: Connection, **values: object) -> PreparedRow | None:
        """Run it; the one row, None without one."""
        found = self.rows(connection, **values)
        assert len(found) <= 1
        return found[0] if found else None

    def _compile(self, dialect: Dialect) -> _Compiled:
        made = self._statement.compile(dialect=dialect, column_keys=self._columns)
        shown = list(self._statement.exported_columns)
        found = _Compiled(
            text=str(made),
            names=made.positiontup,
            constants=made.params,
            before={
                name: before
                for name in made.params
                if (before := _of(made.binds[name].type, dialect).bind_processor(dialect)) is not None
            },
            after=[_of(column.type, dialect).result_processor(dialect, None) for column in shown],
            row=namedtuple("Row", [column.name for column in shown]) if shown else None,
        )
        self._compiled[dialect.name] = found
        return found


def _of(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)


class _Ids(TypeDecorator[Sequence[int]]):
    """Any number of ids as one value: an array, or JSON text."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(BigInteger) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:  # noqa: ANN401
        return list(value or ()) if dialect.name == "postgresql" else json.dumps(list(value or ()))


def literally(value: str) -> ColumnElement[str]:
    """A value that stands in the statement itself: a partial index is of use only where its own words are met."""
    return literal_column(f"'{value}'", Text)


class _Among(ColumnElement[Any]):
    """A column whose value is one of the ids."""

    inherit_cache = False
    type = NullType()  # as a Boolean it would be compared with 1 in SQLite, and no index be used

    def __init__(self, column: ColumnElement[int], name: str) -> None:
        self.column, self.ids = column, bindparam(name, type_=_Ids)


@compiles(_Among, "sqlite")
def _among_in_sqlite(element: _Among, compiler: SQLCompiler, **how: Any) -> str:  # noqa: ANN401
    column, ids = compiler.process(element.column, **how), compiler.process(element.ids, **how)
    return f"{column} IN (SELECT value FROM json_each({ids}))"


@compiles(_Among, "postgresql")
def _among_in_postgresql(element: _Among, compiler: SQLCompiler, **how: Any) -> str:  # noqa: ANN401
    column, ids = compiler.process(element.column, **how), compiler.process(element.ids, **how)
    return f"{column} = ANY ({ids})"


def among(column: ColumnElement[int], name: str) -> ColumnElement[Any]:
    """Whether the column is one of the ids that are given under a name, however many, as one value."""
    return _Among(column, name)
