"""Chats as lines of JSON: a conversation a line as OpenAI's interfaces take it, or a turn a line.

Knows the format and what can be wrong with a line. Refuses to know logs. No file is ever held as a whole.
`docs/sessions.md` describes the format for its users.
"""

import json
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError

from agent.sessions.turns import MOST_TURN_BYTES, Turn, TurnShape, experience_text, grouped, speakers
from memory_log.errors import BadInput
from memory_log.fields import Name, Record
from memory_log.jsonl import Fault, ReadExperience, parsed_line, problems
from memory_log.records import NewExperience

EXAMPLE: Final = '{"messages": [{"role": "user", "content": "Anna likes pears."}]}'
_BOM = "\ufeff".encode()
SPEAKING: Final = ("user", "assistant")
_LATEST_SECONDS: Final = 1e11
"""A number of seconds above this is one of milliseconds."""


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            if abs(value) > _LATEST_SECONDS:
                raise ValueError("counts milliseconds, as it seems; divide it by 1000")
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as exc:
        if "milliseconds" in str(exc):
            raise
    raise ValueError("is no time; write one such as 2026-03-01T18:30:00+01:00 (UTC unless it says), or epoch seconds")


# In JSON a text or a number; strictness is this function's.
_Time = Annotated[datetime | None, BeforeValidator(_moment)]


class _Part(Record):
    type: str
    text: str | None = None
    image_url: Any = None
    input_audio: Any = None
    file: Any = None
    refusal: Any = None


class _Message(Record):
    """One turn, with the fields that OpenAI's interfaces give one; those without text or time are read past."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | tuple[_Part, ...] | None = None
    name: Name | None = None
    time: _Time = None
    tool_calls: Any = None
    tool_call_id: Any = None
    function_call: Any = None
    refusal: Any = None
    weight: Any = None
    annotations: Any = None
    audio: Any = None

    @property
    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return (self.content or "").strip()
        return "\n".join(part.text for part in self.content if part.type == "text" and part.text).strip()

    @property
    def is_spoken(self) -> bool:
        """Whether it is a part of the conversation, and says something."""
        return self.role in SPEAKING and bool(self.text)


class _Conversation(Record):
    messages: Annotated[tuple[_Message, ...], Field(min_length=1)]
    session: Name | None = None
    time: _Time = None
    tools: Any = None
    functions: Any = None
    parallel_tool_calls: Any = None


class _SingleTurn(_Message):
    session: Name = "default"

    @property
    def messages(self) -> tuple[_Message, ...]:
        return (self,)


def read_chat(lines: Iterable[bytes], shape: TurnShape) -> Iterator[ReadExperience | Fault]:
    """Read chats, of one or both kinds of line.

    Empty lines and a byte order mark are read past; so are turns of a system or a tool, and those without text. A bad
    line comes before the experience that is under way, of which more turns may follow.

    Args:
        lines: as `bounded_lines` gives them, of any number.
        shape: how turns become experiences.
    """
    faults: deque[Fault] = deque()
    for _, turns in groupby(_turns(lines, faults.append), lambda turn: turn.session):
        for group in grouped(turns, shape):
            yield from _taken(faults)
            yield _experience(group, shape)
    yield from _taken(faults)


def _taken(faults: deque[Fault]) -> Iterator[Fault]:
    while faults:
        yield faults.popleft()


def _turns(lines: Iterable[bytes], on_fault: Callable[[Fault], None]) -> Iterator[Turn]:
    steps: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        content = line.removeprefix(_BOM) if number == 1 else line
        if not content.strip():
            continue
        try:
            read = _read(content)
        except BadInput as exc:
            on_fault(Fault(line_number=number, content=content, reason=str(exc)))
            continue
        session = read.session or f"chat-{number}"
        for message in read.messages:
            if message.is_spoken:
                steps[session] += 1
                yield Turn(
                    speaker=message.name or message.role, text=message.text, time=message.time or read.time,
                    session=session, step=steps[session], line_number=number, is_users=message.role == "user",
                )  # fmt: skip


def _read(content: bytes) -> _Conversation | _SingleTurn:
    text, fields = parsed_line(content, example=EXAMPLE)
    try:
        if "messages" in fields:
            read: _Conversation | _SingleTurn = _Conversation.model_validate_json(text, strict=True)
        else:
            read = _SingleTurn.model_validate_json(text, strict=True)
    except ValidationError as exc:
        raise BadInput(f"{problems(exc)}; a line is such as {EXAMPLE}, or one of its messages") from exc
    for message in read.messages:
        if message.is_spoken:
            _check(message.text)
    return read


def _check(text: str) -> None:
    num_bytes = len(text.encode("utf-8", "surrogatepass"))
    if num_bytes > MOST_TURN_BYTES:
        raise BadInput(
            f"holds a turn of {num_bytes} bytes, the limit is {MOST_TURN_BYTES}; split it into several messages"
        )
    if "\0" in text:
        raise BadInput("holds a NUL character in a turn, which text columns cannot store; remove it")


def _experience(group: Sequence[Turn], shape: TurnShape) -> ReadExperience | Fault:
    first = group[0]
    text = experience_text(group, shape)
    try:
        new = NewExperience(
            text=text, time=first.time, session=first.session, step=first.step, metadata={"speakers": speakers(group)}
        )
    except BadInput as exc:
        return Fault(line_number=first.line_number, content=text.encode(), reason=str(exc))
    # What makes a conversation the same one, wherever in the file it stands.
    said = {"time": None if first.time is None else first.time.isoformat(), "text": new.text}
    return ReadExperience(
        line_number=first.line_number, content=json.dumps(said).encode(), experience=new, source=None, logged_id=None
    )
