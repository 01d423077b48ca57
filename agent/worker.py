"""The update worker: wakes by itself when enough experiences wait, learns them, and says which version serves.

Knows: what to do when an update fails, what to tell whoever watches. Refuses to know: how an update is computed, Ray,
displays.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from agent.due import Due, Schedule
from agent.turns import Look, take_turns
from memory_log.bells import Bell
from memory_log.clock import Clock, utc_now
from memory_log.errors import LineageBusy, NothingPending, SelfParamError, UpdatesPaused
from memory_log.log import MemoryLog
from memory_log.records import Pause
from updater.report import UpdateReport
from updater.update import Updater

NUM_OUTCOMES_KEPT = 1000
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
ENDED_LEASE_SECONDS = 1e-3
NUM_MEASURED = 64  # experiences whose surprise is measured in one turn, so that an update need not wait for all

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
    lineage: str = "default"
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
    """Learns a lineage's experiences as they come. Plain class: Ray, threads and tests call `run`, `step`, or
    `turns.take_turns` with the workers of several lineages.

    Args:
        updater: makes the updates. Its `owner` must be the same after a restart of the same worker and nobody else's:
            a lease on record under this name can only belong to this worker's dead predecessor. The workers of several
            lineages in one thread may share it.
        lineage: whose memory.
        schedule: when it wakes, and what it learns first.
        announce: called with a version's number whenever the head has moved, by whomever; returns once it serves. May
            be called again with the same number.
        poll_seconds: time between two looks at the log while its bell does not ring.
        clock, monotonic: the time of day, and seconds for measuring spans.

    Example:
        worker = UpdateWorker(updater, "default", Schedule(batch_size=5, max_wait_seconds=30), announce=print)
        threading.Thread(target=worker.run).start()
        worker.stop()
    """

    def __init__(
        self,
        updater: Updater,
        lineage: str,
        schedule: Schedule,
        *,
        announce: Callable[[int], None],
        poll_seconds: float = 1.0,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._updater, self._lineage, self._schedule = updater, lineage, schedule
        self._announce, self._poll_seconds, self._clock = announce, poll_seconds, clock
        self._due = Due(updater.log, lineage, schedule, clock=clock, monotonic=monotonic)
        self._stop = threading.Event()
        self._bell: Bell | None = None
        self._announced: int | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._lock = threading.Lock()  # guards the two below, which other threads read
        self._status = WorkerStatus(pid=os.getpid(), lineage=lineage)
        self._outcomes: deque[UpdateOutcome] = deque(maxlen=NUM_OUTCOMES_KEPT)
        self._log.ensure_lineage(lineage, base_fingerprint=updater.base.fingerprint)
        end_lease_of_predecessor(self._log, lineage, updater.owner)

    @property
    def _log(self) -> MemoryLog:
        return self._updater.log

    def status(self) -> WorkerStatus:
        """What the worker does now. Safe from any thread."""
        with self._lock:
            return self._status.model_copy(update={"outcomes": tuple(self._outcomes)})

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Let `run` return soon. An update that runs is given up at its next sign of life, and its lease given back."""
        self._stop.set()
        if self._bell is not None:
            self._bell.ring()

    def run(self) -> None:
        """Learn and announce as things come, until stopped."""
        take_turns([self])

    def hang_bell(self) -> Bell:
        """The bell of the lineage's queue, which also rings when the worker is to stop."""
        self._bell = self._log.bell(self._lineage)
        return self._bell

    def turn(self) -> Look:
        """One `step`. Errors are logged, and followed by a pause that doubles; so is an update that changed nothing."""
        try:
            outcome = self.step()
        except UpdateStopped:
            return Look(0.0)
        except LineageBusy as exc:
            self._tell(last_error=str(exc))
            return Look(FIRST_PAUSE_SECONDS, wakes_at_bell=False)
        except Exception as exc:  # a worker's edge: the lease is back, the experiences wait
            _LOGGER.exception("an update of lineage %r failed; next try in %.0f s", self._lineage, self._pause_seconds)
            return self._back_off(f"{type(exc).__name__}: {exc}")
        if outcome is not None and outcome.report.leaves_all_waiting:
            _LOGGER.error("an update of lineage %r came to nothing: %s", self._lineage, outcome.report.reason)
            return self._back_off(outcome.report.reason)
        self._pause_seconds = FIRST_PAUSE_SECONDS
        return Look(self._due.seconds_to_next_look(self._poll_seconds) if outcome is None else 0.0)

    def _back_off(self, why: str | None) -> Look:
        self._tell(last_error=why)
        look = Look(self._pause_seconds, wakes_at_bell=False)
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        return look

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
        if pause is None and self._schedule.needs_surprise:
            self._updater.measure_surprises(self._lineage, limit=NUM_MEASURED)
        if not self._due.is_now() or pause is not None:
            return None
        try:
            return self._update()
        except (NothingPending, UpdatesPaused):
            return None  # another updater was quicker, or somebody has paused the lineage since we looked

    def _update(self) -> UpdateOutcome:
        stored_at: list[datetime] = []

        def on_progress(stage: str, done: int, total: int) -> None:
            if not stored_at:
                stored_at.append(self._clock())  # the updater's first word comes right after storing the batch
            if self._stop.is_set():
                raise UpdateStopped
            self._tell(is_updating=True, stage=stage, num_done=done, num_total=total)

        try:
            report = self._updater.update(
                self._lineage, limit=self._schedule.batch_size, order=self._schedule.order, progress=on_progress
            )
            admitted_at = self._clock()
            self._announce_head()
            visible_at = self._clock() if report.admitted else admitted_at
        finally:
            self._due.begin_anew()
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

    def _tell(self, **changes: object) -> None:
        with self._lock:
            self._status = self._status.model_copy(update=changes)


def end_lease_of_predecessor(log: MemoryLog, lineage: str, owner: str) -> None:
    """Let a lease that this owner held when it was killed expire now; taking over then counts the death.

    Nothing breaks should the predecessor live after all: its fence is older, so that it cannot commit.
    """
    lease = log.updater_lease(lineage)
    if lease is not None and lease.owner == owner:
        log.renew_updater_lease(lease, lease_seconds=ENDED_LEASE_SECONDS)
