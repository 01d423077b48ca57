"""Experiences on their way into a log from elsewhere, and out of it: page by page, each of them once.

Knows what makes two experiences the same one, and the keys of those that come without. Refuses to know files, displays
and what a line looks like.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Final

from memory_log.errors import IdempotencyConflict
from memory_log.experience_log import ExperienceLog
from memory_log.fields import Record
from memory_log.jsonl import Fault, ReadExperience
from memory_log.listing import Selection
from memory_log.records import Experience, ExperienceState, NewExperience

# One transaction: long enough to be quick, short enough that others who append need not wait.
_AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 4 << 20

# What happened, as against by whom, when and where it was told, and how it is treated.
_NOT_SAID = {"lineage", "agent", "session", "step", "time", "key", "priority", "surprise"}
_SAID: Final = frozenset(NewExperience.model_fields) - _NOT_SAID


class Imported(Record):
    """What became of the lines of a file.

    Example: import_lines(log, read_experiences(lines), source="chat.jsonl", on_fault=print).num_stored
    """

    num_stored: int
    num_there_already: int
    num_faults: int
    stopped_at: Fault | None
    """The line that ended it: what comes before is stored."""


def key_of_exported(source: str, experience_id: int, new: NewExperience) -> str:
    """The key of an experience without one, from a log that is known by `source`."""
    # Two logs that were restored from one back-up go on with the same ids: the content tells their experiences apart.
    time = "" if new.time is None else new.time.isoformat()
    content = hashlib.sha256(f"{time} {new.text}".encode()).hexdigest()[:8]
    return f"import:{source}:{experience_id}:{content}"


def key_of_line(source: str, content: bytes, occurrence: int) -> str:
    """The key of a plain line without one: of the n-th line of a source that has these very bytes."""
    digest = hashlib.sha256(source.encode() + b"\0" + content).hexdigest()[:32]
    return f"import:{digest}:{occurrence}"


def held(log: ExperienceLog, news: Sequence[NewExperience], own_source: str | None) -> list[Experience | None]:
    """What each of them is in the log already, None where it is new. What was forgotten here counts as there.

    Args:
        log: where they may go.
        news: with their keys.
        own_source: the source that the log itself is known by: it has its own experiences under their ids, however many
            logs they have been through.

    Raises:
        IdempotencyConflict: a key names one thing here and another there.
    """
    twin_ids = [_id_in(new.key, own_source) for new in news]
    twins = log.find(number for number in twin_ids if number is not None)
    by_key = log.with_keys([(new.lineage, new.key) for new in news if new.key is not None])
    found: list[Experience | None] = []
    for new, twin_id in zip(news, twin_ids, strict=True):
        twin = twins.get(twin_id or 0)
        if twin is not None and (twin.lineage, twin.time) == (new.lineage, new.time) and _is_the_same(new, twin):
            found.append(twin)
            continue
        owner = None if new.key is None else by_key.get((new.lineage, new.key))
        if owner is not None and not _is_the_same(new, owner):
            raise IdempotencyConflict(
                f"key {new.key!r} names experience {owner.id} here, with another content; give it another key, or "
                "import into another home or lineage"
            )
        found.append(owner)
    return found


def _id_in(key: str | None, source: str | None) -> int | None:
    """The id in a key that `key_of_exported` has made for this source."""
    head = f"import:{source}:"
    number = key.removeprefix(head).split(":")[0] if source and key and key.startswith(head) else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None


def _is_the_same(new: NewExperience, stored: Experience) -> bool:
    if stored.state is ExperienceState.FORGOTTEN:
        return True
    return all(getattr(new, name) == getattr(stored, name) for name in _SAID)


def import_lines(
    log: ExperienceLog,
    items: Iterable[ReadExperience | Fault],
    *,
    source: str,
    own_source: str | None = None,
    lineage: str | None = None,
    on_fault: Callable[[Fault], None] | None = None,
    progress: Callable[[int], None] = lambda num_lines: None,
) -> Imported:
    """Append what was read, some hundred at a time, in order. Doing it again adds nothing, nor after a kill.

    An experience keeps its key. One of an export gets a key from the exporting log and its id there. One of a plain
    file gets a key from `source`, the line's bytes and how often the same line came before it: two equal lines are two
    experiences, lines may be added, moved and mended between two imports, and a line that was changed is a new one.

    Args:
        log: where to.
        items: from `read_experiences`.
        source: what the lines come from, such as the file's name; equal lines of two sources are two experiences.
        own_source: the source that an export of this log itself names.
        lineage: whose memory, whatever the lines say; None believes the lines.
        on_fault: takes each bad line, and the import goes on; None stops at the first.
        progress: called with the number of the last line that is done.
    """
    with closing(_Import(log, source, own_source, lineage, on_fault)) as import_:
        for item in items:
            if not import_.took(item):
                break
            if import_.is_due:
                import_.store()
                progress(item.line_number)
        import_.store()
        return import_.imported()


class _Import:
    """One import under way: what waits to be stored, and the counts."""

    def __init__(
        self,
        log: ExperienceLog,
        source: str,
        own_source: str | None,
        lineage: str | None,
        on_fault: Callable[[Fault], None] | None,
    ) -> None:
        self._log, self._source, self._own_source = log, source, own_source
        self._lineage, self._on_fault = lineage, on_fault
        self._waiting: list[tuple[ReadExperience, NewExperience]] = []
        self._num_bytes = self._num_stored = self._num_there = self._num_faults = 0
        self._stopped_at: Fault | None = None
        self._occurrences = _Occurrences()

    def close(self) -> None:
        self._occurrences.close()

    def imported(self) -> Imported:
        return Imported(
            num_stored=self._num_stored, num_there_already=self._num_there, num_faults=self._num_faults,
            stopped_at=self._stopped_at,
        )  # fmt: skip

    def took(self, item: ReadExperience | Fault) -> bool:
        """Take one line in; False when the import is over."""
        if self._stopped_at is not None:
            return False
        if isinstance(item, Fault):
            self.store()  # what comes before it, in which a fault may be found that comes first
            self._refuse(item)
        else:
            self._waiting.append((item, self._with_key(item)))
            self._num_bytes += len(item.content)
        return self._stopped_at is None

    @property
    def is_due(self) -> bool:
        return len(self._waiting) >= _AT_ONCE or self._num_bytes >= _BYTES_AT_ONCE

    def _refuse(self, fault: Fault) -> None:
        if self._stopped_at is not None:
            return
        self._num_faults += 1
        if self._on_fault is None:
            self._stopped_at = fault
        else:
            self._on_fault(fault)

    def _with_key(self, item: ReadExperience) -> NewExperience:
        new = item.experience
        if self._lineage is not None:
            new = new.model_copy(update={"lineage": self._lineage})
        if new.key is not None:
            return new
        if item.source is not None and item.logged_id is not None:
            key = key_of_exported(item.source, item.logged_id, new)
        else:
            key = key_of_line(self._source, item.content, self._occurrences.count(item.content))
        return new.model_copy(update={"key": key})

    def store(self) -> None:
        """Append what waits and is new, in one transaction."""
        waiting, self._waiting, self._num_bytes = self._waiting, [], 0
        try:
            self._append([new for _, new in waiting])
        except IdempotencyConflict:
            for item, new in waiting:  # one at a time, to find which line it is
                self._append_or_refuse(item, new)
                if self._stopped_at is not None:
                    return

    def _append(self, news: Sequence[NewExperience]) -> None:
        there = held(self._log, news, self._own_source)
        fresh = [new for new, stored in zip(news, there, strict=True) if stored is None]
        num_stored = len({stored.id for stored in self._log.append_many(fresh)})
        self._num_stored += num_stored
        self._num_there += len(news) - num_stored

    def _append_or_refuse(self, item: ReadExperience, new: NewExperience) -> None:
        try:
            self._append([new])
        except IdempotencyConflict as exc:
            self._refuse(Fault(line_number=item.line_number, content=item.content, reason=str(exc)))


class _Occurrences:
    """How often each line has come. On disk beyond a few MiB, in a file that SQLite deletes by itself."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA cache_size = -8192",
            "PRAGMA synchronous = OFF",
            "PRAGMA journal_mode = OFF",
            "CREATE TABLE lines (digest BLOB PRIMARY KEY, num INTEGER NOT NULL) WITHOUT ROWID",
        ):
            self._database.execute(statement)

    def close(self) -> None:
        self._database.close()

    def count(self, content: bytes) -> int:
        """How often this line has come, this time included."""
        row = self._database.execute(
            "INSERT INTO lines VALUES (?, 1) ON CONFLICT (digest) DO UPDATE SET num = num + 1 RETURNING num",
            (hashlib.sha256(content).digest()[:16],),
        ).fetchone()
        number: int = row[0]
        return number


def exported(
    log: ExperienceLog, selections: Iterable[Selection], *, progress: Callable[[int], None] = lambda num_done: None
) -> Iterator[Experience]:
    """Everything selected but tombstones, by lineage and id, one short reading transaction for each page.

    What is appended or forgotten meanwhile may or may not be among it.

    Args:
        log: where from.
        selections: one for each lineage.
        progress: called with the number of those handed out.
    """
    num_done = 0
    for selection in selections:
        page = log.page(selection, limit=_AT_ONCE)
        while page:
            for experience in page:
                if experience.state is not ExperienceState.FORGOTTEN:
                    yield experience
                    num_done += 1
            progress(num_done)
            page = log.page(selection, after_id=page[-1].id, limit=_AT_ONCE)
