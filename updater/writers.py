"""The model itself as a writer: what it asks about an experience that it is shown, and how else it puts it.

Knows: asking a model in the words of its style. Refuses to know: whether what it writes is of any use.
"""

from collections.abc import Sequence
from typing import Final

from memory_log.records import Experience, TargetKind
from updater.candidates import Candidate, Wanted
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.settings import WritingSettings

MAX_STATEMENT_TOKENS: Final = 64


def written_by_model(
    base: LanguageModel, experiences: Sequence[Experience], wanted: Wanted, seed: int
) -> list[Candidate]:
    """What theta_0 writes about experiences in its prompt, sampled; nothing that its style has no instruction for."""
    style = base.dialogue.style
    instructions: list[tuple[TargetKind, str, int]] = [
        ("question", style.write_question, wanted.questions),
        ("near_miss", style.write_near_miss, wanted.near_misses),
        ("question", style.write_implication, wanted.implications if style.write_implication else 0),
    ]
    requests = [
        (experience, kind, instruction)
        for kind, instruction, count in instructions
        for experience in experiences
        for _ in range(count)
    ]
    prompts = [base.dialogue.prompt_ids(instruction, [experience.text]) for experience, _, instruction in requests]
    texts = generate_texts(base.model, base.dialogue, prompts, temperature=1.0, seed=seed)
    asked = [Candidate(experience, kind, text) for (experience, kind, _), text in zip(requests, texts, strict=True)]
    return [*asked, *_restated(base, experiences, wanted.restatements, seed)]


def _restated(base: LanguageModel, experiences: Sequence[Experience], count: int, seed: int) -> list[Candidate]:
    style = base.dialogue.style
    if not (count and style.write_restatement and style.state_known):
        return []
    of_each = [experience for experience in experiences for _ in range(count)]
    prompts = [base.dialogue.prompt_ids(style.write_restatement, [experience.text]) for experience in of_each]
    texts = generate_texts(
        base.model, base.dialogue, prompts, temperature=1.0, seed=seed, max_new_tokens=MAX_STATEMENT_TOKENS
    )
    return [Candidate(experience, "restatement", text) for experience, text in zip(of_each, texts, strict=True)]


def left_out(base: LanguageModel, settings: WritingSettings) -> tuple[str, ...]:
    """What the settings want and the model's style has no instruction for, in words; other writers may do the first."""
    style = base.dialogue.style
    missing = []
    if settings.implications_per_experience and not style.write_implication:
        missing.append("implications by the model")
    if settings.restatements_per_experience and not (style.write_restatement and style.state_known):
        missing.append("restatements by the model" if style.state_known else "restatements")
    return tuple(missing)
