"""The course of a demo: experiences are fed, clients ask, and after each update all probes that are valid are asked.

Knows: when the next experiences are due and when an update has ended. Refuses to know: how parts run, what figures
mean.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Protocol, Self

import gymnasium

from agent.demo_client import Clients, Desk, Ledger, Reply
from agent.demo_measures import Condition, ProbeRow, UpdateRow, share
from agent.demo_probes import QUESTION, ProbeBook
from agent.display import Display
from agent.household import ENVIRONMENT_ID
from agent.household.explorer import explore
from agent.runtime import Runtime
from agent.serving import Swap
from agent.worker import UpdateOutcome, WorkerStatus
from memory_log.errors import SelfParamError
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState, NewExperience, Probe, ProbeResult

TICK_SECONDS: Final = 0.5
GLANCE_SECONDS: Final = 0.5
CLOSE_GLANCE_SECONDS: Final = 0.1
STATUS_SECONDS: Final = 5.0
OUTCOME_SECONDS: Final = 10.0
STALLED_SECONDS: Final = 420.0
LAST_STEPS_SHARE: Final = 0.85  # of a training; from here on the worker is watched closely
WAITING_STATES: Final = (ExperienceState.PENDING, ExperienceState.LEASED)


class DemoStalled(SelfParamError, RuntimeError):
    """The update worker came to no end with its experiences."""


class HouseWorld(Protocol):
    """What the demo asks of the house itself."""

    things: Sequence[str]

    def truth(self, subject: str, relation: str) -> str | None:
        """The value that is true now."""
        ...


class House:
    """A household with an explorer in it, as an endless stream of experiences."""

    def __init__(self, *, seed: int, max_steps: int) -> None:
        self._env: gymnasium.Env[str, str] = gymnasium.make(ENVIRONMENT_ID, max_steps=max_steps)
        self._stream: Iterator[dict[str, Any]] = explore(self._env, seed=seed)

    def live(self, count: int) -> list[NewExperience]:
        """The next experiences.

        Raises:
            DemoStalled: the house has no more to tell within its steps.
        """
        lived = [NewExperience(**experience) for experience, _ in zip(self._stream, range(count), strict=False)]
        if len(lived) < count:
            raise DemoStalled(f"the house gave {len(lived)} of {count} experiences; use fewer updates")
        return lived

    def may_tell_of(self, subject: str, relation: str) -> bool:
        """Whether there is such a fact, which might become an experience yet."""
        world: HouseWorld = self._env.unwrapped.world  # type: ignore[attr-defined]  # gymnasium knows only its own
        return subject in world.things or world.truth(subject, relation) is not None

    def close(self) -> None:
        """Leave the house."""
        self._env.close()


class WorkerWatch:
    """Asks the update worker, in a thread of its own, how far it is; seldom, since every look costs its update time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._status = WorkerStatus(pid=0)
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def status(self) -> WorkerStatus:
        """What the worker last said; raises what made asking it impossible."""
        if self._error is not None:
            raise self._error
        return self._status

    def swap_is_near(self) -> bool:
        """Whether an update has been trained and is not visible yet."""
        return self._has_trained(1.0)

    def _has_trained(self, share: float) -> bool:
        status = self._status
        return status.stage == "gate" or (status.stage == "training" and status.num_done >= share * status.num_total)

    def __enter__(self) -> Self:
        self._status = self._runtime.worker_status()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(STATUS_SECONDS)

    def _watch(self) -> None:
        while not self._stop.wait(CLOSE_GLANCE_SECONDS if self._has_trained(LAST_STEPS_SHARE) else GLANCE_SECONDS):
            try:
                self._status = self._runtime.worker_status()
            except Exception as exc:  # noqa: BLE001 - a thread's edge; `status` raises it
                self._error = exc
                return


class Course:
    """Runs a demo on a started runtime and keeps what was seen.

    Args:
        runtime: started on an empty home.
        log: that home's log.
        display: told of everything.
        lineage, updates, experiences_per_update, seed: what the demo is made of.
        elapsed: seconds since the demo began.
    """

    def __init__(
        self,
        runtime: Runtime,
        log: MemoryLog,
        display: Display,
        *,
        lineage: str,
        updates: int,
        experiences_per_update: int,
        seed: int,
        elapsed: Callable[[], float],
    ) -> None:
        self._runtime, self._log, self._display, self._elapsed = runtime, log, display, elapsed
        self._lineage, self._updates, self._batch, self._seed = lineage, updates, experiences_per_update, seed
        style = runtime.parts.base.dialogue.style
        self.ledger = Ledger()
        self._desk = Desk(runtime, runtime.parts.base.dialogue, self.ledger)
        self._house = House(seed=seed, max_steps=500 + 200 * updates * experiences_per_update)
        self.book = ProbeBook(
            log, lineage, seed=seed, exists=self._house.may_tell_of, unknown_word=style.unknown_word,
            exact=style.language == "household",
        )  # fmt: skip
        self.probe_rows: list[ProbeRow] = []
        self.update_rows: list[UpdateRow] = []
        self.outcomes: dict[datetime, UpdateOutcome] = {}
        self.swaps: dict[int, Swap] = {}
        self._pids: dict[str, int] = {}
        self._topics: list[Probe] = []
        self._on_show: dict[str, tuple[Probe, str]] = {}
        self._was_updating = False
        self._watch = WorkerWatch(runtime)
        self._last_change = time.monotonic()
        self._counts: dict[ExperienceState, int] = {}

    def run(self) -> None:
        """Feed, wait and ask until the last update's probes have been asked."""
        clients = Clients(
            self._desk, topic=self._topic, hurry=self._watch.swap_is_near, heard=self._heard, seed=self._seed
        )
        try:
            with self._watch, clients:
                while len(self.update_rows) < self._updates:
                    self._look()
                    if self.book.num_cohorts == len(self.update_rows):
                        self._feed()  # not before the probes were asked: measuring would slow the update down
                    elif self._has_ended(len(self.update_rows)):
                        self._evaluate(len(self.update_rows))
                    else:
                        time.sleep(TICK_SECONDS)
        finally:
            self._house.close()

    def _say(self, text: str) -> None:
        self._display.event(self._elapsed(), text)

    # ------------------------------------------------------------------------------------------------------- clients

    def _topic(self, rng: random.Random) -> str | None:
        return rng.choice(self._topics).question if self._topics else None

    def _heard(self, reply: Reply) -> None:
        probe, at_first = self._on_show.get(reply.question, (None, ""))
        if probe is not None:
            now = f"{reply.text} (version {reply.generation.version})"
            self._display.answered(
                reply.question, at_first, now, is_right=self.book.is_right(probe, reply.text)
            )

    # -------------------------------------------------------------------------------------------------- log and worker

    def _feed(self) -> None:
        """Let the agent live a little further."""
        stored = self._log.append_many(self._house.live(self._batch))
        self._topics = self._topics + self.book.add_cohort(stored)
        self._say(f"{len(stored)} new experiences, such as: {stored[0].text}")

    def _look(self) -> None:
        """Read what the worker and the server do now, show it and keep it."""
        status, stats = self._watch.status, self._runtime.serving_stats()
        self.outcomes |= {outcome.started_at: outcome for outcome in status.outcomes}
        for swap in stats.swaps:
            self.swaps.setdefault(swap.version, swap)
        for name, pid in (("update worker", status.pid), ("serving actor", self._runtime.serving_pid())):
            if self._pids.get(name) != pid:
                self._say(f"the {name} {'is back as' if name in self._pids else 'runs as'} process {pid}")
                self._pids[name] = pid
        if status.is_updating and not self._was_updating:
            self._say("the update worker has woken and learns")
        self._was_updating = status.is_updating
        counts = self._log.count_by_state(self._lineage)
        if counts != self._counts or status.num_done:
            self._last_change = time.monotonic()
        self._counts = counts
        if time.monotonic() - self._last_change > STALLED_SECONDS:
            raise DemoStalled(
                f"no experience was learned and no step made for {STALLED_SECONDS:.0f} s "
                f"({status.last_error or 'without an error'}); try again on a quieter machine"
            )
        self._display.show(
            seconds=self._elapsed(), counts={state.value: count for state, count in counts.items()},
            version=stats.serving_version, stage=status.stage, num_done=status.num_done, num_total=status.num_total,
            num_requests=self.ledger.num_requests, num_failed=self.ledger.num_failed,
        )  # fmt: skip

    def _now(self, cohort: int) -> list[Experience]:
        return [self._log.get(experience.id) for experience in self.book.cohort(cohort)]

    def _has_ended(self, cohort: int) -> bool:
        return all(experience.state not in WAITING_STATES for experience in self._now(cohort))

    def _outcome_of(self, version: int) -> UpdateOutcome | None:
        """The worker's report about a version; None when the worker died before it could give it."""
        deadline = time.monotonic() + OUTCOME_SECONDS
        while time.monotonic() < deadline:
            self._look()
            for outcome in self.outcomes.values():
                if outcome.report.version == version:
                    return outcome
            time.sleep(TICK_SECONDS)
        return None

    # -------------------------------------------------------------------------------------------------------- probes

    def _evaluate(self, cohort: int) -> None:
        """Ask what the update has taught, and everything older that is still true."""
        experiences = self._now(cohort)
        learned_in = [experience.learned_in for experience in experiences if experience.learned_in is not None]
        version = max(learned_in, default=self._log.head(self._lineage).number)
        outcome = self._outcome_of(version) if learned_in else None
        is_final = cohort == self._updates - 1
        self.book.drop_taught()
        own = self.book.questions(after=cohort, cohorts=[cohort])
        self._ask(own, cohort, "ceiling", version=0)
        floor = self._ask(own, cohort, "floor", version=0)
        near_misses = self.book.near_misses(cohorts=range(self._updates) if is_final else [cohort])
        asked = [*self.book.questions(after=cohort), *near_misses]
        rows = self._ask(asked, cohort, "version", version=version, is_final=is_final)
        questions = [row for row in rows if row.kind == QUESTION]
        efficacy = share(row for row in questions if row.cohort == cohort + 1)
        retention = share(row for row in questions if row.cohort <= cohort)
        unfooled = share(row for row in rows if row.kind != QUESTION)
        self.update_rows.append(
            UpdateRow(
                update=cohort + 1, version=version if learned_in else None, num_learned=len(learned_in),
                num_refused=len(experiences) - len(learned_in), efficacy=efficacy, retention=retention,
                false_recall=None if unfooled is None else 1.0 - unfooled, outcome=outcome,
            )
        )  # fmt: skip
        self._tell_of_update(self.update_rows[-1], floor, questions)

    def _ask(
        self, probes: Sequence[Probe], cohort: int, condition: Condition, *, version: int, is_final: bool = False
    ) -> list[ProbeRow]:
        notes = [self.book.notes(probe) for probe in probes] if condition == "ceiling" else None
        replies = self._desk.ask([probe.question for probe in probes], version=version, notes=notes)
        rows = [
            ProbeRow(
                probe_id=probe.id, kind=probe.kind, cohort=self.book.cohort_of(probe) + 1,
                experience_id=probe.experience_id, condition=condition, after_update=cohort + 1,
                version=reply.generation.version, question=probe.question, right=probe.answer, said=reply.text,
                correct=self.book.is_right(probe, reply.text), is_final=is_final,
            )
            for probe, reply in zip(probes, replies, strict=True)
        ]  # fmt: skip
        if condition != "ceiling":  # the log keeps what a version says from its weights alone
            self._log.record_probe_results(
                [
                    ProbeResult(probe_id=row.probe_id, version=row.version, answer=row.said, correct=row.correct)
                    for row in rows
                ]
            )
        self.probe_rows += rows
        return rows

    def _tell_of_update(self, update: UpdateRow, floor: Sequence[ProbeRow], asked: Sequence[ProbeRow]) -> None:
        at_first = {row.probe_id: row.said for row in floor}
        own = [row for row in asked if row.cohort == update.update]
        one_each = {row.experience_id: row for row in sorted(own, key=lambda row: row.correct)}.values()
        probes = {probe.id: probe for probe in self._topics}
        for row in one_each:
            self._on_show = {**self._on_show, row.question: (probes[row.probe_id], at_first.get(row.probe_id, ""))}
        if update.version is None:
            self._say(f"update {update.update} taught nothing: {update.num_refused} experiences were refused")
            return
        seconds = f" in {update.outcome.update_seconds:.1f} s" if update.outcome else ""
        figures = f"efficacy {update.efficacy or 0:.2f}"
        figures += f", earlier ones {update.retention:.2f}" if update.retention is not None else ""
        self._say(f"version {update.version} serves: {update.num_learned} experiences learned{seconds}; {figures}")
        for row in [row for row in one_each if row.correct][:1]:
            self._say(f'"{row.question}"  at first: {at_first.get(row.probe_id, "")}  now: {row.said}')
