"""The usual ways to bring new weights into a server, for `benchmarks.swap`: everybody waits while they are loaded.

Knows: one model behind one lock. Refuses to know: versions; an answer has whatever weights there are at each token.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Literal

import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from agent.decoding import Generation, Request, Watch
from agent.schedule import BatchSchedule
from memory_log.closing import Closing

Way = Literal["reload", "load_state_dict"]
WAYS: Final[tuple[Way, ...]] = ("reload", "load_state_dict")


class LockedServer(Closing):
    """Decodes as `ModelServer` does, and holds every answer up while weights are loaded.

    Args:
        build: makes the model anew, for `reload`.
        model: what serves at first.
        eos_token_ids, pad_token_id, max_batch: as for `ModelServer`.
    """

    def __init__(
        self, build: Callable[[], LlamaForCausalLM], model: LlamaForCausalLM, *, eos_token_ids: Sequence[int],
        pad_token_id: int, max_batch: int,
    ) -> None:  # fmt: skip
        self._build, self._model, self.version = build, model, 0
        self._schedule = BatchSchedule(
            eos_token_ids=frozenset(eos_token_ids), pad_token_id=pad_token_id, max_batch=max_batch, is_plain=True
        )
        self._lock, self._waiting = threading.Condition(), deque[Request]()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def submit(
        self, prompt_ids: Sequence[int], *, max_new_tokens: int, watch: Watch | None = None
    ) -> Future[Generation]:
        """Its answer; the version is the one at its end."""
        with self._lock:
            request = Request(tuple(prompt_ids), self.version, max_new_tokens, time.monotonic(), watch=watch)
            self._waiting.append(request)
            self._lock.notify()
        return request.future

    def swap(self, way: Way, file: Path, version: int) -> float:
        """Load a checkpoint while everybody waits; answers that have begun go on with the caches of the old weights.

        Returns:
            The seconds for which everybody waited.
        """
        with self._lock, torch.no_grad():
            begin = time.monotonic()
            if way == "load_state_dict":
                self._model.load_state_dict(load_file(file), strict=False)
            else:
                with torch.device("meta"):
                    made = self._build()
                made.load_state_dict(load_file(file), strict=False, assign=True)
                made.tie_weights()
                for mine, new in zip(self._model.parameters(), made.parameters(), strict=True):
                    mine.data = new.data
            self.version = version
            return time.monotonic() - begin

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._waiting and self._schedule.is_empty:
                    if self._is_closed:
                        return
                    self._lock.wait()
                joining = self._schedule.take_from(self._waiting)
                if joining:
                    self._schedule.join(self._model, joining)
                ended = self._schedule.turn()
            for request in ended:
                if request.error is not None:
                    request.future.set_exception(request.error)
                else:
                    request.future.set_result(request.generation(time.monotonic()))

    def close(self) -> None:
        """Answer what was asked, and stop."""
        with self._lock:
            self._is_closed = True
            self._lock.notify()
        self._thread.join()
