"""The producers' side of the log: experiences go in, are found again, and are forgotten.

Knows which module does what and when a transaction begins. Refuses to know updates and versions.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from memory_log import experiences, forgetting, targets
from memory_log.clock import Clock, utc_now
from memory_log.database import Database
from memory_log.records import Experience, ExperienceState, NewExperience


class ExperienceLog:
    """What is told, of any number of lineages. Every public method is one transaction, durable when it returns.

    Args:
        url: `sqlite:///path` for one machine, `postgresql://...` for many.
        clock: gives the current time in UTC.
        is_readonly: a SQLite log that is only read, from a place that cannot be written.

    Example:
        with ExperienceLog("sqlite:///home/log.db") as log:
            log.append(NewExperience(text="I put the red mug in the kitchen drawer."))
    """

    def __init__(self, url: str, *, clock: Clock = utc_now, is_readonly: bool = False) -> None:
        self._database = Database(url, is_readonly=is_readonly)
        self._clock = clock

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, new: NewExperience) -> Experience:
        """Store one experience: on disk when this returns. Its key given again gives the stored one.

        Raises:
            IdempotencyConflict: the key belongs to another content.
        """
        return self.append_many([new])[0]

    def append_many(self, news: Sequence[NewExperience]) -> list[Experience]:
        """Store several experiences at once, all or none, much faster than one by one."""
        with self._database.writing() as tx:
            return experiences.append_many(tx, news, self._clock())

    def get(self, experience_id: int) -> Experience:
        """The experience as it stands. Raises `UnknownExperience`."""
        with self._database.reading() as tx:
            return experiences.by_ids(tx, [experience_id])[0]

    def experiences(
        self, lineage: str, *, state: ExperienceState | None = None, after_id: int = 0, limit: int = 100
    ) -> list[Experience]:
        """A page of a lineage's experiences by id; pass the last id as `after_id` for the next page."""
        with self._database.reading() as tx:
            return experiences.listed(tx, lineage, state, after_id, limit)

    def count_by_state(self, lineage: str) -> dict[ExperienceState, int]:
        """How many experiences of the lineage are in each state, 0 included."""
        with self._database.reading() as tx:
            return experiences.count_by_state(tx, lineage)

    def experiences_mentioning(self, lineage: str, words: Sequence[str], *, limit: int) -> list[Experience]:
        """The newest experiences whose text holds all these words or phrases, whole and in any case, newest first."""
        with self._database.reading() as tx:
            return experiences.mentioning(tx, lineage, words, limit)

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
            return forgetting.forget(tx, experience_id)
