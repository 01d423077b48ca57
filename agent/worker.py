"""The update worker: wakes by itself when enough experiences wait, learns them, and says which version serves.

Knows: when to wake, what to do when an update fails, what to tell whoever watches. Refuses to know: how an update is
computed, Ray, displays.
"""

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from memory_log.bells import Bell
from memory_log.clock import Clock, utc_now
from memory_log.errors import BadInput, LineageBusy, NothingPending, SelfParamError, UpdatesPaused
from memory_log.log import MemoryLog
from memory_log.records import Pause
from updater.report import UpdateReport
from updater.update import Updater

NUM_OUTCOMES_KEPT = 1000
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
ENDED_LEASE_SECONDS = 1e-3
# However often the bell rings, the log is not looked at more often.
LEAST_LOOK_SECONDS = 0.05

_LOGGER = logging.getLogger(__name__)


class UpdateStopped(SelfParamError, RuntimeError):
    """The worker was stopped in the middle of an update; its experiences wait for the next one."""


class UpdateOutcome(BaseModel):
    """One finished update and when its steps happened, in UTC.

    Example: (outcome.visible_at - outcome.started_at).total_seconds()
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    report: UpdateReport
    started_at: AwareDatetime
    """When the batch was stored."""
    admitted_at: AwareDatetime
    """When the update's last transaction had ended."""
    visible_at: AwareDatetime
    """When the new version answered new requests; equal to `admitted_at` where nothing was admitted."""

    @property
    def update_seconds(self) -> float:
        """From batch stored to version visible."""
        return (self.visible_at - self.started_at).total_seconds()

    @property
    def swap_seconds(self) -> float:
        """From version admitted to version visible."""
        return (self.visible_at - self.admitted_at).total_seconds()


class WorkerStatus(BaseModel):
    """What a worker does now and has done since its process began."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    is_updating: bool = False
    stage: str = ""
    """As the updater names it; empty between updates."""
    num_done: int = 0
    num_total: int = 0
    """`num_done` of `num_total` steps of the stage are done."""
    outcomes: tuple[UpdateOutcome, ...] = ()
    """The newest NUM_OUTCOMES_KEPT updates."""
    last_error: str | None = None
    pause: Pause | None = None
    """Who keeps it from updating, since when and why; None while it may."""


class UpdateWorker:
    """Learns a lineage's experiences as they come. Plain class: Ray, threads and tests call `run` or `step`.

    Args:
        updater: makes the updates. Its `owner` must be the same after a restart of the same worker and nobody else's:
            a lease on record under this name can only belong to this worker's dead predecessor.
        lineage: whose memory.
        batch_size: wakes when this many experiences are pending, and learns at most as many in one update.
        max_wait_seconds: wakes for fewer when they have waited this long.
        announce: called with a version's number whenever the head has moved, by whomever; returns once it serves. May
            be called again with the same number.
        poll_seconds: time between two looks at the log while its bell does not ring.
        clock, monotonic: the time of day, and seconds for measuring spans.

    Example:
        worker = UpdateWorker(updater, "default", batch_size=5, max_wait_seconds=30, announce=print)
        threading.Thread(target=worker.run).start()
        worker.stop()
    """

    def __init__(
        self,
        updater: Updater,
        lineage: str,
        *,
        batch_size: int,
        max_wait_seconds: float,
        announce: Callable[[int], None],
        poll_seconds: float = 1.0,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if batch_size < 1 or max_wait_seconds < 0:
            raise BadInput(
                f"got batch_size={batch_size} and max_wait_seconds={max_wait_seconds}; a worker needs at least one "
                "experience a batch and a waiting time of 0 or more"
            )
        self._updater, self._lineage = updater, lineage
        self._batch_size, self._max_wait_seconds = batch_size, max_wait_seconds
        self._announce, self._poll_seconds = announce, poll_seconds
        self._clock, self._monotonic = clock, monotonic
        self._stop = threading.Event()
        self._bell: Bell | None = None
        self._announced: int | None = None
        self._waiting_since: float | None = None
        self._seconds_to_due = math.inf
        self._lock = threading.Lock()  # guards the two below, which other threads read
        self._status = WorkerStatus(pid=os.getpid())
        self._outcomes: deque[UpdateOutcome] = deque(maxlen=NUM_OUTCOMES_KEPT)
        self._log.ensure_lineage(lineage, base_fingerprint=updater.base.fingerprint)
        self._end_lease_of_predecessor()

    @property
    def _log(self) -> MemoryLog:
        return self._updater.log

    def status(self) -> WorkerStatus:
        """What the worker does now. Safe from any thread."""
        with self._lock:
            return self._status.model_copy(update={"outcomes": tuple(self._outcomes)})

    def stop(self) -> None:
        """Let `run` return soon. An update that runs is given up at its next sign of life, and its lease given back."""
        self._stop.set()
        if self._bell is not None:
            self._bell.ring()

    def run(self) -> None:
        """Learn and announce as things come, until stopped. Errors are logged, and followed by a pause that doubles."""
        with self._log.bell(self._lineage) as self._bell:
            self._work(self._bell)

    def _work(self, bell: Bell) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                is_idle = self.step() is None
                pause = FIRST_PAUSE_SECONDS
                if is_idle and not self._stop.wait(LEAST_LOOK_SECONDS):
                    bell.wait(self._seconds_to_next_look())
            except UpdateStopped:
                return
            except LineageBusy as exc:
                self._tell(last_error=str(exc))
                self._stop.wait(FIRST_PAUSE_SECONDS)
            except Exception as exc:  # a worker's edge: the lease is back, the experiences wait
                _LOGGER.exception("an update of lineage %r failed; trying again in %.0f s", self._lineage, pause)
                self._tell(last_error=f"{type(exc).__name__}: {exc}")
                self._stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def step(self) -> UpdateOutcome | None:
        """Announce the head if it has moved, then make one update if it is time for one; its outcome.

        While the lineage is paused it is never time; what waits meanwhile has waited when the pause ends.

        Raises:
            LineageBusy: another updater works on the lineage.
            UpdateStopped: `stop` was called meanwhile.
        """
        self._announce_head()
        pause = self._log.pause_of(self._lineage)
        self._tell(pause=pause)
        if not self._is_time() or pause is not None:
            return None
        try:
            return self._update()
        except (NothingPending, UpdatesPaused):
            return None  # another updater was quicker, or somebody has paused the lineage since we looked

    def _is_time(self) -> bool:
        num_waiting = self._num_waiting()
        if num_waiting == 0:
            self._waiting_since = None
            return False
        now = self._monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        return num_waiting >= self._batch_size or now - self._waiting_since >= self._max_wait_seconds

    def _num_waiting(self) -> int:
        """As far as a batch goes; what a dead worker's expired lease holds counts: the next update frees it."""
        num_waiting = self._log.num_waiting(self._lineage, at_most=self._batch_size)
        if num_waiting == self._batch_size:
            return num_waiting
        due = self._log.next_due(self._lineage)
        self._seconds_to_due = math.inf if due is None else (due - self._clock()).total_seconds()
        return num_waiting + self._log.num_abandoned(self._lineage, at_most=self._batch_size)

    def _seconds_to_next_look(self) -> float:
        """Until what waits has waited long enough or what was put off is due; never longer than between two looks."""
        times = [self._seconds_to_due]
        if self._waiting_since is not None:
            times.append(self._waiting_since + self._max_wait_seconds - self._monotonic())
        return min([self._poll_seconds, *(seconds for seconds in times if seconds > 0)])

    def _update(self) -> UpdateOutcome:
        stored_at: list[datetime] = []

        def on_progress(stage: str, done: int, total: int) -> None:
            if not stored_at:
                stored_at.append(self._clock())  # the updater's first word comes right after storing the batch
            if self._stop.is_set():
                raise UpdateStopped
            self._tell(is_updating=True, stage=stage, num_done=done, num_total=total)

        try:
            report = self._updater.update(self._lineage, limit=self._batch_size, progress=on_progress)
            admitted_at = self._clock()
            self._announce_head()
            visible_at = self._clock() if report.admitted else admitted_at
        finally:
            self._waiting_since = None
            self._tell(is_updating=False, stage="", num_done=0, num_total=0)
        outcome = UpdateOutcome(
            report=report, started_at=stored_at[0], admitted_at=admitted_at, visible_at=visible_at
        )
        with self._lock:
            self._outcomes.append(outcome)
            self._status = self._status.model_copy(update={"last_error": None})
        return outcome

    def _announce_head(self) -> None:
        # Read from the log, not from the report: this also catches a commit whose worker died, and a rollback.
        head = self._log.head(self._lineage).number
        if head != self._announced:
            self._announce(head)
            self._announced = head

    def _end_lease_of_predecessor(self) -> None:
        """Let a lease that this worker held when it was killed expire now; taking over then counts the death.

        Nothing breaks should the predecessor live after all: its fence is older, so that it cannot commit.
        """
        lease = self._log.updater_lease(self._lineage)
        if lease is not None and lease.owner == self._updater.owner:
            self._log.renew_updater_lease(lease, lease_seconds=ENDED_LEASE_SECONDS)

    def _tell(self, **changes: object) -> None:
        with self._lock:
            self._status = self._status.model_copy(update=changes)
