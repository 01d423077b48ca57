"""What the verbs of `selfparam log` do that look: list, show, search, stats. None needs a model, and none writes."""

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agent.cli_display import LOG_HEADINGS, count, experience_row, print_pause, print_table, printable, size
from agent.commands import Options
from agent.home import Home
from memory_log.lineage_stats import LineageStats
from memory_log.listing import Selection
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState, Happening
from memory_log.search import Term, parse

HISTORY_HEADINGS = ("  time (UTC)", "what", "where", "")
ZERO_SAYS_NOTHING = ("attempts", "priority")


def selection(options: Options, lineage: str) -> Selection:
    """Which experiences of a lineage the options mean."""
    return Selection(
        lineage=lineage, state=None if options.state is None else ExperienceState(options.state),
        session=options.session, since=options.since, until=options.until,
    )  # fmt: skip


def list_(options: Options) -> int:
    """List the newest experiences, or those after an id, oldest of them first."""
    with _opened_log(options) as log:
        wanted = selection(options, options.lineage)
        if options.after is None:
            found = log.newest(wanted, limit=options.limit or 1)[::-1]
        else:
            found = log.page(wanted, after_id=options.after, limit=options.limit or 1)
        print_pause(log.pause_of(options.lineage))
    _print_experiences(found, is_json=options.is_json)
    if not found and not options.is_json:
        what = f"no {f'{options.state} ' if options.state else ''}experiences in lineage {options.lineage!r}"
        print(f"{what}{_limits(wanted)}", file=sys.stderr)
    return 0


def _opened_log(options: Options) -> MemoryLog:
    return Home.open(options.home, model=options.model, create=False, to_write=False).open_log()


def _print_experiences(found: list[Experience], *, is_json: bool) -> None:
    if is_json:
        for experience in found:
            print(experience.model_dump_json())
    elif found:
        print_table(LOG_HEADINGS, [experience_row(experience) for experience in found])


def _limits(wanted: Selection) -> str:
    return "" if (wanted.session, wanted.since, wanted.until) == (None, None, None) else " with these limits"


def show(options: Options) -> int:
    """Print one experience with all of its fields, its story, and the versions that know it."""
    with _opened_log(options) as log:
        experience = log.get(options.experience_id)
        history = log.history(options.experience_id)
        knowing = log.versions_knowing(options.experience_id)
    if options.is_json:
        story = [json.loads(one.model_dump_json()) for one in history]
        found = {"experience": json.loads(experience.model_dump_json()), "history": story, "versions_knowing": knowing}
        print(json.dumps(found))
        return 0
    print(f"experience {experience.id} {experience.state.value}")
    for name, value in _fields(experience).items():
        print(f"  {name:<11} {printable(value)}")
    print(f"  {'known by':<11} {', '.join(f'version {number}' for number in knowing) or 'no version'}")
    print("what happened to it")
    print_table(HISTORY_HEADINGS, [_happening_row(one) for one in history])
    return 0


def _happening_row(one: Happening) -> tuple[str, ...]:
    places = [f"{name} {number}" for name, number in (("batch", one.batch_id), ("version", one.version)) if number]
    return (
        f"  {one.time:%Y-%m-%d %H:%M:%S}", one.kind.value, ", ".join(places), printable(one.detail or ""),
    )  # fmt: skip


def search(options: Options) -> int:
    """List the newest experiences that have all the words, oldest of them first."""
    query = " ".join(options.words)
    with _opened_log(options) as log:
        before = {} if options.before is None else {"before_id": options.before}
        found = log.search(options.lineage, query, limit=options.limit or 1, **before)[::-1]
    if options.is_json:
        for experience in found:
            print(experience.model_dump_json())
    elif found:
        print_table(LOG_HEADINGS, [experience_row(one) for one in found], marked=_pattern(parse(query)))
    else:
        print(f"nothing in lineage {options.lineage!r} has all of it: {printable(query)}", file=sys.stderr)
    return 0


def _pattern(terms: Sequence[Term]) -> str:
    """A regular expression for what a search has found."""
    each = (r"\W+".join(map(re.escape, term.words)) + (r"\w*" if term.is_prefix else "") for term in terms)
    return rf"(?i)\b(?:{'|'.join(each)})\b"


def _fields(one: Experience) -> dict[str, str]:
    lines: dict[str, str] = {}
    for name in Experience.model_fields:
        value = getattr(one, name)
        if name in ("id", "state", "facts") or value in (None, "", {}) or (name in ZERO_SAYS_NOTHING and value == 0):
            continue
        lines[name.replace("_", " ")] = (
            f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime)
            else json.dumps(value, ensure_ascii=False) if isinstance(value, dict)
            else str(value)
        )  # fmt: skip
    for number, fact in enumerate(one.facts, 1):
        lines[f"fact {number}"] = f"{fact.subject} | {fact.relation} | {fact.value}"
    return lines


def stats(options: Options) -> int:
    """Print how the lineage, or every one, stands."""
    with _opened_log(options) as log:
        names = log.lineages() if options.is_all_lineages else [options.lineage]
        found, num_bytes = [log.stats(name) for name in names], log.num_bytes()
    if options.is_json:
        lineages = [json.loads(one.model_dump_json()) for one in found]
        print(json.dumps({"num_bytes": num_bytes, "lineages": lineages}))
        return 0
    for one in found:
        _print_stats(one, datetime.now(UTC))
    print(f"the log takes {size(num_bytes)} with all lineages; more with: selfparam disk")
    return 0


def _print_stats(one: LineageStats, now: datetime) -> None:
    print(f"lineage {one.lineage}: {count(sum(one.counts.values()), 'experience')}")
    for state, number in one.counts.items():
        if number:
            print(f"  {state.value:<11} {number}")
    if one.oldest_pending is not None:
        waiting = _span(now - one.oldest_pending.appended_at)
        print(f"  {'next':<11} experience {one.oldest_pending.id}, waiting for {waiting}")
    print(f"  {'serves':<11} {'nothing yet' if one.head is None else f'version {one.head}'}")
    if one.num_targets:
        print(f"  {'replay':<11} {count(one.num_targets, 'target sentence')}")
    if one.lease is not None:
        ends = one.lease.expires_at - now
        left = f"ends in {_span(ends)}" if ends > timedelta(0) else f"over since {_span(-ends)}"
        print(f"  {'updated by':<11} {printable(one.lease.owner)}, lease {left}")
    if one.pause is not None:
        print(f"  {'paused':<11} {printable(one.pause.described)}; go on with: selfparam resume")


def _span(span: timedelta) -> str:
    seconds = max(int(span.total_seconds()), 0)  # clocks of several computers may differ
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return count(seconds // length, unit)
    return count(seconds, "second")
