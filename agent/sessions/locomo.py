"""LoCoMo's conversations: sessions with dates, turns with names, and questions with the turns that answer them.

Knows the format of `locomo10.json` (snap-research/LoCoMo; its conversations are CC BY-NC 4.0 and no part of this
package). Refuses to know logs. `docs/sessions.md` describes what becomes of it.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent.sessions.turns import GROUP_BYTES, Turn, TurnShape, grouped, speakers, transcript
from memory_log.errors import BadInput
from memory_log.fields import Record
from memory_log.jsonl import ReadExperience, problems
from memory_log.records import NewExperience

Category = Literal["multi_hop", "temporal", "open_domain", "single_hop", "adversarial"]
CATEGORIES: Final[dict[int, Category]] = {
    1: "multi_hop", 2: "temporal", 3: "open_domain", 4: "single_hop", 5: "adversarial",
}  # fmt: skip
NOT_MENTIONED: Final = "Not mentioned in the conversation"
"""The right answer to an adversarial question, in the words of LoCoMo's own evaluation."""
_NAME: Final = re.compile(r"\w[\w.-]{,127}")
_SESSION: Final = re.compile(r"session_(\d+)")
# Some evidence of the published file runs several together or puts a colon or a 0 too many: "D8:6; D9:17", "D:11:26".
_DIA_ID: Final = re.compile(r"D:?0*(\d+):0*(\d+)")


class Question(Record):
    """A question of LoCoMo's with what a study needs to judge an answer.

    `evidence` names the experiences that hold the turns which answer it, by key, in the order of the conversation;
    `missing` the turns that are named and not there.

    Example: [one for one in conversation.questions if one.category == "temporal" and one.evidence]
    """

    question: str
    answer: str
    category: Category
    tempting_answer: str | None = None
    """Of an adversarial question: what is said of somebody else, or of something similar."""
    dia_ids: tuple[str, ...]
    evidence: tuple[str, ...]
    missing: tuple[str, ...] = ()


class LocomoConversation(NamedTuple):
    """One conversation of a file, as experiences and questions about them."""

    name: str
    experiences: list[ReadExperience]
    questions: list[Question]


class _Loose(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Turn(_Loose):
    speaker: str = Field(min_length=1)
    dia_id: str = Field(min_length=1)
    text: str
    blip_caption: str | None = None


class _Asked(_Loose):
    question: str = Field(min_length=1)
    answer: str | int | float | None = None
    adversarial_answer: str | int | float | None = None
    evidence: tuple[str, ...]
    category: int = Field(ge=1, le=5)


class _Sample(_Loose):
    sample_id: str
    conversation: dict[str, Any]
    qa: tuple[_Asked, ...] = ()


_SAMPLES: Final = TypeAdapter(tuple[_Sample, ...])
_TURNS: Final = TypeAdapter(tuple[_Turn, ...])


def read_locomo(
    content: bytes, *, group_bytes: int = GROUP_BYTES, only: str | None = None
) -> list[LocomoConversation]:
    """Read a whole file of LoCoMo's.

    Each conversation is a lineage's of its own, under its own name. Dates have no zone there and count as UTC.

    Args:
        content: of the file.
        group_bytes: most bytes of an experience, which is a transcript of turns that follow each other.
        only: the one conversation that is wanted, such as `conv-26`; None takes all.

    Raises:
        BadInput: it is no such file; says where.
    """
    try:
        samples = _SAMPLES.validate_json(content)
    except ValidationError as exc:
        raise BadInput(f"is no file of LoCoMo's: {problems(exc)[:500]}; it needs a list as in locomo10.json") from exc
    names = [sample.sample_id for sample in samples]
    if only is not None and only not in names:
        raise BadInput(f"holds no conversation {only!r}; it has {', '.join(names)}")
    shape = TurnShape("transcript", group_bytes)
    return [_conversation(sample, shape) for sample in samples if only in (None, sample.sample_id)]


def _conversation(sample: _Sample, shape: TurnShape) -> LocomoConversation:
    name = sample.sample_id
    if not _NAME.fullmatch(name):
        raise BadInput(f"names a conversation {name!r}; needs letters, digits, '.', '_' and '-', 128 at most")
    experiences: list[ReadExperience] = []
    holders: dict[str, str] = {}  # by turn: the key of the experience that holds it
    for number, key in _sessions(sample):
        for group in grouped(_turns(sample, number, key), shape):
            first, last = group[0], group[-1]
            span = first.place if first is last else f"{first.place}-{last.place}"
            new = NewExperience(
                text=transcript(group), lineage=name, time=first.time, session=first.session,
                step=first.step, key=f"locomo:{name}:{span}",
                metadata={"speakers": speakers(group), "dia_ids": " ".join(turn.place for turn in group)},
            )  # fmt: skip
            holders |= {_plain_id(turn.place): new.key or "" for turn in group}
            read = ReadExperience(
                line_number=len(experiences) + 1, content=new.text.encode(), experience=new, source=None, logged_id=None
            )
            experiences.append(read)
    return LocomoConversation(name, experiences, [_question(asked, holders) for asked in sample.qa])


def _sessions(sample: _Sample) -> list[tuple[int, str]]:
    """The sessions that hold turns, in order; the published file dates some that hold none."""
    found = [(int(match[1]), key) for key in sample.conversation if (match := _SESSION.fullmatch(key))]
    return sorted(one for one in found if sample.conversation[one[1]])


def _turns(sample: _Sample, number: int, key: str) -> Iterator[Turn]:
    where = f"conversation {sample.sample_id}, {key}"
    try:
        turns = _TURNS.validate_python(sample.conversation[key])
    except ValidationError as exc:
        raise BadInput(f"{where}: {problems(exc)[:500]}; a turn has speaker, dia_id and text") from exc
    time = _time(sample.conversation.get(f"{key}_date_time"), where)
    for step, turn in enumerate(turns, 1):
        photo = f" [shares a photo: {turn.blip_caption}]" if turn.blip_caption else ""
        text = f"{turn.text}{photo}".strip()
        if text:
            yield Turn(
                speaker=turn.speaker, text=text, time=time, session=f"{sample.sample_id}/{key}", step=step,
                line_number=number, place=turn.dia_id,
            )  # fmt: skip


def _time(said: object, where: str) -> datetime:
    try:
        return datetime.strptime(str(said), "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    except ValueError as exc:
        raise BadInput(f"{where}_date_time is {said!r}; needs a time such as '1:56 pm on 8 May, 2023'") from exc


def _plain_id(dia_id: str) -> str:
    match = _DIA_ID.fullmatch(dia_id)
    return dia_id if match is None else f"D{match[1]}:{match[2]}"


def _question(asked: _Asked, holders: dict[str, str]) -> Question:
    category = CATEGORIES[asked.category]
    is_adversarial = category == "adversarial"
    named = [f"D{match[1]}:{match[2]}" for text in asked.evidence for match in _DIA_ID.finditer(text)]
    if not is_adversarial and asked.answer is None:
        raise BadInput(f"asks {asked.question!r} without an answer; only adversarial questions have none")
    return Question(
        question=asked.question,
        answer=NOT_MENTIONED if is_adversarial else str(asked.answer),
        category=category,
        tempting_answer=str(asked.adversarial_answer) if is_adversarial else None,
        dia_ids=tuple(dict.fromkeys(named)),
        evidence=_in_order(dict.fromkeys(holders[one] for one in named if one in holders), holders),
        missing=tuple(dict.fromkeys(one for one in named if one not in holders)),
    )


def _in_order(keys: "dict[str, None]", holders: dict[str, str]) -> tuple[str, ...]:
    order = {key: place for place, key in enumerate(dict.fromkeys(holders.values()))}
    return tuple(sorted(keys, key=order.__getitem__))


def count_categories(questions: Sequence[Question]) -> str:
    """How many of each category, in words.

    Example: "2 single_hop, 1 adversarial"
    """
    counts = {name: sum(one.category == name for one in questions) for name in CATEGORIES.values()}
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number)
