"""The demo's clients: who asks the serving actor, and a ledger of everything that was asked and answered.

Knows: asking in words, counting requests, keeping each answer for the check against its version. Refuses to know: which
answers are right, displays.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Final, NamedTuple, Self

from agent.decoding import Generation
from agent.runtime import Runtime
from memory_log.clock import Clock, utc_now
from memory_log.errors import SelfParamError
from updater.dialogue import Dialogue

NUM_CLIENTS: Final = 4
NUM_HURRIED: Final = 2  # enough that there is hardly a moment without a request
LONGEST_PAUSE_SECONDS: Final = 8.0  # the update needs the cores more than the clients do
ASKED_AT_ONCE: Final = 32
GLANCE_SECONDS: Final = 0.05


class Reply(NamedTuple):
    """What was answered to one question, in words and in tokens."""

    question: str
    text: str
    prompt_ids: tuple[int, ...]
    generation: Generation


class Ledger:
    """Every request of a demo: when it was answered, by which version, and what exactly. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered_at: list[datetime] = []
        self._distinct: dict[tuple[int, tuple[int, ...], tuple[int, ...]], Reply] = {}
        self.num_failed = 0
        self.failures: Counter[str] = Counter()

    @property
    def num_requests(self) -> int:
        """Requests that ended, answered or not."""
        return len(self._answered_at) + self.num_failed

    def answered(self, replies: Sequence[Reply], at: datetime) -> None:
        """Note answers of one moment."""
        with self._lock:
            for reply in replies:
                self._answered_at.append(at)
                key = (reply.generation.version, reply.prompt_ids, reply.generation.token_ids)
                self._distinct.setdefault(key, reply)

    def failed(self, num_requests: int, error: Exception) -> None:
        """Note requests that got no answer."""
        with self._lock:
            self.num_failed += num_requests
            self.failures[f"{type(error).__name__}: {error}"] += num_requests

    def num_answered_between(self, spans: Sequence[tuple[datetime, datetime]]) -> int:
        """Answers that came within one of the spans, both ends included."""
        return sum(any(start <= at <= end for start, end in spans) for at in self._answered_at)

    def replies_by_version(self) -> dict[int, list[Reply]]:
        """Each different (version, prompt, answer) once, by version."""
        found: dict[int, list[Reply]] = {}
        for (version, _, _), reply in sorted(self._distinct.items(), key=lambda item: item[0][0]):
            found.setdefault(version, []).append(reply)
        return found


class Desk:
    """Asks the runtime in words and keeps the ledger.

    Args:
        runtime: answers.
        dialogue: turns words into tokens and back.
        ledger: where every request is noted.
    """

    def __init__(self, runtime: Runtime, dialogue: Dialogue, ledger: Ledger, *, clock: Clock = utc_now) -> None:
        self._runtime, self._dialogue, self._ledger, self._clock = runtime, dialogue, ledger, clock
        self._tokenizing = threading.Lock()  # fast tokenizers refuse to be used by two threads at once

    def ask(
        self, questions: Sequence[str], *, version: int | None = None, notes: Sequence[Sequence[str]] | None = None
    ) -> list[Reply]:
        """Answers in the order of the questions, some of which are asked at once.

        Raises:
            SelfParamError: there was no answer; noted as failed.
        """
        replies: list[Reply] = []
        contexts = notes if notes is not None else [()] * len(questions)
        for start in range(0, len(questions), ASKED_AT_ONCE):
            part = slice(start, start + ASKED_AT_ONCE)
            replies += self._ask_at_once(questions[part], contexts[part], version)
        return replies

    def _ask_at_once(
        self, questions: Sequence[str], contexts: Sequence[Sequence[str]], version: int | None
    ) -> list[Reply]:
        with self._tokenizing:
            pairs = zip(questions, contexts, strict=True)
            prompts = [tuple(self._dialogue.prompt_ids(question, list(context))) for question, context in pairs]
        try:
            generations = self._runtime.ask_many(prompts, version)
        except SelfParamError as exc:
            self._ledger.failed(len(prompts), exc)
            raise
        answered_at = self._clock()
        with self._tokenizing:
            texts = [self._dialogue.text(generation.token_ids) for generation in generations]
        replies = [Reply(*fields) for fields in zip(questions, texts, prompts, generations, strict=True)]
        self._ledger.answered(replies, answered_at)
        return replies


class Clients:
    """A few clients that ask all the while, each in a thread, from `start` until the context ends.

    Args:
        desk: where they ask.
        topic: draws the next question; None while there is nothing to ask.
        hurry: whether the first NUM_HURRIED of them should ask without a pause now.
        heard: told of every reply.
        seed: of pauses and topics.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        topic: Callable[[random.Random], str | None],
        hurry: Callable[[], bool],
        heard: Callable[[Reply], None],
        seed: int,
        num_clients: int = NUM_CLIENTS,
    ) -> None:
        self._desk, self._topic, self._heard = desk, topic, heard
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._ask_until_stopped,
                args=(random.Random(f"{seed}/{number}"), hurry if number < NUM_HURRIED else lambda: False),
                daemon=True,
            )
            for number in range(num_clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask_until_stopped(self, rng: random.Random, hurry: Callable[[], bool]) -> None:
        while not self._stop.is_set():
            question = self._topic(rng)
            if question is not None:
                try:
                    self._heard(self._desk.ask([question])[0])
                except SelfParamError:
                    continue  # noted as failed by the desk; a client goes on asking
            self._pause(rng.uniform(0, LONGEST_PAUSE_SECONDS), hurry)

    def _pause(self, seconds: float, hurry: Callable[[], bool]) -> None:
        """Wait, but no longer than until there is a reason to hurry."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not hurry() and not self._stop.wait(GLANCE_SECONDS):
            pass
