"""Conversational recommendation from weights: `python -m benchmarks.recommendation --train FILE --test FILE ...`.

Dialogues of the training file are experiences and are learned; then, for each title that a recommender of the test file
names, every title of the training file is ranked by its log-probability as the answer to the dialogue so far. Beside it
the base model, which has learned nothing. The files are ReDial's (JSON lines) or INSPIRED's (tab-separated); neither
comes with the project.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Final, get_args

from rich.progress import track

from agent.circumstances import utc_now
from agent.cli_arguments import positive
from agent.environments.model_policy import mean_logprobs
from agent.intervals import Metric, measured
from agent.memory import choose_device
from agent.seed_model import WEIGHTS_FOLDER
from agent.study.methods import Learner, NoMemory, Ours
from agent.study.recommendation import (
    Case,
    Dialogue,
    RecommendationFormat,
    bare_title,
    cases_of,
    kept_cases,
    ranking_scores,
    read_dialogues,
)
from agent.study.records import Stream, Told
from benchmarks.injection_plan import parsed_settings
from benchmarks.results_file import report
from memory_log.errors import BadInput, SelfParamError
from memory_log.fields import MAX_TEXT_BYTES
from updater.generation import fits
from updater.language_model import LanguageModel, load_language_model, quiet_transformers
from updater.settings import UpdateSettings

METHODS: Final = ("none", "ours")
QUESTION: Final = "{said}\nWhich movie do you recommend?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    try:
        metrics = measure(options)
    except SelfParamError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    for name, metric in metrics.items():
        print(f"{name:28} {metric.mean:10.4f} {metric.unit}")
    if options.json is not None:
        command = " ".join(["python -m benchmarks.recommendation", *words])
        made = report("recommendation", command=command, seeds=[options.seed], metrics=metrics, now=utc_now())
        made.write(options.json)
    return 0


def measure(options: argparse.Namespace) -> dict[str, Metric]:
    """Every metric that the command line asks for.

    Raises:
        BadInput: a file or a setting is no good, or no case is left.
    """
    methods = options.methods.split(",")
    if unknown := [method for method in methods if method not in METHODS]:
        raise BadInput(f"--methods got {', '.join(map(repr, unknown))}; there are: {', '.join(METHODS)}")
    train = read_dialogues(options.train, options.format)[: options.learn]
    test = read_dialogues(options.test, options.format)
    catalogue = list(dict.fromkeys(title for dialogue in train for turn in dialogue.turns for title in turn.titles))
    cases = kept_cases(
        [case for dialogue in test for case in cases_of(dialogue)], catalogue, drop_seen=not options.keep_seen,
        drop_unlisted=not options.keep_unlisted,
    )[: options.cases]  # fmt: skip
    if not catalogue or not cases:
        raise BadInput(f"{len(catalogue)} titles and {len(cases)} cases are left; needed is one of each: learn more")
    quiet_transformers()
    base = load_language_model(options.model, device=choose_device(options.device))
    settings = UpdateSettings.model_validate({**parsed_settings(options.set), "seed": options.seed})
    stream = Stream(told=tuple(_told(number, one) for number, one in enumerate(train)), asked=())
    metrics = {
        "num_learned": measured([len(train)], unit="dialogues"),
        "num_titles": measured([len(set(map(bare_title, catalogue)))], unit="titles"),
        "num_cases": measured([len(cases)], unit="cases"),
    }
    for method in methods:
        with tempfile.TemporaryDirectory(prefix="selfparam-recommendation-") as temporary:
            learner = _learner(method, base, stream, settings, options.work or Path(temporary))
            starts = range(0, len(train), options.batch)
            for start in track(starts, description=f"{method}: learning", transient=True):
                learner.learn(stream.told[start : start + options.batch])
            scores = [
                ranking_scores(_ranking(base, learner, case, catalogue), case, drop_seen=not options.keep_seen)
                for case in track(cases, description=f"{method}: ranking", transient=True)
            ]
            learner.close()
        for name in scores[0]:
            share = fmean(one[name] for one in scores)
            metrics[f"{method}_{name}"] = measured([share], unit="share", bounds=(0.0, 1.0))
    return metrics


def _told(number: int, dialogue: Dialogue) -> Told:
    text = dialogue.text
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise BadInput(f"the dialogue {dialogue.name} has more than {MAX_TEXT_BYTES} bytes; take it out of the file")
    return Told(number=number, text=text)


def _learner(method: str, base: LanguageModel, stream: Stream, settings: UpdateSettings, folder: Path) -> Learner:
    return NoMemory(base, stream) if method == "none" else Ours(base, folder, settings)


def _ranking(base: LanguageModel, learner: Learner, case: Case, catalogue: Sequence[str]) -> list[str]:
    """The catalogue by mean log-probability; the oldest turns go where the model cannot read all that was said."""
    turns = case.said.splitlines()
    prompt = base.dialogue.prompt_ids(QUESTION.format(said=case.said))
    while turns and not fits(prompt, base.context_length):
        turns = turns[1:]
        prompt = base.dialogue.prompt_ids(QUESTION.format(said="\n".join(turns)))
    answers = [tuple(base.dialogue.completion_ids(title)) for title in catalogue]
    scores = mean_logprobs(learner.model, prompt, answers, base.dialogue.pad_token_id)
    return [title for _, title in sorted(zip(scores, catalogue, strict=True), key=lambda pair: -pair[0])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recommendation", description=__doc__)
    parser.add_argument("--train", type=Path, required=True, metavar="FILE", help="dialogues to learn")
    parser.add_argument("--test", type=Path, required=True, metavar="FILE", help="dialogues whose titles are asked for")
    parser.add_argument("--format", choices=get_args(RecommendationFormat), default="redial", help="of both (redial)")
    parser.add_argument("--model", default=str(WEIGHTS_FOLDER), help="folder or Hugging Face id (the embedded model)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    parser.add_argument("--methods", default="none,ours", metavar="A,B", help="(none,ours)")
    parser.add_argument("--learn", type=positive, default=100, metavar="N", help="dialogues to learn, the first (100)")
    parser.add_argument("--batch", type=positive, default=5, metavar="N", help="dialogues of an update (5)")
    parser.add_argument("--cases", type=positive, default=500, metavar="N", help="most titles asked for (500)")
    parser.add_argument("--keep-seen", action="store_true", help="count titles that the dialogue had named before, too")
    parser.add_argument("--keep-unlisted", action="store_true", help="count titles that no learned dialogue names, too")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of updates")
    parser.add_argument("--seed", type=int, default=0, help="of the updates (0)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep what was learned here, and go on with it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
