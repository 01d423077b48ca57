"""`/v1/chat/completions`, `/v1/completions` and `/v1/models`, as OpenAI's clients expect them.

Knows how answers become bodies and events. Refuses to know how they are decoded, and who may ask.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from agent.api.answers import Bound, Piece, Question, begin
from agent.api.errors import ApiError, described
from agent.api.keys import Scope
from agent.api.openai_fields import ChatRequest, CompletionRequest, Usage
from agent.api.service import Service
from agent.sampling import Sampling, TokenLogprobs
from memory_log.errors import BadInput, NotAModel
from memory_log.records import NewExperience, Version, VersionState

VERSION_HEADER: Final = "x-selfparam-version"
EXPERIENCE_HEADER: Final = "x-selfparam-experience"
Kind = Literal["chat.completion", "text_completion"]


def openai_router(service: Service) -> APIRouter:
    """The routes of one service."""
    router = APIRouter(prefix="/v1", tags=["openai"])

    @router.post("/chat/completions", summary="Answer a conversation")
    async def chat(body: ChatRequest, request: Request) -> Response:
        """The answer of a version, from its weights; with `store` the last message becomes an experience."""
        needed: list[Scope] = ["ask", "tell"] if body.store else ["ask"]
        service.door.check(request, *needed)
        version = service.asked_version(body.model)
        try:
            turns = [message.turn for message in body.messages]
            prompt = await service.encoded(lambda dialogue: dialogue.conversation_ids(turns))
        except NotAModel as exc:
            raise BadInput("the model's chat template takes no such conversation; order its roles otherwise") from exc
        most = body.max_completion_tokens or body.max_tokens
        num_logprobs = (body.top_logprobs or 0) if body.logprobs else None
        asked = _questions(service, body, [prompt], most, num_logprobs, is_chat=True)
        return await _answered(service, body, request, "chat.completion", asked, version)

    @router.post("/completions", summary="Go on with a text")
    async def completion(body: CompletionRequest, request: Request) -> Response:
        """What a version goes on with, from its weights."""
        service.door.check(request, "ask")
        version = service.asked_version(body.model)
        prompts = [await _token_ids(service, one) for one in body.prompts]
        asked = _questions(service, body, prompts, body.max_tokens, body.logprobs, is_chat=False)
        return await _answered(service, body, request, "text_completion", asked, version)

    @router.get("/models", summary="List what can be asked")
    async def models(request: Request) -> dict[str, Any]:
        """The lineage, which is its newest version, and every admitted version, by name."""
        service.door.check(request, "ask")
        known = await asyncio.to_thread(service.log.versions, service.lineage)
        admitted = [version for version in known if version.state is VersionState.ADMITTED]
        head = await asyncio.to_thread(service.log.head, service.lineage)
        newest = {**_model(service, head), "id": service.lineage, "parent": service.name(head.number)}
        return {"object": "list", "data": [newest, *(_model(service, version) for version in admitted)]}

    @router.get("/models/{model}", summary="Describe one")
    async def model(model: str, request: Request) -> dict[str, Any]:
        """A version by name; the lineage's name stands for the one that serves."""
        service.door.check(request, "ask")
        number = service.asked_version(model)
        log, lineage = service.log, service.lineage
        version = await asyncio.to_thread(
            lambda: log.head(lineage) if number is None else log.version(lineage, number)
        )
        if version.state is not VersionState.ADMITTED:
            raise ApiError(404, f"version {version.number} was not admitted", code="model_not_found", param="model")
        found = _model(service, version)
        return found if number is not None else {**found, "id": service.lineage, "parent": found["id"]}

    return router


async def _token_ids(service: Service, prompt: str | tuple[int, ...]) -> Sequence[int]:
    return await service.encoded(lambda dialogue: dialogue.text_ids(prompt)) if isinstance(prompt, str) else prompt


def _model(service: Service, version: Version) -> dict[str, Any]:
    parent = None if version.parent is None else service.name(version.parent)
    return {
        "id": service.name(version.number), "object": "model", "created": int(version.created_at.timestamp()),
        "owned_by": "selfparam", "root": service.root, "parent": parent, "version": version.number,
    }  # fmt: skip


async def _stored(service: Service, body: ChatRequest, request: Request) -> dict[str, str]:
    """The last message, on disk; a header that names the experience."""
    about = dict(body.metadata or {})
    new = NewExperience(
        text=body.messages[-1].text, lineage=service.lineage, session=about.pop("session", "default"),
        agent=about.pop("agent", "agent"), key=request.headers.get("idempotency-key"), metadata={**about},
    )  # fmt: skip
    experience = await asyncio.to_thread(service.log.append, new)
    return {EXPERIENCE_HEADER: str(experience.id)}


def _questions(
    service: Service,
    body: ChatRequest | CompletionRequest,
    prompts: Sequence[Sequence[int]],
    most_tokens: int | None,
    num_logprobs: int | None,
    *,
    is_chat: bool,
) -> list[Question]:
    """One for each choice; a seed gives each choice of a prompt another one, so that they differ."""
    temperature = body.temperature or 0.0
    top_p = 1.0 if body.top_p is None else body.top_p
    return [
        Question(
            prompt_ids=prompt, max_new_tokens=most_tokens or service.max_tokens, stop=body.stops, is_chat=is_chat,
            timeout_seconds=service.answer_seconds,
            sampling=Sampling(
                temperature=temperature, top_p=top_p, num_logprobs=num_logprobs,
                seed=None if body.seed is None else body.seed + choice,
            ),
        )
        for prompt in prompts
        for choice in range(body.n or 1)
    ]  # fmt: skip


async def _answered(
    service: Service,
    body: ChatRequest | CompletionRequest,
    request: Request,
    kind: Kind,
    asked: Sequence[Question],
    version: int | None,
) -> Response:
    bounds, headers = list[Bound](), dict[str, str]()
    try:
        for question in asked:
            bounds.append(await begin(service.following, question, version))
            version = bounds[0].version  # of all choices, whatever is swapped in meanwhile
        fingerprint = await service.fingerprint(bounds[0].version)
        if isinstance(body, ChatRequest) and body.store:
            # Only now: a client whose request is refused sends it again.
            headers = await _stored(service, body, request)
    except BaseException:
        for bound in bounds:
            bound.leave()
        raise
    bound_to = bounds[0].version
    num_read = sum(len(question.prompt_ids) for question in asked[:: body.n or 1])  # choices of one prompt read it once
    writer = _Writer(service, kind, bound_to, fingerprint, num_read)
    headers[VERSION_HEADER] = str(bound_to)
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        events = _events(writer, bounds, with_usage=with_usage)
        headers["cache-control"] = "no-cache"
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)
    try:
        choices = await _unless_the_client_leaves(request, _collected(bounds))
    except Exception as exc:
        error = described(exc)
        error.headers.update(headers)
        if EXPERIENCE_HEADER in headers:
            error.headers["x-should-retry"] = "false"  # OpenAI's client would tell it once more
        raise error from exc
    return Response(json.dumps(writer.whole(choices)), media_type="application/json", headers=headers)


@dataclass
class _Choice:
    """One answer, collected."""

    text: str = ""
    finish_reason: str | None = None
    num_tokens: int = 0
    logprobs: list[TokenLogprobs] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.logprobs += [piece.logprobs] if piece.logprobs is not None else []
        if piece.finish_reason is not None:
            self.finish_reason, self.num_tokens = piece.finish_reason, piece.num_tokens


async def _collected(bounds: Sequence[Bound]) -> list[_Choice]:
    choices = [_Choice() for _ in bounds]
    async for index, piece in _merged(bounds):
        choices[index].add(piece)
    return choices


async def _merged(bounds: Sequence[Bound]) -> AsyncIterator[tuple[int, Piece]]:
    """The pieces of several answers as they come; whoever stops listening gives all of them up."""
    queue: asyncio.Queue[tuple[int, Piece | Exception | None]] = asyncio.Queue()

    async def pump(index: int, pieces: AsyncIterator[Piece]) -> None:
        try:
            async for piece in pieces:
                queue.put_nowait((index, piece))
            queue.put_nowait((index, None))
        except Exception as exc:  # noqa: BLE001 - raised again where the answers are put together
            queue.put_nowait((index, exc))

    tasks = [asyncio.create_task(pump(index, bound.pieces)) for index, bound in enumerate(bounds)]
    try:
        num_running = len(tasks)
        while num_running:
            index, item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                num_running -= 1
            else:
                yield index, item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _events(writer: "_Writer", bounds: Sequence[Bound], *, with_usage: bool) -> AsyncIterator[str]:
    num_written = 0
    try:
        for index in range(len(bounds)):
            for chunk in writer.opening(index):
                yield _event(chunk)
        async for index, piece in _merged(bounds):
            num_written += piece.num_tokens
            if piece.text or piece.logprobs or piece.finish_reason:
                yield _event(writer.chunk(index, piece))
        if with_usage:
            yield _event(writer.usage_chunk(num_written))
    except Exception as exc:  # noqa: BLE001 - the status has been sent; the stream says what went wrong
        yield _event(described(exc).body.model_dump())
    finally:
        for bound in bounds:
            bound.leave()  # harmless for what has ended
    yield "data: [DONE]\n\n"


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


async def _unless_the_client_leaves(request: Request, work: Awaitable[list[_Choice]]) -> list[_Choice]:
    """What the work gives; where the client goes before that, the work is given up."""

    async def until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(until_gone())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ApiError(499, "the client has left", code="cancelled")
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


class _Writer:
    """Bodies and events of one request, all with its id, its time and its version."""

    def __init__(self, service: Service, kind: Kind, version: int, fingerprint: str, num_read: int) -> None:
        self._service, self._kind, self._num_read = service, kind, num_read
        self._num_letters: dict[int, int] = {}  # of each streamed choice, so far
        prefix = "chatcmpl" if self._is_chat else "cmpl"
        self._head = {
            "id": f"{prefix}-{uuid.uuid4().hex}", "created": int(service.clock().timestamp()),
            "model": service.name(version), "system_fingerprint": fingerprint,
        }  # fmt: skip

    @property
    def _is_chat(self) -> bool:
        return self._kind == "chat.completion"

    def whole(self, choices: Sequence[_Choice]) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        usage = Usage.of(self._num_read, sum(choice.num_tokens for choice in choices))
        written = [
            {
                "index": index, "finish_reason": choice.finish_reason, "logprobs": self._logprobs(choice.logprobs),
                **({"message": {"role": "assistant", "content": choice.text, "refusal": None}} if self._is_chat
                   else {"text": choice.text}),
            }
            for index, choice in enumerate(choices)
        ]  # fmt: skip
        return {**self._head, "object": self._kind, "choices": written, "usage": usage.model_dump()}

    def opening(self, index: int) -> list[dict[str, Any]]:
        """What comes before the first words of a streamed choice."""
        if not self._is_chat:
            return []
        return [self._chunk(index, {"delta": {"role": "assistant", "content": ""}}, None, None)]

    def chunk(self, index: int, piece: Piece) -> dict[str, Any]:
        """A piece of a streamed choice."""
        logprobs = self._logprobs([piece.logprobs] if piece.logprobs is not None else [], index)
        if self._is_chat:
            delta = {"content": piece.text} if piece.text or not piece.finish_reason else {}
            return self._chunk(index, {"delta": delta}, piece.finish_reason, logprobs)
        return self._chunk(index, {"text": piece.text}, piece.finish_reason, logprobs)

    def usage_chunk(self, num_written: int) -> dict[str, Any]:
        """The last event, where it was asked for."""
        usage = Usage.of(self._num_read, num_written).model_dump()
        return {**self._head, "object": self._chunk_object, "choices": [], "usage": usage}

    @property
    def _chunk_object(self) -> str:
        return "chat.completion.chunk" if self._is_chat else "text_completion"

    def _chunk(
        self, index: int, said: dict[str, Any], finish_reason: str | None, logprobs: dict[str, Any] | None
    ) -> dict[str, Any]:
        choice = {"index": index, **said, "finish_reason": finish_reason, "logprobs": logprobs}
        return {**self._head, "object": self._chunk_object, "choices": [choice]}

    def _logprobs(self, kept: Sequence[TokenLogprobs], streamed: int | None = None) -> dict[str, Any] | None:
        if not kept:
            return None
        if self._is_chat:
            return {"content": [self._chat_logprobs(one) for one in kept], "refusal": None}
        words = [self._word(one.token_id) for one in kept]
        start = self._num_letters.get(streamed, 0) if streamed is not None else 0
        if streamed is not None:
            self._num_letters[streamed] = start + sum(map(len, words))
        return {
            "tokens": words,
            "token_logprobs": [one.logprob for one in kept],
            "top_logprobs": [{self._word(token_id): value for token_id, value in one.most_likely} for one in kept],
            "text_offset": [start + sum(map(len, words[:place])) for place in range(len(words))],
        }

    def _chat_logprobs(self, one: TokenLogprobs) -> dict[str, Any]:
        def entry(token_id: int, logprob: float) -> dict[str, Any]:
            word = self._word(token_id)
            return {"token": word, "logprob": logprob, "bytes": list(word.encode())}

        return {**entry(one.token_id, one.logprob), "top_logprobs": [entry(*pair) for pair in one.most_likely]}

    def _word(self, token_id: int) -> str:
        word: Any = self._service.following.base.dialogue.tokenizer.decode([token_id])
        return str(word)
