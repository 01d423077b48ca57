"""What the embedded model can do: `python -m benchmarks.seed_model evaluate [--json FILE]`.

Entities are half ordinary words from the held-out side of the lists, which no training text holds, and half made-up
words, drawn afresh by the generator that training uses as well: the short ones have occurred there, in other facts.
Questions come in the phrasings of its recipe unless a metric says otherwise; answers count only when every word is
right.
"""

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from agent.household import phrasings
from agent.household.language import (
    EntityDrawer,
    QuestionSet,
    Triple,
    answer,
    is_about_person,
    question,
    relation_phrasings,
    statement,
    unknown_answer,
)
from agent.seed_model import WEIGHTS_FOLDER
from agent.seed_model.documents import related_fact, unasked
from benchmarks.results_file import Metric, measured, report, utc_now
from updater.generation import generate_texts
from updater.language_model import LanguageModel, load_language_model, quiet_transformers

RECIPE: Final[tuple[QuestionSet, ...]] = ("written", "read")
NEW: Final[tuple[QuestionSet, ...]] = ("held_out",)
FAMILIES: Final = ("place", "whereabouts", "favourite drink", "owner")


class Item(NamedTuple):
    """One question with its context and right answer."""

    notes: tuple[str, ...]
    question: str
    right: str


def drawer_of(rng: random.Random) -> EntityDrawer:
    """Half made-up words, half ordinary ones that no training text holds."""
    return EntityDrawer(rng, split="held_out", made_up_share=0.5)


def _ask(subject: str, relation: str, rng: random.Random, sets: Sequence[QuestionSet]) -> str:
    return question(subject, relation, rng, phrasing=rng.choice(sets))


def _distinct_facts(rng: random.Random, count: int) -> list[Triple]:
    drawer, facts = drawer_of(rng), list[Triple]()
    while len(facts) < count:
        fact = related_fact(drawer, facts, rng)
        if all((fact.subject, fact.relation) != (other.subject, other.relation) for other in facts):
            facts.append(fact)
    return facts


def reads(
    rng: random.Random, *, num_facts: int, sets: Sequence[QuestionSet] = RECIPE, told_held_out: bool = False
) -> Item:
    """One of several facts is asked about."""
    facts = _distinct_facts(rng, num_facts)
    name = drawer_of(rng).name
    asked = rng.choice(facts)
    notes = tuple(statement(fact, rng, bystander=name(), held_out=told_held_out) for fact in facts)
    return Item(notes, _ask(asked.subject, asked.relation, rng, sets), answer(asked))


def latest_wins(rng: random.Random) -> Item:
    """Among three facts, one is told twice with different values; the later one is right."""
    drawer = drawer_of(rng)
    facts = _distinct_facts(rng, 3)
    old = rng.choice(facts)
    new = old._replace(value=drawer.value(old.relation))
    told = list(facts)
    told.insert(rng.randint(facts.index(old) + 1, len(facts)), new)
    return Item(
        tuple(statement(fact, rng, bystander=drawer.name()) for fact in told),
        _ask(new.subject, new.relation, rng, RECIPE),
        answer(new),
    )


def unknown_with_context(rng: random.Random) -> Item:
    """Up to four facts; a near miss of one of them is asked."""
    facts = _distinct_facts(rng, rng.randint(1, 4))
    drawer = drawer_of(rng)
    subject, relation = unasked(drawer, {(fact.subject, fact.relation): fact for fact in facts}, rng)
    notes = tuple(statement(fact, rng, bystander=drawer.name()) for fact in facts)
    return Item(notes, _ask(subject, relation, rng, RECIPE), unknown_answer(subject, relation))


def unknown_without_context(rng: random.Random) -> Item:
    """No notes at all."""
    drawer = drawer_of(rng)
    relation = drawer.relation()
    subject = drawer.subject(relation)
    return Item((), _ask(subject, relation, rng, RECIPE), unknown_answer(subject, relation))


def restates(rng: random.Random) -> Item:
    """One fact; the model is asked what it knows about its subject."""
    fact = drawer_of(rng).fact()
    user = question(fact.subject, "about", rng, phrasing=rng.choice(RECIPE), person=is_about_person(fact.relation))
    return Item((statement(fact, rng, bystander=drawer_of(rng).name()),), user, answer(fact))


def share_right(base: LanguageModel, items: Sequence[Item]) -> float:
    """Share of items whose answer is right to the word."""
    prompts = [base.dialogue.prompt_ids(item.question, item.notes) for item in items]
    answers = generate_texts(base.model, base.dialogue, prompts)
    return sum(said == item.right for said, item in zip(answers, items, strict=True)) / len(items)


def all_questions(fact: Triple) -> set[str]:
    """Every way, in lower case, in which the household asks about a fact."""
    found = set()
    for relation in (fact.relation, "about"):
        family = relation_phrasings(relation)
        subject = fact.subject if is_about_person(fact.relation) else f"the {fact.subject}"
        for name in ("written", "read", "held_out"):
            for template in getattr(family, name):
                kind = fact.relation.removeprefix("favourite ")
                text = template.format(s=subject, k=kind, v="", n="").lower()
                found |= {text, *(f"{opening} {text}" for opening in phrasings.QUESTION_OPENINGS[name])}
    return found


def questions_correct(base: LanguageModel, rng: random.Random, num_items: int) -> float:
    """Share of questions that the model writes about one note's fact and then answers right from the note."""
    facts = [drawer_of(rng).fact() for _ in range(num_items)]
    notes = [(statement(fact, rng, bystander=drawer_of(rng).name()),) for fact in facts]
    dialogue = base.dialogue
    written = generate_texts(
        base.model,
        dialogue,
        [dialogue.prompt_ids(dialogue.style.write_question, note) for note in notes],
        temperature=1.0,
        seed=rng.getrandbits(32),
    )
    answers = generate_texts(
        base.model, dialogue, [dialogue.prompt_ids(text, note) for text, note in zip(written, notes, strict=True)]
    )
    right = [
        text.lower() in all_questions(fact) and said == answer(fact)
        for fact, text, said in zip(facts, written, answers, strict=True)
    ]
    return sum(right) / num_items


def num_phrasings_understood(base: LanguageModel, rng: random.Random, num_items: int) -> float:
    """The least number over relations of phrasings in which 95% of questions about one note are answered right."""
    counts = []
    for relation in FAMILIES:
        family, items = relation_phrasings(relation), list[Item]()
        templates = [*family.written, *family.read]
        for template in templates:
            for _ in range(num_items):
                drawer = drawer_of(rng)
                fact = Triple(drawer.subject(relation), relation, drawer.value(relation))
                subject = fact.subject.title() if is_about_person(relation) else f"the {fact.subject}"
                asked = template.format(s=subject, k=relation.removeprefix("favourite "), v="", n="")
                items.append(Item((statement(fact, rng, bystander=drawer.name()),), asked, answer(fact)))
        shares = [share_right(base, items[start : start + num_items]) for start in range(0, len(items), num_items)]
        counts.append(sum(share >= 0.95 for share in shares))
    return float(min(counts))


SKILLS: Final[dict[str, tuple[Callable[[random.Random], Item], str | None]]] = {
    "read_1": (lambda rng: reads(rng, num_facts=1), ">= 0.99"),
    "read_4": (lambda rng: reads(rng, num_facts=4), ">= 0.95"),
    "read_8": (lambda rng: reads(rng, num_facts=8), None),
    "latest_wins": (latest_wins, ">= 0.90"),
    "says_unknown_with_context": (unknown_with_context, ">= 0.95"),
    "says_unknown_without_context": (unknown_without_context, ">= 0.97"),
    "restatements_correct": (restates, None),
    "read_1_new_statements": (lambda rng: reads(rng, num_facts=1, told_held_out=True), None),
    "read_1_new_phrasings": (lambda rng: reads(rng, num_facts=1, sets=NEW), None),
    "read_4_new_phrasings": (lambda rng: reads(rng, num_facts=4, sets=NEW), None),
}


def evaluate(base: LanguageModel, *, seeds: Sequence[int], num_items: int) -> dict[str, Metric]:
    """All skills over seeds."""
    metrics = {}
    for name, (draw, target) in SKILLS.items():
        values = []
        for seed in seeds:
            rng = random.Random(f"{name}/{seed}")
            values.append(share_right(base, [draw(rng) for _ in range(num_items)]))
        metrics[name] = measured(values, unit="share", target=target, bounds=(0.0, 1.0))
        print(f"{name:32s} {metrics[name].mean:.3f}", flush=True)
    values = [questions_correct(base, random.Random(f"questions/{seed}"), num_items) for seed in seeds]
    metrics["questions_correct"] = measured(values, unit="share", target=">= 0.90", bounds=(0.0, 1.0))
    understood = [
        num_phrasings_understood(base, random.Random(f"phrasings/{seed}"), max(10, num_items // 10))
        for seed in seeds[:1]
    ]
    metrics["num_phrasings_understood"] = measured(understood, unit="phrasings", target=">= 8")
    for name in ("questions_correct", "num_phrasings_understood"):
        print(f"{name:32s} {metrics[name].mean:.3f}", flush=True)
    return metrics


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seed_model",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["evaluate"])
    parser.add_argument("--model", default=str(WEIGHTS_FOLDER), help="model folder (default: the embedded model)")
    parser.add_argument("--json", type=Path, help="write the results file here")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--items", type=int, default=200, help="questions per skill and seed")
    parser.add_argument("--quick", action="store_true", help="one seed, 60 questions per skill")
    arguments = parser.parse_args()
    quiet_transformers()
    seeds, num_items = ([0], 60) if arguments.quick else (list(range(arguments.seeds)), arguments.items)
    metrics = evaluate(load_language_model(arguments.model), seeds=seeds, num_items=num_items)
    if arguments.json:
        command = "python -m benchmarks.seed_model evaluate"
        report("seed_model", command=command, seeds=seeds, metrics=metrics, now=utc_now(), quick=arguments.quick).write(
            arguments.json
        )


if __name__ == "__main__":
    main()
