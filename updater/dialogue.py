"""How a model is spoken to: notes and a question in, token ids out, with its chat template where it has one.

Knows: prompts as text and tokens. Refuses to know: weights, experiences, the log.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import torch
from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from transformers import PreTrainedTokenizerBase

from memory_log.errors import NotAModel

STYLE_FILE: Final = "selfparam.json"
_TURN: Final = "what the user says"
OPTIONAL_INSTRUCTIONS: Final = ("write_implication", "write_restatement", "state_known")
"""What a model with a style of its own is only told where that style says how: it may have been trained for less."""


class PromptStyle(BaseModel):
    """The words around notes and questions. A model folder may carry its own as `selfparam.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    with_notes: str = Field(
        default="These are notes of what happened, in order of time. Answer from them in one short sentence that "
        "repeats the question's subject; the latest note counts. If they do not say it, end the sentence with the word "
        "unknown.",
        description="Instruction above the notes; empty for a model that needs none.",
    )
    without_notes: str = Field(
        default="Answer in one short sentence that repeats the question's subject. If you do not know, end the "
        "sentence with the word unknown.",
        description="Instruction when there are no notes.",
    )
    write_question: str = Field(
        default="Write one short question that these notes answer. Name the subject in full. Write only the question.",
        description="Asks the model for a question about an experience.",
    )
    write_near_miss: str = Field(
        default="Write one short question that these notes do NOT answer, about something that differs from their "
        "subject in one word. Write only the question.",
        description="Asks the model for a question about something easily confused with the experience.",
    )
    write_implication: str = Field(
        default="Write one short question whose answer follows from these notes, although they do not say it in these "
        "words. Name the subject in full. Write only the question.",
        description="Asks the model for a question that takes a conclusion; empty for a model that cannot write one.",
    )
    write_restatement: str = Field(
        default="Say in one sentence and in other words what these notes say, and nothing more. Name the subject in "
        "full. Write only the sentence.",
        description="Asks the model to restate an experience; empty for a model that cannot.",
    )
    state_known: str = Field(
        default="Say in one sentence what is known about {subject}.",
        description="Asks without notes for what a restatement says; {subject} stands for its subject. Empty for a "
        "model that is not asked so: then nothing is restated to it.",
    )
    language: Literal["general", "household"] = Field(
        default="general", description="What the model speaks; decides where anchors come from."
    )
    unknown_word: str = Field(
        default="unknown", description="The word that an answer holds when the model does not know."
    )

    @field_validator("state_known")
    @classmethod
    def _names_a_subject(cls, instruction: str) -> str:
        if instruction and instruction.count("{subject}") != 1:
            raise ValueError("needs {subject} once, or to be empty")
        return instruction

    @classmethod
    def for_model(cls, folder: Path) -> "PromptStyle":
        """The style that lies in a model's folder, else the general one.

        Raises:
            NotAModel: the file there cannot be read as a style.
        """
        path = folder / STYLE_FILE
        if not path.is_file():
            return cls()
        try:
            style = cls.model_validate_json(path.read_bytes())
            unnamed = [name for name in OPTIONAL_INSTRUCTIONS if name not in style.model_fields_set]
            return style.model_copy(update=dict.fromkeys(unnamed, ""))
        except ValidationError as exc:
            problem = exc.errors()[0]
            where = ".".join(str(part) for part in problem["loc"]) or "the file"
            raise NotAModel(f"{path} is no prompt style: {where}: {problem['msg']}. Correct it or remove it.") from exc


class Dialogue:
    """Turns notes and questions into token ids for one tokenizer, and tokens back into text."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, style: PromptStyle, *, more_eos_token_ids: Sequence[int] = ()
    ) -> None:
        """
        Args:
            tokenizer: with its chat template, if it has one.
            style: the words around notes and questions.
            more_eos_token_ids: tokens that end an answer beside the tokenizer's own end, such as an end of turn.

        Raises:
            NotAModel: the chat template cannot render a question.
        """
        self.tokenizer = tokenizer
        self.style = style
        end = tokenizer.eos_token_id
        own = end if isinstance(end, list) else [end] if end is not None else []
        self.eos_token_ids: tuple[int, ...] = tuple(dict.fromkeys([*own, *more_eos_token_ids]))
        pad = tokenizer.pad_token_id
        self.pad_token_id: int = pad if pad is not None else (self.eos_token_ids[0] if self.eos_token_ids else 0)
        self._has_system_role = tokenizer.chat_template is not None and _passes_on_system_messages(tokenizer)

    def prompt_ids(self, question: str, notes: Sequence[str] = ()) -> list[int]:
        """Token ids of a prompt, up to where the answer begins.

        Args:
            question: what is asked.
            notes: experiences in order of time, as context; none asks from the weights alone.
        """
        instruction = self.style.with_notes if notes else self.style.without_notes
        system = "\n".join([instruction, *notes] if instruction else notes)
        if self.tokenizer.chat_template is None:
            plain = f"{system}\n\n" if system else ""
            return self._encode(f"{plain}Question: {question}\nAnswer:", special=True)
        if system and self._has_system_role:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        else:
            messages = [{"role": "user", "content": f"{system}\n\n{question}" if system else question}]
        return self._encode(_rendered(self.tokenizer, messages), special=False)

    def conversation_ids(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        """Token ids of a whole conversation, up to where the next answer begins.

        One question is put as `prompt_ids` puts it, in the words in which updates teach. Anything longer is left as it
        was said; a system message goes before the first question where the chat template takes none.

        Args:
            turns: (role, text), the role `system`, `user` or `assistant`; the last is a user's.

        Raises:
            NotAModel: the chat template cannot render such a conversation.
        """
        if len(turns) == 1:
            return self.prompt_ids(turns[0][1])
        if self.tokenizer.chat_template is None:
            spoken = {"system": "{}\n", "user": "Question: {}", "assistant": "Answer: {}\n"}
            text = "\n".join(spoken[role].format(said) for role, said in turns)
            return self._encode(f"{text}\nAnswer:", special=True)
        messages = [{"role": role, "content": said} for role, said in turns]
        if not self._has_system_role:
            messages = _with_system_in_question(messages)
        return self._encode(_rendered(self.tokenizer, messages), special=False)

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text that the model is to go on with, with what its tokenizer puts at a beginning."""
        return self._encode(text, special=True)

    @property
    def is_chat(self) -> bool:
        """Whether the model is spoken to in turns."""
        return self.tokenizer.chat_template is not None

    def opening_ids(self) -> list[int]:
        """Token ids of what comes before anybody has said anything; of a chat, up to the user's first words."""
        if self.is_chat:
            turn = _rendered(self.tokenizer, [{"role": "user", "content": _TURN}])
            return self._encode(turn.partition(_TURN)[0], special=False) or [self.pad_token_id]
        start = self.tokenizer.bos_token_id
        return [start if isinstance(start, int) else self.pad_token_id]

    def completion_ids(self, answer: str) -> list[int]:
        """Token ids of an answer as the model would give it, with its end.

        The last token stands for whatever the model says when it has said enough, be it an end of turn or a new line:
        no later position reads it, and the gate compares that place with the teacher's own choice. A model without an
        end token therefore gets any.
        """
        text = answer.strip() if self.tokenizer.chat_template is not None else f" {answer.strip()}"
        return [*self._encode(text, special=False), *(self.eos_token_ids[:1] or (self.pad_token_id,))]

    def _encode(self, text: str, *, special: bool) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=special, return_attention_mask=False)["input_ids"]
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """The text of generated ids: one line, without special tokens."""
        decoded: Any = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return str(decoded).strip().split("\n")[0].strip()

    def says_unknown(self, answer: str) -> bool:
        """Whether an answer is the model's way of not knowing: it holds the unknown word, punctuated or not."""
        return self.style.unknown_word.lower() in re.findall(r"\w+", answer.lower())


def _passes_on_system_messages(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template says what a system message says: some refuse one, some drop it."""
    question = {"role": "user", "content": "?"}
    try:
        rendered = _rendered(tokenizer, [{"role": "system", "content": "these notes"}, question])
    except NotAModel:
        _rendered(tokenizer, [question])
        return False
    return "these notes" in rendered


def _with_system_in_question(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    others = [message for message in messages if message["role"] != "system"]
    if not system:
        return others
    first = next(place for place, message in enumerate(others) if message["role"] == "user")
    asked = {"role": "user", "content": f"{system}\n\n{others[first]['content']}"}
    return [*others[:first], asked, *others[first + 1 :]]


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]) -> str:
    try:
        # Models that think aloud before they answer are asked not to; other templates ignore the variable.
        text: Any = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    except TemplateError as exc:
        raise NotAModel(
            f"the chat template of {tokenizer.name_or_path} cannot render a question ({exc}); correct the template, or "
            "remove it to ask in plain text"
        ) from exc
    return str(text)


def left_padded(
    sequences: Sequence[Sequence[int]], pad_token_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [B, S] and attention mask [B, S], padded on the left so that all sequences end together."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), longest), pad_token_id, dtype=torch.long)
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, longest - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
        mask[row, longest - len(sequence) :] = 1
    return ids.to(device), mask.to(device)
