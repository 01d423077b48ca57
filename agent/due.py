"""When a lineage is due for an update: enough wait, they have waited long enough, or they are surprising enough.

Knows: what waits in the log, and clocks. Refuses to know: updates, models, bells.
"""

import math
import time
from collections.abc import Callable
from datetime import datetime

from pydantic import Field

from memory_log.clock import Clock, utc_now
from memory_log.fields import InputRecord
from memory_log.log import MemoryLog
from memory_log.records import ClaimOrder


class Schedule(InputRecord):
    """When a worker wakes, and what it learns first.

    Example: Schedule(batch_size=8, max_wait_seconds=30, surprise_nats=6.0, order="surprise")
    """

    batch_size: int = Field(
        ge=1, description="Wakes when so many experiences wait, and learns at most as many at once."
    )
    max_wait_seconds: float = Field(ge=0, description="Wakes for fewer when they have waited for so many seconds.")
    surprise_nats: float | None = Field(
        default=None,
        gt=0,
        description="Wakes for fewer when the summed surprise (nats a token) of a batch reaches this. None: never.",
    )
    order: ClaimOrder = Field(
        default="oldest", description="Which come first: the oldest, by priority, or the most surprising."
    )

    @property
    def needs_surprise(self) -> bool:
        """Whether the surprise of what waits has to be measured."""
        return self.surprise_nats is not None or self.order == "surprise"


class Due:
    """Whether it is time for an update of a lineage, and when looking again is worth it.

    Args:
        log: what waits.
        lineage: whose memory.
        schedule: when it wakes.
        clock, monotonic: the time of day, and seconds for measuring spans.
    """

    def __init__(
        self, log: MemoryLog, lineage: str, schedule: Schedule, *,
        clock: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._log, self._lineage, self._schedule = log, lineage, schedule
        self._clock, self._monotonic = clock, monotonic
        self._waiting_since: float | None = None
        self._seconds_to_due = math.inf

    def is_now(self) -> bool:
        """Whether it is time, by count, by time or by surprise."""
        num_waiting = self._num_waiting()
        if num_waiting == 0:
            self._waiting_since = None
            return False
        now = self._monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        if num_waiting >= self._schedule.batch_size or now - self._waiting_since >= self._schedule.max_wait_seconds:
            return True
        least = self._schedule.surprise_nats
        at_most = self._schedule.batch_size
        return least is not None and self._log.surprise_waiting(self._lineage, at_most=at_most) >= least

    def begin_anew(self) -> None:
        """After an update: what is left has not waited yet."""
        self._waiting_since = None

    def seconds_to_next_look(self, at_most: float) -> float:
        """Until what waits has waited long enough or what was put off is due; never longer than `at_most`."""
        times = [self._seconds_to_due]
        if self._waiting_since is not None:
            times.append(self._waiting_since + self._schedule.max_wait_seconds - self._monotonic())
        return min([at_most, *(seconds for seconds in times if seconds > 0)])

    def _num_waiting(self) -> int:
        """As far as a batch goes; what a dead worker's expired lease holds counts: the next update frees it."""
        at_most = self._schedule.batch_size
        num_waiting = self._log.num_waiting(self._lineage, at_most=at_most)
        if num_waiting == at_most:
            return num_waiting
        due: datetime | None = self._log.next_due(self._lineage)
        self._seconds_to_due = math.inf if due is None else (due - self._clock()).total_seconds()
        return num_waiting + self._log.num_abandoned(self._lineage, at_most=at_most)
