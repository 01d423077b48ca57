"""Contexts and questions from files: JSON lines, PwC, SQuAD passages, bAbI stories.

Knows: four formats and what can be wrong with a line. Refuses to know: models, methods. Such questions have no near
misses; facts, and so changes, only where a line states them.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from agent.study.lines import lines_of
from agent.study.records import Asked, Stream, Told
from memory_log.errors import BadInput
from memory_log.fields import MAX_TEXT_BYTES, Record
from memory_log.records import Fact

Format = Literal["jsonl", "pwc", "squad", "babi"]
_BABI_LINE: Final = re.compile(r"(\d+) (.+)")


class Probe(Record):
    """A question with the answers that are right, either as `answer` or as `answers`.

    Example: Probe(question="Who wrote it?", answers=("Mira", "Mira Novak"))
    """

    question: str = Field(min_length=1)
    answer: str | None = None
    answers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_an_answer(self) -> "Probe":
        if not self.all_answers:
            raise ValueError("has no answer; give 'answer' or 'answers'")
        return self

    @property
    def all_answers(self) -> tuple[str, ...]:
        """Every right answer that holds a word."""
        given = self.answers if self.answer is None else (self.answer, *self.answers)
        return tuple(answer for answer in given if answer.strip())


class Passage(Record):
    """A context to inject, with its questions: a line of a JSONL file.

    Example: Passage(context="Mira is in the garden.", probes=(Probe(question="Where is Mira?", answer="the garden"),))
    """

    context: str = Field(min_length=1)
    probes: tuple[Probe, ...] = Field(min_length=1)
    facts: tuple[Fact, ...] = ()


def read_passages(path: Path, form: Format) -> list[Passage]:
    """Every passage of a file, in its order.

    Raises:
        BadInput: the file cannot be read, or holds something else; with the line's or the passage's number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"{path} cannot be read ({exc}); give a file of UTF-8 text") from exc
    passages = [_checked(found, where) for where, found in _READERS[form](path, text)]
    if not passages:
        raise BadInput(f"{path} holds no passage; needed is at least one")
    return passages


def _checked(found: Any, where: str) -> Passage:  # noqa: ANN401 - whatever JSON may hold
    try:
        passage = Passage.model_validate(found)
    except ValidationError as exc:
        problem = exc.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the line"
        raise BadInput(
            f'{where}: {field}: {problem["msg"]}. A line is {{"context": ..., "probes": [{{"question": ..., "answer": '
            "...}], ...}"
        ) from exc
    num_bytes = len(passage.context.encode())
    if num_bytes > MAX_TEXT_BYTES:
        raise BadInput(f"{where}: the context has {num_bytes} bytes, the limit is {MAX_TEXT_BYTES}; split it")
    return passage


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(lines_of(text), start=1):
        if line.strip():
            where = f"{path} line {number}"
            try:
                yield where, json.loads(line)
            except ValueError as exc:
                raise BadInput(f"{where} is not JSON ({exc}); every line must be one JSON object") from exc


def _pwc(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """Lines with `input`, `prompt` and `answer`; those of one input belong together."""
    probes: dict[str, list[dict[str, str]]] = {}
    first: dict[str, str] = {}
    for where, found in _json_lines(path, text):
        if not isinstance(found, dict) or not {"input", "prompt", "answer"} <= found.keys():
            raise BadInput(f"{where}: needed are 'input', 'prompt' and 'answer', as in PwC")
        first.setdefault(found["input"], where)
        probes.setdefault(found["input"], []).append({"question": found["prompt"], "answer": found["answer"]})
    for context, asked in probes.items():
        yield first[context], {"context": context, "probes": asked}


def _squad(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """A list of passages with `context` and `questions`, the title before the text."""
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise BadInput(f"{path} is not JSON ({exc}); needed is a list of passages, as in squad_val.json") from exc
    if not isinstance(found, list):
        raise BadInput(f"{path} holds a {type(found).__name__}; needed is a list of passages, as in squad_val.json")
    for number, passage in enumerate(found, start=1):
        where = f"{path} passage {number}"
        if not isinstance(passage, dict) or not {"context", "questions"} <= passage.keys():
            raise BadInput(f"{where}: needed are 'context' and 'questions'")
        title = f"{passage['title']}: " if passage.get("title") else ""
        yield where, {"context": f"{title}{passage['context']}", "probes": passage["questions"]}


def _babi(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """Stories of numbered lines, a question having its answer behind a tab; a new story begins at number 1.

    A story is one context, and is asked what its file asks after its last statement: earlier answers may have become
    untrue by then. The same few questions return in every story, so contexts and questions name the story.
    """
    story: list[str] = []
    asked: list[dict[str, str]] = []
    number, where = 0, ""

    def told() -> Iterator[tuple[str, Any]]:
        if asked:
            yield where, {"context": f"Story {number}. {' '.join(story)}", "probes": list(asked)}

    for place, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        found = _BABI_LINE.fullmatch(line.rstrip())
        if found is None:
            raise BadInput(f"{path} line {place}: needed is a number and a sentence, as in bAbI")
        if found[1] == "1":
            yield from told()
            story, asked, number, where = [], [], number + 1, f"{path} line {place}"
        said, *answer = found[2].split("\t")
        if answer:
            question = f"In story {number}, {said.strip()[:1].lower()}{said.strip()[1:]}"
            asked.append({"question": question, "answer": answer[0].strip()})
        else:
            story.append(said.strip())
            asked = []
    yield from told()


_READERS: Final[dict[Format, Callable[[Path, str], Iterator[tuple[str, Any]]]]] = {
    "jsonl": _json_lines,
    "pwc": _pwc,
    "squad": _squad,
    "babi": _babi,
}


def stream_of(passages: Sequence[Passage], num_told: int, *, seed: int) -> Stream:
    """A stream of passages drawn by the seed, in the order of their file, so that what changes changes in time.

    Raises:
        BadInput: there are fewer passages than the protocol injects.
    """
    if len(passages) < num_told:
        raise BadInput(
            f"the file has {len(passages)} passages, and {num_told} are needed; take fewer updates, or fewer in each"
        )
    chosen = sorted(random.Random(f"passages/{seed}").sample(range(len(passages)), num_told))
    told = [passages[place] for place in chosen]
    questions = [(number, probe) for number, passage in enumerate(told) for probe in passage.probes]
    return Stream(
        told=tuple(Told(number=n, text=passage.context, facts=passage.facts) for n, passage in enumerate(told)),
        asked=tuple(
            Asked(number=place, told=number, kind="paraphrase", question=probe.question, answers=probe.all_answers)
            for place, (number, probe) in enumerate(questions)
        ),
    )
