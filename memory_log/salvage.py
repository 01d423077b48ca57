"""What can still be read of a damaged log file, as records. Knows our tables' columns, and no SQL that reads them.

Every whole page is read by itself, so that damage to one takes only the rows on it, and not those that SQLite would
have found through it. Nothing is written into the file.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy.dialects import sqlite

from memory_log import tables
from memory_log.errors import BadInput
from memory_log.fields import Record
from memory_log.records import Experience, ExperienceState, Fact
from memory_log.sqlite_pages import PagedFile, Row
from memory_log.words import name_key

_EXPERIENCES: Final = tables.experiences.name
_DIALECT: Final = sqlite.dialect()
_FACT_COLUMNS: Final = tuple(column.name for column in tables.facts.columns)


class Salvaged(Record):
    """What came out of a damaged log.

    Example: Salvaged(num_found=96, num_lost=4)
    """

    num_found: int
    """Experiences that were read, tombstones of forgotten ones included."""
    num_lost: int | None
    """Experiences that once had an id and were not found; None where the highest id cannot be read either."""


def salvage(path: Path, write_line: Callable[[str], None]) -> Salvaged:
    """Read every experience that stands on a whole page of a SQLite log, damaged or not, in the order of ids.

    This process may not have the log open: to read the file as it lies there ends SQLite's locks on it.

    Args:
        path: the file; what its `-wal` has on top is read too. Neither is changed.
        write_line: called with each experience as one line of JSON without a newline, the fields of `Experience`.

    Raises:
        BadInput: the file cannot be read at all.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path} to get anything out of")
    # A temporary database of SQLite's own, on disk when it grows: a log may be larger than the memory.
    with PagedFile(path) as pages, closing(sqlite3.connect("")) as found:
        found.execute("CREATE TABLE experiences (id INTEGER PRIMARY KEY, record TEXT)")
        found.execute("CREATE TABLE facts (experience_id, position, fact TEXT, PRIMARY KEY (experience_id, position))")
        columns = _columns(pages)
        highest: int | None = None
        for row in pages.rows():
            if _is_sequence(row):
                highest = max(highest or 0, int(str(row.values[1])))
            else:
                _keep_fact(found, row)
                _keep_experience(found, row, columns)
        num_found, last = found.execute("SELECT count(*), coalesce(max(id), 0) FROM experiences").fetchone()
        for experience in _joined(found):
            write_line(experience.model_dump_json())
    return Salvaged(num_found=num_found, num_lost=None if highest is None else max(highest, last) - num_found)


def _columns(pages: PagedFile) -> tuple[str, ...]:
    """The columns of the experiences in the file's own order, which depends on the release that made them."""
    for row in pages.rows():
        match row.values:
            case ("table", str(name), _, _, str(sql)) if name == _EXPERIENCES:
                with closing(sqlite3.connect(":memory:")) as empty:
                    try:
                        empty.execute(sql)
                    except sqlite3.Error:
                        continue
                    return tuple(str(column[1]) for column in empty.execute(f"PRAGMA table_info({_EXPERIENCES})"))
    return tuple(column.name for column in tables.experiences.columns)


def _is_sequence(row: Row) -> bool:
    return len(row.values) == 2 and row.values[0] == _EXPERIENCES and isinstance(row.values[1], int)


def _keep_fact(found: sqlite3.Connection, row: Row) -> None:
    if len(row.values) != len(_FACT_COLUMNS):
        return
    values: Mapping[str, Any] = dict(zip(_FACT_COLUMNS, row.values, strict=True))
    subject = values["subject"]
    # What other table has as many columns does not repeat one of them as words.
    if not isinstance(subject, str) or values["subject_words"] != name_key(subject):
        return
    try:
        fact = Fact(subject=subject, relation=values["relation"], value=values["value"])
    except BadInput:
        return
    place = (values["experience_id"], values["position"], fact.model_dump_json())
    found.execute("INSERT OR IGNORE INTO facts VALUES (?, ?, ?)", place)


def _keep_experience(found: sqlite3.Connection, row: Row, columns: Sequence[str]) -> None:
    if not 4 < len(row.values) <= len(columns):
        return
    try:
        experience = Experience(**_fields(row, columns))
    except (BadInput, ValidationError, ValueError, TypeError):  # a row of another table, or one that is damaged
        return
    # A forgotten text never comes back, should an older page still have it.
    verb = "INSERT OR REPLACE" if experience.state is ExperienceState.FORGOTTEN else "INSERT OR IGNORE"
    found.execute(f"{verb} INTO experiences VALUES (?, ?)", (experience.id, experience.model_dump_json()))


def _fields(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    # The id is the row's own number. A row from before a column was added ends earlier.
    values: dict[str, Any] = {**dict(zip(columns, row.values, strict=False)), "id": row.rowid}
    fields = {}
    for name in Experience.model_fields:
        if name in values:
            process = tables.experiences.c[name].type.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
            fields[name] = values[name] if process is None else process(values[name])
    return fields


def _joined(found: sqlite3.Connection) -> Iterator[Experience]:
    for number, record in found.execute("SELECT id, record FROM experiences ORDER BY id"):
        rows = found.execute("SELECT fact FROM facts WHERE experience_id = ? ORDER BY position", (number,))
        facts = tuple(Fact.model_validate_json(row[0]) for row in rows)
        yield Experience.model_validate_json(record).model_copy(update={"facts": facts})
