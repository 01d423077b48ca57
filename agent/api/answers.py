"""An answer as a stream of pieces, bound to one version from before its first token.

Knows: the serving thread and the event loop, and how to leave when the client has left. Refuses to know: HTTP.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from typing import Final, Literal, NamedTuple

from agent.decoding import FinishReason, Generation, Verdict
from agent.following import FollowingServer
from agent.sampling import Sampling, TokenLogprobs
from agent.serving import ServerBusy
from agent.text_stream import TextStream
from memory_log.errors import UnknownVersion

MOST_TRIES: Final = 5


class Question(NamedTuple):
    """What is asked, and how it is to be answered."""

    prompt_ids: Sequence[int]
    max_new_tokens: int
    sampling: Sampling
    stop: Sequence[str]
    timeout_seconds: float
    is_chat: bool
    """Whether white space before the first letter is dropped."""


class Piece(NamedTuple):
    """Some text of an answer, which may be empty, and the token that it came with; the last piece has none."""

    text: str
    token_id: int | None = None
    logprobs: TokenLogprobs | None = None
    finish_reason: FinishReason | None = None
    num_tokens: int = 0


class Bound(NamedTuple):
    """The version that an answer is bound to, and what goes on decoding it."""

    version: int
    pieces: AsyncIterator[Piece]
    leave: Callable[[], None]
    """Gives the answer up; for one whose pieces nobody has begun to read."""


async def begin(following: FollowingServer, question: Question, version: int | None) -> Bound:
    """Bind a question to a version and start answering it; None is the one that serves now.

    Raises:
        BadInput, ServerBusy, ServerClosed: see `ModelServer.submit`.
        UnknownVersion: there is no such admitted version.
    """
    answering, loop = _Answering(following, question), asyncio.get_running_loop()
    for _ in range(MOST_TRIES):
        bound = following.server.serving_version if version is None else version
        try:
            answering.submit(bound)
        except UnknownVersion:
            if version is not None:  # else it was released between the two lines, and another one serves
                await loop.run_in_executor(following.loader, following.load, version)
        else:
            return Bound(bound, answering.pieces(), answering.leave)
    raise ServerBusy("versions come and go faster than this one could be asked; ask again in a moment")


class _Answering:
    """Carries tokens from the decoding thread into the event loop."""

    def __init__(self, following: FollowingServer, question: Question) -> None:
        self._server, self._question = following.server, question
        # Used by the decoding thread until its last token, then by the loop.
        self._text = TextStream(following.decoder, question.stop, strip_start=question.is_chat)
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Piece | Literal["ended"]] = asyncio.Queue()
        self._future: Future[Generation] | None = None
        self._is_left = False

    def submit(self, version: int) -> None:
        question = self._question
        self._future = self._server.submit(
            question.prompt_ids, version=version, max_new_tokens=question.max_new_tokens, sampling=question.sampling,
            watch=self._watch, timeout_seconds=question.timeout_seconds,
        )  # fmt: skip
        self._future.add_done_callback(lambda _future: self._hand_over("ended"))

    def _watch(self, token_id: int, logprobs: TokenLogprobs | None) -> Verdict:
        if self._is_left:
            return "give up"
        self._hand_over(Piece(self._text.push(token_id), token_id, logprobs))
        return "stop" if self._text.is_stopped else "go on"

    def _hand_over(self, item: Piece | Literal["ended"]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(functools.partial(self._queue.put_nowait, item))

    async def pieces(self) -> AsyncIterator[Piece]:
        """The answer piece by piece, the last with its finish reason; whoever stops listening gives it up.

        Raises:
            GenerationFailed, DeadlinePassed, ServerClosed: there is no whole answer.
        """
        assert self._future is not None, "submit comes first"
        try:
            while (item := await self._queue.get()) != "ended":
                yield item
            answer = self._future.result()
            yield Piece(self._text.finish(), finish_reason=answer.finish_reason, num_tokens=len(answer.token_ids))
        finally:
            self.leave()

    def leave(self) -> None:
        """Nobody reads on: the request ends before its first token, or with the next one."""
        self._is_left = True
        if self._future is not None:
            self._future.cancel()
