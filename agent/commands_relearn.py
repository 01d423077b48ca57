"""What `selfparam relearn` does: says what it costs and leaves, asks, forgets, learns anew, retires old versions."""

import sys
from collections.abc import Sequence
from typing import Final

from agent.cli_display import LOG_HEADINGS, UpdateProgress, count, experience_row, print_table, size
from agent.commands import Options
from agent.home import Home
from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState, VersionState
from memory_log.relearning import RelearnPlan
from updater.report import UpdateReport

_NUM_NAMED: Final = 5
_LEFT: Final = (
    "what other experiences say: their texts, and target sentences made of them, may name the same people and things",
    "the old versions' delta files, until they are an hour old and: selfparam clean --keep-rejected-days 0 --vacuum",
    "copies: back-ups, exported versions and logs, and what a server still holds until it takes up the new head",
)


def relearn(options: Options) -> int:
    """Learn the lineage anew without some experiences; 1 where the gate refused something that was known before."""
    home = Home.open(options.home, model=options.model, create=False)
    ids = list(dict.fromkeys(options.without))
    with home.open_log() as log:
        lived = [log.get(number) for number in ids]
        plan = log.relearn_plan(options.lineage, ids)
        to_forget = [one for one in lived if one.state is not ExperienceState.FORGOTTEN]
        if not plan.knowing:
            names = ", ".join(f"experience {number}" for number in ids)
            print(f"no version knows {names}; there is nothing to relearn")
            if to_forget:
                left = " ".join(str(one.id) for one in to_forget)
                print(f"  to erase the log's text too: selfparam log forget {left}")
            return 0
        log.check_not_paused(options.lineage)
        _print_plan(log, plan, to_forget)
        if options.is_dry_run:
            return 0
        if not options.is_sure and not _agreed():
            print("nothing was changed")
            return 0
        for one in to_forget:
            log.forget(one.id)
    return _carried_out(options, ids)


def _print_plan(log: MemoryLog, plan: RelearnPlan, to_forget: Sequence[Experience]) -> None:
    if to_forget:
        print("to be forgotten first, for good:")
        print_table(LOG_HEADINGS, [experience_row(one) for one in to_forget])
    names = ", ".join(str(one.number) for one in plan.knowing)
    print(f"known by     {'version' if len(plan.knowing) == 1 else 'versions'} {names}")
    if plan.goal is None:
        print(f"cost         none: version {plan.head}, which serves, does not know it")
    else:
        num_experiences = sum(len(one.experience_ids) for one in plan.batches)
        seconds = sum(one.seconds for one in plan.batches)
        print(
            f"cost         back to version {plan.goal}, then {count(len(plan.batches), 'update')} with "
            f"{count(num_experiences, 'experience')} again: about {seconds:.0f} s, as the first time"
        )
        print("             until they are done, what they teach is not known")
    num_bytes = sum(one.delta.num_bytes for one in plan.knowing if one.delta is not None)
    print(f"cannot be undone: these versions can no longer be asked or gone back to ({size(num_bytes)} of deltas)")
    print("it leaves")
    for line in _LEFT:
        print(f"  - {line}")
    about = _others_about(log, plan, to_forget)
    if about:
        more = f" and {len(about) - _NUM_NAMED} more" if len(about) > _NUM_NAMED else ""
        print(f"    the same subjects are named by: experience {', '.join(map(str, about[:_NUM_NAMED]))}{more}")


def _others_about(log: MemoryLog, plan: RelearnPlan, to_forget: Sequence[Experience]) -> list[int]:
    """The experiences that stay and name a subject of what is forgotten, as far as its facts tell."""
    subjects = {fact.subject for one in to_forget for fact in one.facts}
    found = {
        one.id
        for subject in subjects
        for one in log.experiences_mentioning(plan.lineage, [subject], limit=100)
    }
    return sorted(found - set(plan.without))


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise BadInput("relearning cannot be undone, and there is no terminal to ask at; say --yes if you are sure")
    print("Relearn? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _carried_out(options: Options, ids: Sequence[int]) -> int:
    from agent.memory import AgentMemory
    from updater.relearning import relearn as relearn_with

    try:
        with (
            UpdateProgress(is_plain=options.is_plain) as progress,
            AgentMemory.open(
                options.home, model=options.model, lineage=options.lineage, device=options.device
            ) as memory,
        ):
            progress("loading the model", 0, 0)
            updater = memory.updater
            done = relearn_with(updater, memory.log.relearn_plan(options.lineage, ids), progress=progress)
            head = memory.log.head(options.lineage).number
    except KeyboardInterrupt:
        print(
            "selfparam: interrupted; nothing is lost: what was not learned yet is pending. Go on with: selfparam "
            f"update, and then again: selfparam relearn {' '.join(f'--without {number}' for number in ids)}",
            file=sys.stderr,
        )
        return 130
    for report in done.reports:
        _print_report(report)
    names = ", ".join(str(one.number) for one in done.retired if one.state is VersionState.REJECTED)
    print(f"version {head} serves and knows none of it; retired: {names or 'none'}")
    return 0 if all(report.admitted and not report.num_refused for report in done.reports) else 1


def _print_report(report: UpdateReport) -> None:
    if report.version is None:
        print(f"no new version: {report.reason or 'the gate refused it'}")
        return
    num_learned = report.num_experiences - report.num_refused
    refused = f", {report.num_refused} refused: see `selfparam log --state refused`" if report.num_refused else ""
    print(
        f"version {report.version} has learned {count(num_learned, 'experience')} anew: efficacy "
        f"{report.efficacy:.2f}, {report.seconds:.1f} s{refused}"
    )
