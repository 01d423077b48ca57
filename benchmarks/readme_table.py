"""Writes the README's table of results from the results files: `python -m benchmarks.readme_table`.

Knows: which figures the README quotes, in which words, and between which marks. Refuses to know: how they are measured.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from agent.intervals import Metric, Target
from benchmarks.results_file import ResultsFile

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = Path(__file__).parent / "results"
BEGIN, END = "<!-- results: python -m benchmarks.readme_table -->\n", "<!-- end of results -->\n"

QUOTED: Final[Mapping[str, Mapping[str, str]]] = {
    "demo": {
        "ceiling": "right with notes in the prompt (ceiling)",
        "floor": "right before the update, without notes (floor)",
        "efficacy_ratio": "efficacy / ceiling, right after each update",
        "retention_ratio": "retention / ceiling, at the end, of all that is still true",
        "retention_ratio_lag_ge_4": "the same, four or more updates later",
        "false_recall": "false recall, over 240 near misses a seed",
        "num_requests": "requests answered",
        "num_requests_during_updates": "of them while an update ran",
        "min_in_flight_at_swap": "least number of requests in flight at a swap",
        "num_failed_requests": "failed requests",
        "num_mixed_version_answers": "answers that mixed versions",
        "update_seconds_median": "median seconds of an update, batch stored to version visible",
        "swap_seconds_max": "longest swap, admitted to visible, in seconds",
        "wall_seconds": "seconds of the whole demo",
    },
    "seed_model": {
        "read_1": "embedded model: reads one experience",
        "read_4": "reads four",
        "read_8": "reads eight",
        "read_16": "reads sixteen",
        "read_4_new_words": "reads four, in words that its generator never writes",
        "latest_wins": "the latest of conflicting ones wins",
        "says_unknown_with_context": "says unknown, with other notes",
        "says_unknown_without_context": "says unknown, without notes",
        "implications_correct": "answers what only follows from its notes",
        "implications_new_phrasings": "the same, asked in phrasings that are in no training text",
        "small_talk_correct": "greets, acknowledges, says that it does not understand",
        "prompt_beats_weights": "a note that contradicts what an update taught wins",
        "questions_correct": "writes a question and answers it right",
        "num_distinct_phrasings": "different questions about an experience, of twelve sampled, least over relations",
        "num_phrasings_understood": "phrasings understood, least over relations",
        "read_1_new_phrasings": "reads one, asked in phrasings that are in no training text",
        "read_1_new_statements": "reads one, told in phrasings that are in no training text",
    },
    "injection_sequential": {
        "sequential20x5_ratio": "100 facts in 20 updates: right at the end / with notes in the prompt",
        "changed_fact_ratio": "the same, of facts that had changed",
        "ours_efficacy": "right just after their update",
        "ours_final_average": "right at the end, in phrasings that no update is taught with",
        "ours_final_average_new_phrasings": "the same, in phrasings that are in no training text either",
        "none_final_average": "without memory (floor)",
        "in_context_final_average": "with what a question needs in the prompt (ceiling)",
        "bm25_final_average": "retrieval by shared words",
        "dense_final_average": "retrieval by sentence embeddings",
        "false_recall": "false recall after 20 updates",
        "reading_kept": "reading kept",
        "drift_nats": "drift in nats a token, KL from the base on unrelated text",
        "update_time_growth": "seconds of the last ten updates / of the first ten",
    },
    "fetch": {
        "fetch_success": "one life of 50 episodes: share of 150 things fetched, from weights",
        "steps_vs_perfect": "steps / those of perfect knowledge",
        "none_success": "without memory, searching: share fetched",
        "none_steps": "without memory: mean steps",
        "ours_steps": "ours: mean steps",
        "bm25_steps": "retrieval by shared words: mean steps",
        "in_context_steps": "the whole log in the prompt: mean steps",
        "ours_prompt_tokens": "tokens in a prompt, ours",
        "bm25_prompt_tokens": "retrieval",
        "in_context_prompt_tokens": "the whole log",
    },
    "swap": {
        "num_answers": "answers streamed through 100 swaps and 20 steps back, model of 0.1 G weights",
        "num_failed": "of them failed",
        "num_mixed": "not what their version gives alone",
        "num_stale": "from another version than served when they were asked",
        "visible_seconds": "seconds from commit to the new version's first answer, median",
        "itl_p99_ratio": "p99 of the time between two tokens, during swaps / without",
        "itl_p99_ratio_reload": "the same, loading the whole model while everybody waits",
        "itl_p99_ratio_load_state_dict": "the same, `load_state_dict` under a lock",
        "extra_memory_share": "memory that swaps take, as a share of the model",
    },
    "log_faults": {
        "num_kills_sqlite": "log: processes killed at random moments, SQLite",
        "num_kills_postgresql": "the same, PostgreSQL",
        "num_restarts_postgresql": "PostgreSQL killed or restarted under load",
        "num_lost": "acknowledged experiences and versions lost",
        "num_learned_twice": "experiences learned twice",
    },
    "log_throughput": {
        "append_vs_raw_sqlite": "appends a second / the bare SQL's, worst of eight cases, SQLite",
        "append_vs_raw_postgresql": "the same, PostgreSQL",
        "claim_vs_raw_sqlite": "claim and acknowledge / the bare SQL, SQLite",
        "claim_vs_raw_postgresql": "the same, PostgreSQL",
        "vs_sqlite_queue": "against persist-queue on SQLite, worst of ten cases",
        "vs_procrastinate": "against procrastinate on PostgreSQL, worst of ten cases",
        "claim_p99_growth": "p99 of a claim, a million rows / ten thousand",
        "overhead_bytes": "bytes on disk beside an experience's text",
    },
    "log_wakeup": {
        "wakeup_p99_ms_sqlite": "append to the waiter's waking, p99 in ms, SQLite",
        "wakeup_p99_ms_postgresql": "the same, PostgreSQL",
    },
}


def table(results: Mapping[str, ResultsFile]) -> str:
    """Where the figures come from, and one row a figure: mean, 95% interval, target, whether it is met."""
    sources = "; ".join(
        f"`{results[name].command}`, {results[name].date:%Y-%m-%d}, {results[name].hardware}" for name in QUOTED
    )
    rows = [
        f"| {words} | {_measured(metric)} | {metric.target or ''} | {_met(metric)} |"
        for name, quoted in QUOTED.items()
        for key, words in quoted.items()
        if (metric := results[name].metrics.get(key)) is not None
    ]
    return f"{sources}.\n\n| metric | measured | target | met |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _measured(metric: Metric) -> str:
    if metric.low == metric.high:
        return _short(metric.mean)
    return f"{_short(metric.mean)} [{_short(metric.low)}, {_short(metric.high)}]"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == 0 else f"{value:.3g}"


def _met(metric: Metric) -> str:
    if metric.met is None or metric.met:
        return "yes" if metric.met else ""
    assert metric.target is not None, "what is missed has a target"
    return "mean only" if Target.parse(metric.target).met_by(low=metric.mean, high=metric.mean) else "no"


def with_table(readme: str, made: str) -> str:
    """The README with this table between its marks.

    Raises:
        ValueError: a mark is missing.
    """
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}{made}{END}{tail}"


def committed() -> dict[str, ResultsFile]:
    """The results files that are quoted."""
    return {name: ResultsFile.read(RESULTS / f"{name}.json") for name in QUOTED}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the README anew."""
    if arguments if arguments is not None else sys.argv[1:]:
        print(__doc__)
        return 2
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text(encoding="utf-8"), table(committed())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
