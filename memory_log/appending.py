"""Appending in few statements: what the other tables' modules do through SQLAlchemy is said to the driver here.

Knows the rows of new experiences, their keys and the bound on what is pending. Refuses to know who waits for whom.
An append is what an agent waits for at each of its steps; the general way took five times as long as the disk.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from memory_log.errors import BadInput, IdempotencyConflict, QueueFull
from memory_log.records import Bound, Experience, ExperienceState, NewExperience
from memory_log.words import name_key, searchable

PENDING, SPILLED = ExperienceState.PENDING.value, ExperienceState.SPILLED.value

COLUMNS = (
    "lineage", "agent", "session", "step", "time", "appended_at", "text", "words", "observation", "action", "reward",
    "metadata", "priority", "surprise", "key", "content_hash", "state",
)  # fmt: skip
FACT_COLUMNS = ("experience_id", "position", "lineage", "subject", "relation", "value", "subject_words")

_STATES = {state.value: state for state in ExperienceState}

_BLANK = Experience(
    id=0, text="-", time=datetime.min.replace(tzinfo=UTC), appended_at=datetime.min.replace(tzinfo=UTC),
    state=ExperienceState.PENDING, learned_in=None, reason=None, attempts=0, not_before=None,
)  # fmt: skip

Key = tuple[str, str]
"""Lineage and idempotency key."""

# Fields that came after the first logs: at their defaults they leave a content's hash as it always was.
_LATER_FIELDS: Mapping[str, object] = {"priority": 0, "surprise": None, "metadata": {}}


class Append(NamedTuple):
    """What one call wants to append, all or nothing."""

    news: Sequence[NewExperience]
    bound: Bound | None


class Stored(NamedTuple):
    """An experience that has a key already."""

    experience_id: int
    content_hash: str | None


class Standing(NamedTuple):
    """What is in the log before an append."""

    stored: Mapping[Key, Stored]
    num_pending: Mapping[str, int]
    """By lineage, counted as far as the largest bound."""
    spilled: frozenset[str]
    """Lineages that have spilled experiences."""


class Fresh(NamedTuple):
    """A new row, in a state."""

    new: NewExperience
    state: str


class KeyTaken(Exception):
    """A key of these rows is in the log already; nothing was stored, and no transaction is open."""


class AppendDriver(Protocol):
    """One database's way to append, in one transaction; `begin` or `insert` starts it, `insert` or `end` ends it."""

    def begin(self, lineages: Sequence[str], keys: Sequence[Key], most_pending: Mapping[str, int]) -> Standing:
        """Take the lineages' turn and look at what is there. Left out where nothing has to be known."""

    def insert(self, fresh: Sequence[Fresh], now: datetime) -> list[int]:
        """Store the rows with their facts and commit. Their ids.

        Raises:
            KeyTaken: only without `begin`, which would have told.
        """

    def end(self) -> None:
        """End a transaction that has nothing to store."""


def append(driver: AppendDriver, calls: Sequence[Append], now: datetime) -> list[list[int | Experience] | Exception]:
    """Store what several calls want, in one transaction.

    Returns:
        For each call, its experiences, or the error of this call alone. An id stands for one that was there already.
    """
    lineages = sorted({new.lineage for call in calls for new in call.news})
    most_pending: dict[str, int] = {}
    for call in calls:
        if call.bound is not None:
            for new in call.news:
                most_pending[new.lineage] = max(most_pending.get(new.lineage, 0), call.bound.most_pending)
    # Nearly every key is a new one: what is there is looked at only where that turns out wrong.
    if not most_pending:
        try:
            return _carry_out(driver, calls, _Plan(Standing({}, {}, frozenset())), now)
        except KeyTaken:
            pass
    keys = list(dict.fromkeys((new.lineage, new.key) for call in calls for new in call.news if new.key is not None))
    plan = _Plan(driver.begin(lineages, keys, most_pending))
    outcomes = _carry_out(driver, calls, plan, now)
    if not plan.fresh:
        driver.end()
    return outcomes


def _carry_out(
    driver: AppendDriver, calls: Sequence[Append], plan: "_Plan", now: datetime
) -> list[list[int | Experience] | Exception]:
    outcomes = [plan.take(call) for call in calls]
    appended = _appended(plan.fresh, driver.insert(plan.fresh, now), now) if plan.fresh else []
    return [
        outcome
        if isinstance(outcome, Exception)
        else [appended[place.fresh] if place.stored is None else place.stored for place in outcome]
        for outcome in outcomes
    ]


class _Place(NamedTuple):
    """Where one item of a call is: stored already under an id, or the index of a fresh row."""

    stored: int | None
    fresh: int


class _Plan:
    """What becomes of each call, given what is there and what earlier calls of the same transaction have taken."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._num_pending = dict(standing.num_pending)
        self._spilled = set(standing.spilled)
        self._place_of: dict[Key, int] = {}
        self.fresh: list[Fresh] = []

    def take(self, call: Append) -> list[_Place] | Exception:
        """The places of a call's items; or why nothing of it is stored."""
        places: list[_Place] = []
        fresh: list[NewExperience] = []
        place_of: dict[Key, int] = {}
        start = len(self.fresh)
        for new in call.news:
            if new.key is not None:
                name = (new.lineage, new.key)
                known = self._standing.stored.get(name)
                twin = place_of.get(name, self._place_of.get(name))
                if known is not None:
                    if not _is_same(new, known.content_hash):
                        return _conflict(new, f"experience {known.experience_id}")
                    places.append(_Place(known.experience_id, -1))
                    continue
                if twin is not None:
                    earlier = self.fresh[twin].new if twin < start else fresh[twin - start]
                    if not _is_same(new, content_hash(earlier)):
                        return _conflict(new, "an earlier item of this call" if twin >= start else "another append")
                    places.append(_Place(None, twin))
                    continue
                place_of[name] = start + len(fresh)
            places.append(_Place(None, start + len(fresh)))
            fresh.append(new)
        states = self._states(fresh, call.bound)
        if isinstance(states, Exception):
            return states
        self.fresh += map(Fresh, fresh, states)
        self._place_of |= place_of
        return places

    def _states(self, fresh: Sequence[NewExperience], bound: Bound | None) -> list[str] | Exception:
        if bound is None:
            return [PENDING] * len(fresh)
        num_pending = dict(self._num_pending)
        spilled = set(self._spilled)
        states = []
        for new in fresh:
            # What spilled earlier comes first: until it is pending, all that follows spills too.
            has_room = num_pending[new.lineage] < bound.most_pending and new.lineage not in spilled
            if not has_room and bound.when_full != "spill":
                return _queue_full(fresh, new.lineage, bound)
            if has_room:
                num_pending[new.lineage] += 1
            else:
                spilled.add(new.lineage)
            states.append(PENDING if has_room else SPILLED)
        self._num_pending, self._spilled = num_pending, spilled
        return states


def _queue_full(fresh: Sequence[NewExperience], lineage: str, bound: Bound) -> Exception:
    count = sum(new.lineage == lineage for new in fresh)
    if count > bound.most_pending:
        return BadInput(
            f"got {count} experiences of lineage {lineage!r} in one call, where at most {bound.most_pending} may be "
            "pending: append fewer at once, allow more, or let them spill"
        )
    return QueueFull(
        f"lineage {lineage!r} has {bound.most_pending} experiences pending, as many as this append allows; nothing was "
        "stored: run an update, wait (`block`), or let it spill"
    )


def _is_same(new: NewExperience, stored_hash: str | None) -> bool:
    # A forgotten experience keeps its key and no hash: a late retry must not bring its text back.
    return stored_hash is None or stored_hash == content_hash(new)


def _conflict(new: NewExperience, owner: str) -> IdempotencyConflict:
    return IdempotencyConflict(
        f"key {new.key!r} in lineage {new.lineage!r} already belongs to {owner} with another content; "
        "repeat that content exactly, or use a new key"
    )


def content_hash(new: NewExperience) -> str:
    """What two appends with one key must have in common."""
    left_out = {"key"}.union(name for name, default in _LATER_FIELDS.items() if getattr(new, name) == default)
    return hashlib.sha256(new.model_dump_json(exclude=left_out).encode()).hexdigest()


def row_of(fresh: Fresh, now: object, time_of: Callable[[datetime], object]) -> tuple[Any, ...]:
    """The values of COLUMNS.

    Args:
        fresh: the row to be.
        now: when it is appended, as the driver takes it.
        time_of: turns a time into what the driver takes.
    """
    new = fresh.new
    return (
        new.lineage, new.agent, new.session, new.step, now if new.time is None else time_of(new.time), now, new.text,
        searchable(new.text), new.observation, new.action, new.reward,
        json.dumps(new.metadata, ensure_ascii=False) if new.metadata else None, new.priority, new.surprise, new.key,
        None if new.key is None else content_hash(new), fresh.state,
    )  # fmt: skip


def fact_rows(fresh: Sequence[Fresh], ids: Sequence[int]) -> list[tuple[Any, ...]]:
    """The values of FACT_COLUMNS for all facts of the rows."""
    return [
        (number, position, one.new.lineage, fact.subject, fact.relation, fact.value, name_key(fact.subject))
        for one, number in zip(fresh, ids, strict=True)
        for position, fact in enumerate(one.new.facts)
    ]


def _appended(fresh: Sequence[Fresh], ids: Sequence[int], now: datetime) -> list[Experience]:
    # Every value was checked when the new experience was made.
    return [
        _BLANK.model_copy(
            update=one.new.__dict__
            | {"id": number, "time": one.new.time or now, "appended_at": now, "state": _STATES[one.state]}
        )
        for one, number in zip(fresh, ids, strict=True)
    ]


def utc_text(time: datetime) -> str:
    """A time as SQLite's columns hold it."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
