"""What the routes share: the server, the log, the door, and the names by which versions are asked.

Knows composition. Refuses to know HTTP.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from agent.api.door import Door
from agent.api.errors import ApiError
from agent.following import FollowingServer
from memory_log.clock import Clock, utc_now
from memory_log.log import MemoryLog
from updater.dialogue import Dialogue

DEFAULT_MAX_TOKENS: Final = 512
ANSWER_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Service:
    """One lineage that is asked and told over HTTP.

    Args:
        following: answers.
        log: the home's.
        door: who may come in.
        root: the base model's name, without where it lies.
        max_tokens: of an answer whose client names no number.
        answer_seconds: an answer that takes longer fails.
        learner_error: why nobody learns, None while somebody does or nobody should.
    """

    following: FollowingServer
    log: MemoryLog
    door: Door
    root: str
    max_tokens: int = DEFAULT_MAX_TOKENS
    answer_seconds: float = ANSWER_SECONDS
    learner_error: Callable[[], str | None] = lambda: None
    clock: Clock = utc_now
    _encoding: threading.Lock = field(default_factory=threading.Lock)
    _fingerprints: dict[int, str] = field(default_factory=dict)

    @property
    def lineage(self) -> str:
        """Whose memory."""
        return self.following.lineage

    def name(self, version: int) -> str:
        """The model name that pins a version."""
        return f"{self.lineage}@{version}"

    def asked_version(self, model: str) -> int | None:
        """The version that a model name pins; None is the one that serves.

        Raises:
            ApiError: 404, there is no such model here.
        """
        name, at, number = model.partition("@")
        if name != self.lineage or (at and not (number.isascii() and number.isdigit() and len(number) < 19)):
            raise ApiError(
                404, f"there is no model {model!r}; ask {self.lineage!r}, or {self.lineage}@N for version N",
                code="model_not_found", param="model",
            )  # fmt: skip
        return int(number) if at else None

    async def fingerprint(self, version: int) -> str:
        """What names the weights of a version, whatever its number."""
        if version not in self._fingerprints:
            found = (await asyncio.to_thread(self.log.version, self.lineage, version)).weights_hash
            self._fingerprints[version] = f"sp-{(found or self.following.base.fingerprint)[:16]}"
        return self._fingerprints[version]

    async def encoded(self, encode: Callable[[Dialogue], list[int]]) -> list[int]:
        """What a function makes of the model's dialogue, beside the event loop: long texts take long."""

        def one_at_a_time() -> list[int]:
            with self._encoding:  # a fast tokenizer refuses to be used by two threads at once
                return encode(self.following.base.dialogue)

        return await asyncio.to_thread(one_at_a_time)
