"""Files of experiences in any of the formats that are read, as one stream.

Knows which format is read by whom. Refuses to know what becomes of what is read.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final, Literal, NamedTuple

from agent.sessions.chat import read_chat
from agent.sessions.locomo import Question, read_locomo
from agent.sessions.turns import GROUP_BYTES, MOST_TURN_BYTES, Shape, TurnShape
from memory_log.errors import BadInput
from memory_log.jsonl import Fault, ReadExperience, bounded_lines, read_experiences

Format = Literal["experiences", "chat", "locomo"]
"""The log's own JSON lines; chats as JSON lines; a file such as LoCoMo's."""
_MIB: Final = 1 << 20
MOST_LOCOMO_BYTES: Final = 256 * _MIB


class FileForm(NamedTuple):
    """What a file is, and what is wanted of it.

    Example: FileForm("chat", shape="transcript")
    """

    format: Format = "experiences"
    shape: Shape | None = None
    """None: what suits the format."""
    group_bytes: int = GROUP_BYTES
    only: str | None = None
    """The one conversation that is wanted, of LoCoMo's."""


class FileRead(NamedTuple):
    """What a file holds; `questions` by the lineage that they are about."""

    items: Iterator[ReadExperience | Fault]
    questions: dict[str, list[Question]]


def check_form(form: FileForm) -> None:
    """See that what is wanted goes together.

    Raises:
        BadInput: it does not.
    """
    if form.format == "experiences" and form.shape is not None:
        raise BadInput("--as is for conversations; say which format the file has, such as: --format chat")
    if form.group_bytes > MOST_TURN_BYTES:
        raise BadInput(f"got --group-bytes {form.group_bytes}; an experience holds {MOST_TURN_BYTES} bytes of turns")
    if form.format == "locomo" and form.shape == "turns":
        raise BadInput("LoCoMo's turns need their speakers and dates beside them; leave --as turns out")
    if form.format != "locomo" and form.only is not None:
        raise BadInput("--conversation is for --format locomo; other files are one stream")


def read_file(file: BinaryIO, form: FileForm) -> FileRead:
    """Read a file; line by line, but for LoCoMo's, which is one object.

    Raises:
        BadInput: LoCoMo's is no such file.
    """
    if form.format == "locomo":
        content = file.read(MOST_LOCOMO_BYTES + 1)
        if len(content) > MOST_LOCOMO_BYTES:
            raise BadInput(f"is longer than {MOST_LOCOMO_BYTES // _MIB} MiB; split it by conversations")
        found = read_locomo(content, group_bytes=form.group_bytes, only=form.only)
        items = (item for conversation in found for item in conversation.experiences)
        return FileRead(items, {conversation.name: conversation.questions for conversation in found})
    lines = bounded_lines(file)
    if form.format == "chat":
        return FileRead(read_chat(lines, TurnShape(form.shape or "turns", form.group_bytes)), {})
    return FileRead(read_experiences(lines), {})
