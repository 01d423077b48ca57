"""What a model can do with notes in its prompt: read them, prefer the latest, ask about them, admit what they lack.

Knows: questions about made-up households in plain English, and judging answers in any wording by the words that matter.
Refuses to know: updates, homes, displays.
"""

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from transformers import PreTrainedModel

from agent.household.language import EntityDrawer, Triple, question, statement
from updater.generation import fits, generate_texts
from updater.language_model import LanguageModel
from updater.sentences import words_of

_SMALL_WORDS: Final = frozenset(("a", "an", "and", "at", "behind", "beside", "in", "near", "of", "on", "the", "under"))
GOOD_SHARE: Final = 0.8
WEAK_SHARE: Final = 0.4


class Item(NamedTuple):
    """A question with its notes. `right` is the value that answers it, None where only `unknown` does."""

    notes: tuple[str, ...]
    question: str
    right: str | None
    others: tuple[str, ...] = ()
    """Other values in the notes, none of which may be in the answer."""


def value_words(value: str) -> frozenset[str]:
    """The words of a value that matter: `in the kitchen drawer` gives kitchen and drawer."""
    return frozenset(words_of(value)) - _SMALL_WORDS


def is_right(base: LanguageModel, item: Item, answer: str) -> bool:
    """Whether an answer, in any wording, holds the right value and no other; or says `unknown`, where that is right.

    A model that repeats all of its notes is wrong as soon as there are two of them.
    """
    says_unknown = base.dialogue.says_unknown(answer)
    if item.right is None:
        return says_unknown
    said = set(words_of(answer))
    holds_other = any(value_words(other) <= said for other in item.others)
    return not says_unknown and value_words(item.right) <= said and not holds_other


def _facts(drawer: EntityDrawer, count: int) -> list[Triple]:
    """Facts about different subjects, whose values cannot be taken for one another."""
    facts: list[Triple] = []
    while len(facts) < count:
        fact = drawer.fact()
        words = value_words(fact.value)
        is_apart = all(not words <= (w := value_words(f.value)) and not w <= words for f in facts)
        if is_apart and not words & set(words_of(fact.subject)) and all(fact.subject != f.subject for f in facts):
            facts.append(fact)
    return facts


def _drawer(rng: random.Random) -> EntityDrawer:
    # Ordinary words only, which any model knows; of these the ones that the embedded model was not trained with.
    return EntityDrawer(rng, split="held_out", made_up_share=0.0)


def _told(fact: Triple, drawer: EntityDrawer) -> str:
    return statement(fact, drawer.rng, bystander=drawer.name(), opening_share=0.0)


def _asked(subject: str, relation: str, drawer: EntityDrawer) -> str:
    return question(subject, relation, drawer.rng, phrasing="written", opening_share=0.0)


def facts_to_tell(count: int, *, seed: int) -> list[tuple[Triple, str]]:
    """Facts about different subjects, each with a sentence that tells it."""
    drawer = _drawer(random.Random(f"facts/{seed}"))
    return [(fact, _told(fact, drawer)) for fact in _facts(drawer, count)]


def recall_items(facts: Sequence[Triple], *, per_fact: int, seed: int) -> list[Item]:
    """Questions about facts, without notes."""
    drawer = _drawer(random.Random(f"recall/{seed}"))
    return [Item((), _asked(f.subject, f.relation, drawer), f.value) for f in facts for _ in range(per_fact)]


def reading_items(count: int, *, num_notes: int, seed: int) -> list[Item]:
    """Questions that one of several notes answers."""
    drawer = _drawer(random.Random(f"reading/{num_notes}/{seed}"))
    items = []
    for _ in range(count):
        facts = _facts(drawer, num_notes)
        asked = drawer.rng.choice(facts)
        others = tuple(fact.value for fact in facts if fact is not asked)
        notes = tuple(_told(fact, drawer) for fact in facts)
        items.append(Item(notes, _asked(asked.subject, asked.relation, drawer), asked.value, others))
    return items


def latest_items(count: int, *, seed: int) -> list[Item]:
    """Questions about something that was told twice with different values; the later one is right."""
    drawer = _drawer(random.Random(f"latest/{seed}"))
    items: list[Item] = []
    while len(items) < count:
        old, beside = _facts(drawer, 2)
        new = old._replace(value=drawer.value(old.relation))
        words = value_words(new.value)
        if all(not words <= (w := value_words(f.value)) and not w <= words for f in (old, beside)):
            notes = tuple(_told(fact, drawer) for fact in (old, beside, new))
            others = (old.value, beside.value)
            items.append(Item(notes, _asked(new.subject, new.relation, drawer), new.value, others))
    return items


def unknown_items(count: int, *, num_notes: int, seed: int) -> list[Item]:
    """Questions that no note answers: near misses of the last one, or without notes about anything."""
    drawer = _drawer(random.Random(f"unknown/{num_notes}/{seed}"))
    items: list[Item] = []
    while len(items) < count:
        *notes, fact = _facts(drawer, max(1, num_notes))
        subject, relation = drawer.near_miss(fact)
        if all((f.subject, f.relation) != (subject, relation) for f in (*notes, fact)):
            told = tuple(_told(f, drawer) for f in (*notes, fact)) if num_notes else ()
            items.append(Item(told, _asked(subject, relation, drawer), None))
    return items


def share_right(base: LanguageModel, items: Sequence[Item], *, model: PreTrainedModel | None = None) -> float:
    """Share of items answered right, by the base model or by another one that speaks its language."""
    return num_right(base, items, model=model) / len(items)


def num_right(base: LanguageModel, items: Sequence[Item], *, model: PreTrainedModel | None = None) -> int:
    """How many items are answered right."""
    answers = _answers(base, [(item.question, item.notes) for item in items], model or base.model)
    return sum(is_right(base, item, said) for item, said in zip(items, answers, strict=True))


def share_asked(base: LanguageModel, count: int, *, seed: int) -> float:
    """Share of questions, written by the model about one note each, that name its subject and that it answers right."""
    told = facts_to_tell(count, seed=seed)
    requests = [(base.dialogue.style.write_question, (note,)) for _, note in told]
    written = _answers(base, requests, base.model, temperature=1.0, seed=seed)
    asked_again = [(asked, (note,)) for asked, (_, note) in zip(written, told, strict=True)]
    answers = _answers(base, asked_again, base.model)
    right = [
        value_words(fact.subject) <= set(words_of(asked)) and is_right(base, Item((note,), asked, fact.value), said)
        for (fact, note), asked, said in zip(told, written, answers, strict=True)
    ]
    return sum(right) / count


def _answers(
    base: LanguageModel,
    asked: Sequence[tuple[str, tuple[str, ...]]],
    model: PreTrainedModel,
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """What a model says to each question with its notes; nothing where they are more than it can read at once."""
    prompts = [base.dialogue.prompt_ids(text, notes) for text, notes in asked]
    short = [index for index, prompt in enumerate(prompts) if fits(prompt, base.context_length)]
    said = generate_texts(
        model, base.dialogue, [prompts[index] for index in short], temperature=temperature, seed=seed
    )
    answers = dict(zip(short, said, strict=True))
    return [answers.get(index, "") for index in range(len(prompts))]
