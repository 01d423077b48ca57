"""A conversation learned day by day: what was said on a day is taken in, and learned, before the next day begins.

Knows days, and that nothing of a day may wait. Refuses to know files, displays and how an update is computed.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from agent.sessions.locomo import Question
from agent.sessions.questions import store_questions
from memory_log.clock import Clock, utc_now
from memory_log.errors import BadInput, NothingPending, UpdateRejected
from memory_log.fields import Record
from memory_log.jsonl import Fault, ReadExperience
from memory_log.listing import Selection
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState
from memory_log.transfer import import_lines
from updater.report import Progress, silent

if TYPE_CHECKING:  # loading torch takes seconds
    from agent.memory import AgentMemory

WAITING = (ExperienceState.PENDING, ExperienceState.SPILLED, ExperienceState.LEASED)
_AT_ONCE = 500


class Day(NamedTuple):
    """What one lineage lived through on one day, UTC, in the order of its times."""

    lineage: str
    date: date
    items: tuple[ReadExperience, ...]


class DayLearned(Record):
    """How a day stands in the log once it has been lived through.

    `num_experiences` are all of the lineage that were lived on that day, and `version` is the last that learned any of
    them; None where all were refused.

    Example: DayLearned(lineage="default", date=date(2026, 3, 2), num_experiences=2, num_learned=2, num_refused=0,
        version=1)
    """

    lineage: str
    date: date
    num_experiences: int
    num_learned: int
    num_refused: int
    """Refused by gate or filter, or set aside because updates died of them."""
    version: int | None


def days_of(
    items: Iterable[ReadExperience | Fault], *, lineage: str | None = None, until: datetime | None = None
) -> list[Day]:
    """Everything that was read, by lineage and day, the days of a lineage in order.

    Args:
        items: from any reader.
        lineage: whose memory, whatever the file says; None believes the file.
        until: leaves out what was lived then or later.

    Raises:
        BadInput: a line is bad, or does not say when it was lived.
    """
    found: dict[tuple[str, date], list[tuple[datetime, ReadExperience]]] = {}
    for item in items:
        if isinstance(item, Fault):
            raise BadInput(f"line {item.line_number}: {item.reason}")
        moment = item.experience.time
        if moment is None:
            raise BadInput(f"line {item.line_number} has no time, without which nobody knows its day; give it a time")
        if until is None or moment < until:
            found.setdefault((lineage or item.experience.lineage, moment.date()), []).append((moment, item))
    return [
        Day(name, day, tuple(item for _, item in sorted(lived, key=lambda one: one[0])))
        for (name, day), lived in sorted(found.items(), key=lambda one: one[0])
    ]


def live_through(
    memory: "AgentMemory",
    day: Day,
    *,
    source: str,
    own_source: str | None = None,
    questions: Sequence[Question] = (),
    limit: int | None = None,
    progress: Progress = silent,
    clock: Clock = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> DayLearned:
    """Take a day in and update until nothing is pending. Doing it again adds and learns nothing.

    What was put off, because updates died of it, is waited for.

    Args:
        memory: of the day's lineage.
        day: from `days_of`.
        source, own_source: as for `import_lines`.
        questions: about the whole conversation; those that this day makes possible are stored as probes.
        limit: most experiences of an update.
        progress: called with (stage, done, total).
        clock, sleep: the time of day, and waiting for so many seconds.

    Raises:
        UpdateRejected: an update came to nothing, and would again.
        NothingPending: somebody else has taken what waits.
        BadInput, IdempotencyConflict: as for `import_lines`.
        LineageBusy, UpdatesPaused, FilterFailed: see `Updater.update`.
    """
    log = memory.log
    imported = import_lines(log, day.items, source=source, own_source=own_source, lineage=day.lineage)
    if imported.stopped_at is not None:
        raise BadInput(f"{day.date}, line {imported.stopped_at.line_number}: {imported.stopped_at.reason}")
    store_questions(log, day.lineage, questions)
    while num_waiting := sum(log.count_by_state(day.lineage)[state] for state in WAITING):
        try:
            report = memory.update(limit=limit, progress=progress)
        except NothingPending:
            due = log.next_due(day.lineage)
            if due is None:
                raise NothingPending(f"{day.date}: somebody else updates {num_waiting} experiences") from None
            progress("waiting for what was put off", 0, 1)
            sleep(max(0.0, (due - clock()).total_seconds()))
            continue
        if report.leaves_all_waiting:
            raise UpdateRejected(f"{day.date}: an update came to nothing ({report.reason}); its experiences wait")
    return _stands(log, day)


def _stands(log: MemoryLog, day: Day) -> DayLearned:
    lived = list(_lived_on(log, day))
    states = [one.state for one in lived]
    learned_in = [one.learned_in for one in lived if one.learned_in is not None]
    return DayLearned(
        lineage=day.lineage, date=day.date, num_experiences=len(lived),
        num_learned=states.count(ExperienceState.LEARNED),
        num_refused=states.count(ExperienceState.REFUSED) + states.count(ExperienceState.DEAD),
        version=max(learned_in, default=None),
    )  # fmt: skip


def _lived_on(log: MemoryLog, day: Day) -> Iterator[Experience]:
    begin = datetime(day.date.year, day.date.month, day.date.day, tzinfo=UTC)
    selection = Selection(lineage=day.lineage, since=begin, until=begin + timedelta(days=1))
    page = log.page(selection, limit=_AT_ONCE)
    while page:
        yield from page
        page = log.page(selection, after_id=page[-1].id, limit=_AT_ONCE)
