"""Clients for `benchmarks.swap`: streams that are open all the time, and a note of every token's moment.

Knows: asking a server, and what came when. Refuses to know: swaps, and how an answer is checked.
"""

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, Protocol

from agent.decoding import Generation, Verdict, Watch
from agent.sampling import TokenLogprobs
from benchmarks.update_speed_setup import FIRST_TOKEN

PROMPT_TOKENS: Final = 32
NUM_PROMPTS: Final = 2


class Asked(Protocol):
    """A server as clients see it."""

    def submit(
        self, prompt_ids: Sequence[int], *, max_new_tokens: int, watch: Watch | None = None
    ) -> Future[Generation]:
        """See `ModelServer.submit`."""
        ...


class Answered(NamedTuple):
    """One answer, and when its tokens came."""

    prompt: tuple[int, ...]
    generation: Generation
    serving: tuple[int, int]
    """The versions that served right before it was asked, and right after."""
    moments: tuple[float, ...]


def prompts_of(vocabulary: int, seed: int) -> list[tuple[int, ...]]:
    """Random prompts of one length."""
    rng = random.Random(f"swap/{seed}")
    return [tuple(rng.randrange(FIRST_TOKEN, vocabulary) for _ in range(PROMPT_TOKENS)) for _ in range(NUM_PROMPTS)]


class Load:
    """Clients that ask one question after the other until stopped, each on a thread of its own.

    Args:
        server: answers.
        prompts: asked in turn.
        max_new_tokens: of each answer.
        num_clients: streams that are open at a time.
        serving: the version that serves now.
    """

    def __init__(
        self,
        server: Asked,
        prompts: Sequence[tuple[int, ...]],
        *,
        max_new_tokens: int,
        num_clients: int,
        serving: Callable[[], int],
    ) -> None:
        self._server, self._prompts, self._max_new_tokens = server, prompts, max_new_tokens
        self._serving = serving
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.answers: list[Answered] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(client,)) for client in range(num_clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, client: int) -> None:
        for turn in itertools.count(client):
            if self._stop.is_set():
                return
            prompt, moments = self._prompts[turn % len(self._prompts)], list[float]()

            def note(_token_id: int, _logprobs: TokenLogprobs | None, moments: list[float] = moments) -> Verdict:
                moments.append(time.monotonic())
                return "go on"

            newest = self._serving()
            try:
                asked = self._server.submit(prompt, max_new_tokens=self._max_new_tokens, watch=note)
                serving = (newest, self._serving())
                said = asked.result()
            except Exception as exc:  # noqa: BLE001 - whatever it is, an answer was lost
                with self._lock:
                    self.failures.append(repr(exc))
                continue
            with self._lock:
                self.answers.append(Answered(prompt, said, serving, tuple(moments)))

    def stop(self) -> None:
        """Let the answers that have begun end, and ask no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def gaps(answers: Sequence[Answered], begin: float, end: float) -> list[float]:
    """Seconds between two tokens of an answer, of those whose second came between two moments."""
    return [
        later - earlier
        for answer in answers
        for earlier, later in itertools.pairwise(answer.moments)
        if begin <= later <= end
    ]
