"""Whether a bad update is ever served: `python -m benchmarks.bad_updates [--quick] [--json FILE]`.

An agent knows a few facts. Then an update of new ones goes wrong in one of several ways, through the real updater, an
update worker and a model server that follows the head. What the server says before and after is judged with questions
that no update sees. An update is served badly when the server has taken up a version that fails them.
"""

import argparse
import copy
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from agent.circumstances import utc_now
from agent.due import Schedule
from agent.household.anchors import household_anchors
from agent.intervals import measured
from agent.memory import choose_device
from agent.reading_check import Item, facts_to_tell, is_right, recall_items, unknown_items
from agent.seed_model import WEIGHTS_FOLDER
from agent.serving import ModelServer
from agent.worker import UpdateWorker
from benchmarks.bad_updates_kinds import KINDS, Parts
from benchmarks.results_file import report
from memory_log.blobs import BlobStore
from memory_log.closing import Closing
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState, NewExperience
from updater.fold import VersionWeights
from updater.language_model import LanguageModel, load_language_model
from updater.report import RefusalKind, UpdateReport, in_words
from updater.settings import UpdateSettings
from updater.update import Updater

NUM_KNOWN: Final = 3
NUM_NEW: Final = 2
PER_FACT: Final = 4
NUM_UNKNOWN: Final = 24
MAX_LOSS: Final = 0.2
"""Largest fall of any share, between two versions that both count as sound."""
MIN_LEARNED: Final = 0.6

TARGETS: Final = {
    "num_bad_updates": ("updates", None),
    "num_served": ("versions", "== 0"),
    "num_experiences_lost": ("experiences", "== 0"),
    "num_attempts": ("attempts", None),
    "num_stopped_by_finite_check": ("attempts", None),
    "num_stopped_by_gate": ("attempts", None),
    "num_stopped_by_material": ("attempts", None),
    "num_collapses": ("attempts", None),
    "num_sound_after_retry": ("updates", None),
    "num_heads_unmoved": ("updates", None),
}
LINEAGE: Final = "default"
QUICK: Final = ("nan_gradients", "rate_x100", "deaf_teacher")


class Shares(NamedTuple):
    """What a version gets right: facts that were known, new ones, and strangers left unknown."""

    known: float
    new: float
    """Of the new facts that count as learned; 0 where none does."""
    unknown: float

    def is_sound_after(self, before: "Shares") -> bool:
        """Whether an update from the one to the other did what an update is for."""
        kept = before.known - self.known <= MAX_LOSS and before.unknown - self.unknown <= MAX_LOSS
        return kept and self.new >= MIN_LEARNED


class Exam(NamedTuple):
    """Questions that no update sees."""

    known: list[Item]
    new: list[Item]
    """As many about each of the new texts, in their order."""
    unknown: list[Item]
    new_texts: list[str]


class Outcome(NamedTuple):
    """What became of one bad update."""

    report: UpdateReport
    has_moved: bool
    """Whether another version serves now."""
    before: Shares
    after: Shares
    num_lost: int

    @property
    def is_served_badly(self) -> bool:
        """Whether the version that serves now is not what an update is for."""
        return self.has_moved and not self.after.is_sound_after(self.before)


class Stage(Closing):
    """An agent at work in one folder: a log, a server of its head, and workers that learn and announce.

    Args:
        base: theta_0, a sound teacher.
        folder: where log and deltas lie.
    """

    def __init__(self, base: LanguageModel, folder: Path) -> None:
        self.base = base
        self.log = MemoryLog(f"sqlite:///{folder}/log.sqlite3")
        self.blobs = BlobStore(folder / "blobs")
        self._weights = VersionWeights(base, self.log, self.blobs)
        speech = base.dialogue
        self.server = ModelServer(
            copy.deepcopy(base.model), eos_token_ids=speech.eos_token_ids, pad_token_id=speech.pad_token_id
        )
        self.log.ensure_lineage(LINEAGE, base_fingerprint=base.fingerprint)
        self._follow(self.log.head(LINEAGE).number)

    def close(self) -> None:
        """Stop serving and close the log."""
        self.server.close()
        self.log.close()

    def learn(self, texts: Sequence[str], parts: Parts) -> UpdateReport:
        """Tell all of it, and let a worker with these parts make one update of it, served when it is admitted."""
        self.log.append_many([NewExperience(text=text) for text in texts])
        updater = Updater(
            parts.base, self.log, self.blobs, anchors=household_anchors, owner="worker", settings=parts.settings,
            gate=parts.gate, trainer=parts.trainer,
        )  # fmt: skip
        schedule = Schedule(batch_size=len(texts), max_wait_seconds=0.0)
        worker = UpdateWorker(updater, LINEAGE, schedule, announce=self._follow)
        outcome = worker.step()
        assert outcome is not None, "there were experiences to learn"
        return outcome.report

    def take(self, exam: Exam) -> tuple[Shares, list[tuple[int, ...]]]:
        """What the serving version gets right, and every answer token by token."""
        items = [*exam.known, *exam.new, *exam.unknown]
        futures = [self.server.submit(self.base.dialogue.prompt_ids(item.question)) for item in items]
        said = [future.result().token_ids for future in futures]
        marks = [
            is_right(self.base, item, self.base.dialogue.text(list(tokens)))
            for item, tokens in zip(items, said, strict=True)
        ]
        new_at, unknown_at = len(exam.known), len(exam.known) + len(exam.new)
        per_fact = len(exam.new) // len(exam.new_texts)
        learned = {one.text for one in self.log.experiences(LINEAGE, state=ExperienceState.LEARNED)}
        of_learned = [
            mark for place, mark in enumerate(marks[new_at:unknown_at]) if exam.new_texts[place // per_fact] in learned
        ]
        parts = marks[:new_at], of_learned, marks[unknown_at:]
        return Shares(*(sum(part) / len(part) if part else 0.0 for part in parts)), said

    def num_lost(self, texts: Sequence[str]) -> int:
        """How many of these experiences neither wait, nor are learned, nor are refused with a reason."""
        kept = Counter(
            one.text for one in self.log.experiences(LINEAGE)
            if one.state in (ExperienceState.PENDING, ExperienceState.LEARNED)
            or (one.state is ExperienceState.REFUSED and one.reason)
        )  # fmt: skip
        return sum((Counter(texts) - kept).values())

    def _follow(self, version: int) -> None:
        if version not in self.server.stats().loaded_versions:
            self.server.prepare(version, self._weights.weights(LINEAGE, version))
        self.server.activate(version)


def go_wrong(kind: str, sound: Parts, known_folder: Path, folder: Path, seed: int) -> Outcome:
    """One bad update of an agent that knows a few facts, in a copy of its folder."""
    shutil.copytree(known_folder, folder)
    exam = exam_of(seed)
    with Stage(sound.base, folder) as stage:
        before, answers = stage.take(exam)
        served = stage.server.stats().serving_version
        made = stage.learn(exam.new_texts, KINDS[kind](sound))
        after, answers_after = stage.take(exam)
        has_moved = stage.server.stats().serving_version != served
        if not has_moved and answers != answers_after:
            raise AssertionError(f"{kind}, seed {seed}: version {served} serves on, and answers otherwise than before")
        return Outcome(made, has_moved, before, after, stage.num_lost(exam.new_texts))


def exam_of(seed: int) -> Exam:
    """The questions of a seed."""
    told = facts_to_tell(NUM_KNOWN + NUM_NEW, seed=seed)
    facts = [fact for fact, _ in told]
    return Exam(
        recall_items(facts[:NUM_KNOWN], per_fact=PER_FACT, seed=seed),
        recall_items(facts[NUM_KNOWN:], per_fact=PER_FACT, seed=seed),
        unknown_items(NUM_UNKNOWN, num_notes=0, seed=seed),
        [text for _, text in told[NUM_KNOWN:]],
    )


def counts_of(outcomes: Sequence[Outcome]) -> Counter[str]:
    """The figures of one seed."""
    attempts = [attempt for outcome in outcomes for attempt in outcome.report.attempts]
    kinds = [{refusal.kind for refusal in attempt.refusals} for attempt in attempts if not attempt.admitted]
    counts = Counter({
        "num_bad_updates": len(outcomes),
        "num_served": sum(outcome.is_served_badly for outcome in outcomes),
        "num_experiences_lost": sum(outcome.num_lost for outcome in outcomes),
        "num_attempts": len(attempts),
        "num_stopped_by_finite_check": sum(RefusalKind.NOT_FINITE in found for found in kinds),
        "num_stopped_by_material": sum(RefusalKind.MATERIAL in found for found in kinds),
        "num_collapses": sum(RefusalKind.COLLAPSE in found for found in kinds),
        "num_sound_after_retry": sum(
            any(one.admitted and one.changed for one in outcome.report.attempts) and not outcome.is_served_badly
            for outcome in outcomes
        ),
        "num_heads_unmoved": sum(not outcome.has_moved for outcome in outcomes),
    })  # fmt: skip
    others = ("num_stopped_by_finite_check", "num_stopped_by_material", "num_collapses")
    counts["num_stopped_by_gate"] = len(kinds) - sum(counts[name] for name in others)
    return counts


def measure(seed: int, base: LanguageModel, folder: Path, kinds: Sequence[str]) -> Counter[str]:
    """Every kind once, each from the same sound memory."""
    sound = Parts(base, UpdateSettings(seed=seed))
    known = folder / "known"
    known.mkdir()
    with Stage(base, known) as stage:
        learned = stage.learn([text for _, text in facts_to_tell(NUM_KNOWN, seed=seed)], sound)
        if not learned.admitted:
            raise RuntimeError(f"seed {seed}: the sound update was refused ({learned.reason}); choose other seeds")
    outcomes = []
    for kind in kinds:
        outcome = go_wrong(kind, sound, known, folder / kind, seed)
        outcomes.append(outcome)
        shown = ", ".join(f"{name} {was:.2f} -> {now:.2f}" for name, was, now in
                          zip(Shares._fields, outcome.before, outcome.after, strict=True))  # fmt: skip
        print(f"seed {seed}  {kind:28} {'SERVED BADLY' if outcome.is_served_badly else 'sound'}: {shown}", flush=True)
        for one in outcome.report.attempts:
            said = in_words(one.refusals) or "admitted"
            print(f"    {list(one.experience_ids)} {one.changed or ''} {said}", flush=True)
    return counts_of(outcomes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code: 1 when a bad update was served."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bad_updates", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one seed, and three of the kinds")
    parser.add_argument("--only", choices=KINDS, help="one kind; a full measurement has all")
    parser.add_argument("--model", default=str(WEIGHTS_FOLDER), help="folder or Hugging Face id (default: embedded)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    options = parser.parse_args(arguments)
    kinds = [options.only] if options.only else list(QUICK if options.quick else KINDS)
    seeds = range(1 if options.quick else options.seeds)
    base = load_language_model(options.model, device=choose_device(options.device))
    by_seed = []
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="selfparam-bad-updates-") as temporary:
            by_seed.append(measure(seed, base, Path(temporary), kinds))
    metrics = {
        name: measured([counts[name] for counts in by_seed], unit=unit, target=target)
        for name, (unit, target) in TARGETS.items()
    }
    for name, metric in metrics.items():
        print(f"{name:30} {metric.mean:8.2f}  [{metric.low:.2f}, {metric.high:.2f}] {metric.unit}{metric.verdict}")
    if options.json is not None:
        is_short = options.quick or options.only is not None
        words = ["python -m benchmarks.bad_updates", *(["--quick"] if options.quick else [])]
        words += [*(["--only", options.only] if options.only else []), "--json", str(options.json)]
        report(
            "bad_updates", command=" ".join(words), seeds=list(seeds), metrics=metrics, now=utc_now(), quick=is_short
        ).write(options.json)
    return 1 if any(metric.met is False for metric in metrics.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
