"""The producers' side of the log: experiences go in, are found again, and are forgotten.

Knows which module does what and when a transaction begins. Refuses to know updates and versions.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime

from memory_log import claims, experiences, forgetting, listing, requeueing, targets
from memory_log.append_drivers import PostgresqlAppend, SqliteAppend
from memory_log.appending import Append, append
from memory_log.bells import Bell, ring_after, wait_for_any
from memory_log.clock import Clock, utc_now
from memory_log.closing import Closing
from memory_log.database import Database
from memory_log.engines import Durability
from memory_log.errors import QueueFull
from memory_log.fields import MAX_INTEGER
from memory_log.group_commit import GroupCommit
from memory_log.listing import Selection
from memory_log.records import Bound, Experience, ExperienceState, NewExperience
from memory_log.search import parse

# However often they ring, bells may be missed: a writer that waits for room looks this often besides.
_LOOK_SECONDS = 1.0


class ExperienceLog(Closing):
    """What is told, of any number of lineages. Every public method is one transaction, durable when it returns.

    Args:
        url: `sqlite:///path` for one machine, `postgresql://...` for many.
        clock: gives the current time in UTC.
        is_readonly: a SQLite log that is only read, from a place that cannot be written.
        durability: `full` survives a power loss; `fast` is faster and may lose the last moments then, see `Database`.

    Example:
        with ExperienceLog("sqlite:///home/log.db") as log:
            log.append(NewExperience(text="I put the red mug in the kitchen drawer."))
    """

    def __init__(
        self, url: str, *, clock: Clock = utc_now, is_readonly: bool = False, durability: Durability = "full"
    ) -> None:
        self._database = Database(url, is_readonly=is_readonly, durability=durability)
        self._clock = clock
        self._appends = GroupCommit(self._append_group)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def append(self, new: NewExperience, *, bound: Bound | None = None) -> Experience:
        """Store one experience: on disk when this returns. Its key given again gives the stored one.

        Raises:
            IdempotencyConflict: the key belongs to another content.
            QueueFull: see `Bound`.
        """
        return self.append_many([new], bound=bound)[0]

    def append_many(self, news: Sequence[NewExperience], *, bound: Bound | None = None) -> list[Experience]:
        """Store several experiences at once, all or none, much faster than one by one.

        Appends of several threads share a transaction, and each gets its own verdict.

        Args:
            news: in the order in which they were lived.
            bound: how many may be pending, and what to do about more; None bounds nothing.

        Raises:
            IdempotencyConflict, QueueFull: nothing of this call was stored.
            LogUnavailable, LogBusy, DiskFull: nothing was stored; do it again.
            OutcomeUnknown: do it again with the same keys.
        """
        if not news:
            return []
        found = self._append_when_there_is_room(Append(news, bound))
        known = [one for one in found if isinstance(one, int)]
        if known:
            with self._database.reading() as tx:
                by_id = {one.id: one for one in experiences.by_ids(tx, known)}
        return [by_id[one] if isinstance(one, int) else one for one in found]

    def _append_when_there_is_room(self, call: Append) -> list[int | Experience]:
        bound = call.bound
        if bound is None or bound.when_full != "block":
            return self._appends.submit(call)
        give_up_at = time.monotonic() + bound.timeout_seconds
        with ExitStack() as hung:
            bells: list[Bell] = []
            while True:
                try:
                    return self._appends.submit(call)
                except QueueFull:
                    left = give_up_at - time.monotonic()
                    if left <= 0:
                        raise
                if bells:
                    wait_for_any(bells, min(left, _LOOK_SECONDS))
                else:  # what happens between hanging them and the next look rings them
                    bells = [hung.enter_context(self.bell(name)) for name in sorted({new.lineage for new in call.news})]

    def _append_group(self, calls: Sequence[Append]) -> list[list[int | Experience] | Exception]:
        with self._database.driver() as transaction:
            driver = (SqliteAppend if self._database.is_sqlite else PostgresqlAppend)(transaction)
            outcomes = append(driver, calls, self._clock())
            if transaction.is_heard:
                self._database.ring(_lineages_told(outcomes), transaction.connection)
            return outcomes

    def get(self, experience_id: int) -> Experience:
        """The experience as it stands. Raises `UnknownExperience`."""
        with self._database.reading() as tx:
            return experiences.by_ids(tx, [experience_id])[0]

    def experiences(
        self, lineage: str, *, state: ExperienceState | None = None, after_id: int = 0, limit: int = 100
    ) -> list[Experience]:
        """A page of a lineage's experiences by id; pass the last id as `after_id` for the next page."""
        return self.page(Selection(lineage=lineage, state=state), after_id=after_id, limit=limit)

    def page(self, selection: Selection, *, after_id: int = 0, limit: int = 100) -> list[Experience]:
        """A page of the selected experiences by id; pass the last id as `after_id` for the next page."""
        with self._database.reading() as tx:
            return listing.page(tx, selection, after_id, limit)

    def newest(self, selection: Selection, *, before_id: int | None = None, limit: int = 100) -> list[Experience]:
        """The last of the selected experiences, the newest first, whose ids are below `before_id`."""
        with self._database.reading() as tx:
            return listing.newest(tx, selection, before_id, limit)

    def find(self, ids: Iterable[int]) -> dict[int, Experience]:
        """Those of the experiences that are there, by id."""
        with self._database.reading() as tx:
            return experiences.find(tx, ids)

    def with_keys(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Experience]:
        """Those of the experiences that are there, by (lineage, key)."""
        with self._database.reading() as tx:
            return listing.with_keys(tx, names)

    def latest_time(self, lineage: str) -> datetime | None:
        """When the latest experience of the lineage was lived; None where there is none."""
        with self._database.reading() as tx:
            return listing.latest_time(tx, lineage)

    def count_by_state(self, lineage: str) -> dict[ExperienceState, int]:
        """How many experiences of the lineage are in each state, 0 included."""
        with self._database.reading() as tx:
            return experiences.count_by_state(tx, lineage)

    def experiences_mentioning(self, lineage: str, words: Sequence[str], *, limit: int) -> list[Experience]:
        """The newest experiences whose text holds all these words or phrases, whole and in any case, newest first."""
        with self._database.reading() as tx:
            return experiences.mentioning(tx, lineage, words, limit)

    def search(self, lineage: str, query: str, *, limit: int = 20, before_id: int = MAX_INTEGER) -> list[Experience]:
        """The newest experiences whose text has all that is asked for, newest first.

        Args:
            query: words in any case, "quoted phrases", beginnings of words with a star: `mug "kitchen drawer" gara*`.
            limit: at most so many; pass the last id as `before_id` for the next page.

        Raises:
            BadInput: there is no word in the query, or there are more than 32 terms.
        """
        terms = parse(query)
        with self._database.reading() as tx:
            return experiences.matching(tx, lineage, terms, before_id, limit)

    def knows_subject(self, lineage: str, subject: str) -> bool:
        """Whether a fact, a live target (near misses apart) or a text with all of the subject's words is about it."""
        with self._database.reading() as tx:
            return (
                experiences.has_fact_about(tx, lineage, subject)
                or targets.knows(tx, lineage, subject)
                or bool(experiences.mentioning(tx, lineage, subject.split(), 1))
            )

    def forget(self, experience_id: int) -> Experience:
        """Leave a tombstone: text, facts, targets and probes go at once, whatever the experience's state.

        If an update is learning it, that batch is abandoned, its worker gets `LeaseLost`, and the others wait again.
        A version that has learned it keeps what it learned; `learned_in` still names it.
        """
        with self._database.writing() as tx:
            tombstone = forgetting.forget(tx, experience_id, self._clock())
            ring_after(tx, tombstone.lineage)
            return tombstone

    def requeue(self, experience_ids: Sequence[int]) -> list[Experience]:
        """Let experiences that were refused, died or are put off be pending at once, with no attempts counted.

        Raises:
            UnknownExperience: one of them does not exist; nothing was changed.
            BadInput: one is learned, forgotten or in an update; nothing was changed.
        """
        with self._database.writing() as tx:
            found = requeueing.requeue(tx, experience_ids, self._clock())
            ring_after(tx, *{one.lineage for one in found})
            return found

    def num_waiting(self, lineage: str, *, at_most: int) -> int:
        """How many experiences an update could claim now, counted as far as `at_most`, however long the log is."""
        with self._database.reading() as tx:
            return claims.num_waiting(tx, lineage, at_most, self._clock())

    def next_due(self, lineage: str) -> datetime | None:
        """When the first of the experiences that are put off can be claimed, None without any.

        It takes longer the more there are pending; ask when few are.
        """
        with self._database.reading() as tx:
            return claims.next_due(tx, lineage)

    def bell(self, lineage: str) -> Bell:
        """A bell that rings when the lineage's queue may have changed, by any process: told, freed, ended, resumed."""
        return self._database.bell(lineage)

    def lineages(self) -> list[str]:
        """The names of all lineages that have experiences or versions."""
        with self._database.reading() as tx:
            return experiences.lineages(tx)


def _lineages_told(outcomes: Sequence[list[int | Experience] | Exception]) -> set[str]:
    """Those that got something new: what was refused, or there already, changes no queue."""
    lists = [outcome for outcome in outcomes if isinstance(outcome, list)]
    return {one.lineage for found in lists for one in found if isinstance(one, Experience)}
