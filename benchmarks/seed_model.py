"""What the embedded model can do: `python -m benchmarks.seed_model evaluate [--json FILE]`.

`skills.py` draws the questions. Answers count only when every word is right, in lower case.
"""

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.circumstances import utc_now
from agent.household import phrasings
from agent.household.language import Triple, answer, is_about_person, relation_phrasings, statement
from agent.household.unseen import Item, ask, drawer_of, told
from agent.intervals import Metric, measured
from agent.memory import AgentMemory
from agent.seed_model import WEIGHTS_FOLDER
from benchmarks.results_file import report
from benchmarks.skills import SKILLS, distinct_facts
from updater.generation import generate_texts
from updater.language_model import LanguageModel, load_language_model, quiet_transformers
from updater.settings import UpdateSettings

FAMILIES: Final = ("place", "whereabouts", "favourite drink", "owner")
QUESTIONS_SAMPLED: Final = UpdateSettings().questions_per_experience
FACTS_PER_UPDATE: Final = 5


def share_right(base: LanguageModel, items: Sequence[Item]) -> float:
    """Share of items whose answer is right to the word; case does not count."""
    prompts = [base.dialogue.prompt_ids(item.question, item.notes) for item in items]
    answers = generate_texts(base.model, base.dialogue, prompts)
    return sum(said.lower() == item.right.lower() for said, item in zip(answers, items, strict=True)) / len(items)


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


def num_distinct_phrasings(base: LanguageModel, rng: random.Random, num_items: int) -> float:
    """How many different questions the model writes about an experience, of as many as an update samples: entities
    masked, openings such as "please," left off; the mean over experiences, the least over relations.
    """
    means = []
    for relation in FAMILIES:
        facts = []
        for _ in range(num_items):
            drawer = drawer_of(rng)
            facts.append(Triple(drawer.subject(relation), relation, drawer.value(relation)))
        notes = [(statement(fact, rng, bystander=drawer_of(rng).name()),) for fact in facts]
        prompt = base.dialogue.style.write_question
        prompts = [base.dialogue.prompt_ids(prompt, note) for note in notes for _ in range(QUESTIONS_SAMPLED)]
        written = generate_texts(base.model, base.dialogue, prompts, temperature=1.0, seed=rng.getrandbits(32))
        counts = [
            len({_masked(text, fact) for text in written[start : start + QUESTIONS_SAMPLED]} & _valid(fact))
            for fact, start in zip(facts, range(0, len(written), QUESTIONS_SAMPLED), strict=True)
        ]
        means.append(sum(counts) / num_items)
    return min(means)


def _masked(text: str, fact: Triple) -> str:
    text = text.lower()
    for opening in phrasings.QUESTION_OPENINGS["written"]:
        text = text.removeprefix(f"{opening} ")
    return text.replace(fact.subject, "{s}")


def _valid(fact: Triple) -> set[str]:
    return {_masked(text, fact) for text in all_questions(fact)}


def prompt_beats_weights(model: str, rng: random.Random, num_updates: int) -> float:
    """After an update, the share of its facts for which a note with another value wins over what was learned."""
    num_right = num_asked = 0
    for _ in range(num_updates):
        drawer = drawer_of(rng)
        facts = distinct_facts(drawer, FACTS_PER_UPDATE)
        changed = [fact._replace(value=drawer.value(fact.relation)) for fact in facts for _ in range(2)]
        settings = UpdateSettings(seed=rng.getrandbits(16))
        with (
            tempfile.TemporaryDirectory() as folder,
            AgentMemory.open(Path(folder) / "home", model=model, settings=settings) as memory,
        ):
            for text in told(facts, drawer):
                memory.tell(text)
            memory.update()
            answers = memory.ask_many(
                [ask(fact.subject, fact.relation, rng) for fact in changed],
                notes=[told([fact], drawer) for fact in changed],
            )
        num_right += sum(said.text == answer(fact) for said, fact in zip(answers, changed, strict=True))
        num_asked += len(changed)
    return num_right / num_asked


def evaluate(base: LanguageModel, *, seeds: Sequence[int], num_items: int, num_updates: int) -> dict[str, Metric]:
    """All skills over seeds."""
    metrics = {}
    for name, (draw, target) in SKILLS.items():
        values = []
        for seed in seeds:
            rng = random.Random(f"{name}/{seed}")
            values.append(share_right(base, [draw(rng) for _ in range(num_items)]))
        metrics[name] = measured(values, unit="share", target=target, bounds=(0.0, 1.0))
        print(f"{name:32s} {metrics[name].mean:.3f}", flush=True)
    few = max(10, num_items // 10)
    others: dict[str, tuple[list[float], str, str]] = {
        "questions_correct": (
            [questions_correct(base, random.Random(f"questions/{seed}"), num_items) for seed in seeds],
            "share", ">= 0.95",
        ),
        "num_distinct_phrasings": (
            [num_distinct_phrasings(base, random.Random(f"distinct/{seed}"), few) for seed in seeds],
            "phrasings", ">= 8",
        ),
        "num_phrasings_understood": (
            [num_phrasings_understood(base, random.Random(f"phrasings/{seed}"), few) for seed in seeds[:1]],
            "phrasings", ">= 8",
        ),
        "prompt_beats_weights": (
            [prompt_beats_weights(base.name, random.Random(f"beats/{seed}"), num_updates) for seed in seeds],
            "share", ">= 0.95",
        ),
    }  # fmt: skip
    for name, (values, unit, target) in others.items():
        bounds = (0.0, 1.0) if unit == "share" else None
        metrics[name] = measured(values, unit=unit, target=target, bounds=bounds)
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
    num_updates = 1 if arguments.quick else 3
    base = load_language_model(arguments.model)
    metrics = evaluate(base, seeds=seeds, num_items=num_items, num_updates=num_updates)
    if arguments.json:
        command = "python -m benchmarks.seed_model evaluate"
        report("seed_model", command=command, seeds=seeds, metrics=metrics, now=utc_now(), quick=arguments.quick).write(
            arguments.json
        )


if __name__ == "__main__":
    main()
