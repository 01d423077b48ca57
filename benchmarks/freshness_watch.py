"""Who watches a served home while experiences come: when which is known, whether it is right, what memory is held.

Knows: the log's states, the version that serves, moments. Refuses to know: who brings experiences, and what comes of
the figures.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from agent.study.records import Asked, Stream
from agent.study.scores import exact_match
from benchmarks.freshness_server import Resident, Served
from benchmarks.freshness_stream import Lived
from memory_log.closing import Closing
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState

LOOK_SECONDS: Final = 0.25
"""Between two looks at the log's head: what is known is seen to be so late by so much."""
WEIGH_SECONDS: Final = 1.0
"""Between two looks at memory, and at what was refused, which moves no head."""
LINEAGE: Final = "default"
OUT_OF_THE_WAY: Final = (ExperienceState.REFUSED, ExperienceState.DEAD)


class _Question(NamedTuple):
    number: int
    version: int
    asked: Asked


class Watch(Closing):
    """Watches from a thread of its own, and asks from another, until closed. What goes wrong is in `error`.

    Args:
        served: serves and learns.
        log: the same home's.
        stream: what is told, with a question about each.
    """

    def __init__(self, served: Served, log: MemoryLog, stream: Stream) -> None:
        self._served, self._log, self._stream = served, log, stream
        self._questions = {asked.told: asked for asked in reversed(stream.asked) if asked.kind == "paraphrase"}
        self._lock = threading.Lock()
        self._lived: dict[int, Lived] = {}
        self._open: dict[int, int] = {}  # by id: the number in the stream
        self._known: list[int] = []
        self._serving = 0
        self.weights: list[tuple[float, Resident]] = []
        self.error: Exception | None = None
        """Why nobody watches any more."""
        self._to_ask: queue.Queue[_Question | None] = queue.Queue()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in (self._look_on, self._ask_on)]
        for thread in self._threads:
            thread.start()

    def told(self, number: int, experience: Experience, came_at: float) -> None:
        """Watch for an experience, number so and so of the stream."""
        with self._lock:
            self._lived[number] = Lived(came_at)
            self._open[experience.id] = number

    @property
    def num_open(self) -> int:
        """Told, and neither known nor refused."""
        with self._lock:
            return len(self._open)

    def lived(self, numbers: Sequence[int]) -> list[Lived]:
        """What became of these of the stream so far."""
        with self._lock:
            return [self._lived[number] for number in numbers]

    def close(self) -> None:
        """Ask what there is to ask, and stop. Idempotent."""
        self._stop.set()
        looking, asking = self._threads
        looking.join()
        self._to_ask.put(None)
        asking.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as exc:  # noqa: BLE001 - whatever it is, whoever waits for what is watched has to know
            self.error = exc

    def _look_on(self) -> None:
        weighed_at = 0.0
        while not self._stop.wait(LOOK_SECONDS):
            now = time.monotonic()
            if self._has_moved() or now - weighed_at >= WEIGH_SECONDS:
                self._take_note()
            if now - weighed_at >= WEIGH_SECONDS:
                self.weights.append((now, self._served.resident()))
                weighed_at = now

    def _has_moved(self) -> bool:
        """Whether another version serves than at the last look."""
        if self._log.head(LINEAGE).number == self._serving:
            return False
        before, self._serving = self._serving, int(self._served.standing()["serving"])
        return self._serving != before

    def _take_note(self) -> None:
        seen_at = time.monotonic()
        with self._lock:
            ids = list(self._open)
        fresh = []
        for found in self._log.find(ids).values():
            is_known = found.learned_in is not None and found.learned_in <= self._serving
            if not is_known and found.state not in OUT_OF_THE_WAY:
                continue
            with self._lock:
                number = self._open.pop(found.id)
                self._lived[number] = self._lived[number]._replace(
                    known_at=seen_at if is_known else None, is_refused=not is_known
                )
            if is_known:
                fresh.append(number)
        self._known += fresh
        for number in fresh:
            asked = self._questions[number]
            if self._stream.still_valid(asked, self._known):
                self._to_ask.put(_Question(number, self._serving, asked))

    def _ask_on(self) -> None:
        while (question := self._to_ask.get()) is not None:
            said = self._served.answer(question.asked.question, version=question.version)
            is_right = exact_match(said, question.asked.answers) == 1.0
            with self._lock:
                self._lived[question.number] = self._lived[question.number]._replace(is_right=is_right)
