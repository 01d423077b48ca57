"""What each command of `selfparam` does: one function each, from parsed options to an exit code.

`tell`, `versions` and `rollback` need the log only. What needs a model is imported by the command that uses it.
"""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.cli_display import (
    VERSION_HEADINGS,
    UpdateProgress,
    count,
    print_answer,
    print_pause,
    print_table,
    size,
    version_row,
)
from agent.home import Home
from memory_log.errors import BadInput, NothingPending
from memory_log.fields import MAX_TEXT_BYTES
from memory_log.log import MemoryLog
from memory_log.records import ClaimOrder, ExperienceState, Fact, NewExperience, VersionState
from updater.candidates import described
from updater.report import Attempt, UpdateReport

if TYPE_CHECKING:
    from agent.api.keys import Scope
    from agent.environments.policies import PolicyName
    from agent.sessions.files import Format
    from agent.sessions.turns import Shape


class Options(argparse.Namespace):
    """The parsed arguments; which of the later ones are there depends on the command."""

    run: Callable[["Options"], int]
    home_option: str | None
    home: Path
    model: str | None
    lineage: str
    device: str
    debug: bool

    text: list[str]
    fact: list[list[str]]
    key: str | None
    question: str
    number: int | None
    limit: int | None
    order: ClaimOrder
    state: str | None
    is_json: bool
    checked_model: str | None
    is_without_updates: bool
    is_plain: bool
    is_dry_run: bool
    experience_id: int
    has_model: bool
    reason: str
    anchors: str | None
    filter_name: str
    trusted: list[str] | None
    updates: int
    experiences_per_update: int
    seed: int
    out: str | None
    format: Literal["hf", "peft"]
    file: str
    source: str
    is_relearn: bool
    is_all: bool
    is_anew: bool
    without: list[int]
    keep_snapshots: int | None
    keep_rejected_days: int
    targets_per_experience: int | None
    is_vacuum: bool
    is_quick: bool
    is_mend: bool
    salvage: str | None

    one_text: str
    name_value: list[tuple[str, str | int | float | bool]]
    words: list[str]
    before: int | None
    experience_ids: list[int]
    is_all_dead: bool
    is_all_refused: bool
    is_sure: bool
    session: str | None
    since: datetime | None
    until: datetime | None
    after: int | None
    is_all_lineages: bool
    is_lineage_given: bool = False
    is_forced: bool
    on_error: Literal["stop", "skip"]
    file_format: "Format"
    shape: "Shape | None"
    group_bytes: int
    conversation: str | None

    writers: list[tuple[str, float]]
    changes: list[tuple[str, str | int | float | bool]]
    settings_file: str | None

    folder: str
    other_folder: str | None
    method: str
    other_method: str | None
    jobs: int
    tensorboard: str | None
    env_id: str
    imports: list[str]
    env_arguments: list[tuple[str, str | int | float | bool]]
    reset_options: list[tuple[str, str | int | float | bool]]
    describer: str | None
    video: str | None
    episodes: int
    max_steps: int | None
    policy: "PolicyName | None"
    temperature: float
    is_same_world: bool
    first_episode: int
    learn_every: int | None

    host: str
    port: int
    is_without_learning: bool
    requests_per_minute: int | None
    max_batch: int
    max_waiting: int
    max_versions: int
    threads: int | None
    swap: Literal["auto", "copy", "in-place"]
    batch_size: int
    max_wait_seconds: float
    surprise_nats: float | None
    is_until_eof: bool
    key_name: str
    scopes: "list[Scope] | None"


def tell(options: Options) -> int:
    """Store experiences; print their ids and states."""
    texts = [line for text in options.text for line in (_lines_of_stdin() if text == "-" else [text])]
    if len(texts) > 1 and (options.fact or options.key):
        raise BadInput(f"got --fact or --key with {len(texts)} texts; they belong to one: tell them one at a time")
    facts = tuple(Fact(subject=subject, relation=relation, value=value) for subject, relation, value in options.fact)
    news = [NewExperience(text=text, lineage=options.lineage, facts=facts, key=options.key) for text in texts]
    with Home.open(options.home, model=options.model).open_log() as log:
        told = log.append_many(news)
    for experience in told:
        print(f"experience {experience.id} {experience.state.value}")
    return 0


def _lines_of_stdin() -> list[str]:
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as exc:
        raise BadInput(f"standard input is not UTF-8 text (byte {exc.start}); convert it to UTF-8") from exc
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise BadInput("standard input is empty; write one experience a line")
    return lines


def ask(options: Options) -> int:
    """Print an answer and the version that gave it."""
    if len(options.question.encode()) > MAX_TEXT_BYTES:
        raise BadInput(f"the question is longer than {MAX_TEXT_BYTES} bytes of UTF-8; ask something shorter")
    from agent.memory import AgentMemory

    with AgentMemory.open(
        options.home, model=options.model, lineage=options.lineage, device=options.device, to_write=False
    ) as memory:
        answer = memory.ask(options.question, version=options.number)
    if options.is_json:
        fields = {"question": options.question, "answer": answer.text, "version": answer.version, "known": answer.known}
        print(json.dumps(fields))
    else:
        print_answer(answer.text, answer.version)
    return 0


def update(options: Options) -> int:
    """Learn what is pending; print what came of it, or with --dry-run what would."""
    if options.is_dry_run:
        from agent.commands_why import show_plan

        return show_plan(options)
    try:
        return _update(options)
    except NothingPending:
        print(f"nothing is pending in lineage {options.lineage!r}; add something with: selfparam tell TEXT")
        return 0
    except KeyboardInterrupt:
        with Home.open(options.home).open_log() as log:
            num_waiting = _num_waiting(log, options.lineage)
        print(
            f"selfparam: interrupted; nothing is lost: {count(num_waiting, 'experience')} pending for the next update, "
            "and what served before serves on",
            file=sys.stderr,
        )
        return 130


def _num_waiting(log: MemoryLog, lineage: str) -> int:
    # Leased ones count: a dead updater's are put back by the next update.
    counts = log.count_by_state(lineage)
    return sum(counts[state] for state in (ExperienceState.PENDING, ExperienceState.SPILLED, ExperienceState.LEASED))


def _update(options: Options) -> int:
    with Home.open(options.home, model=options.model).open_log() as log:
        log.check_not_paused(options.lineage)
        if _num_waiting(log, options.lineage) == 0:
            raise NothingPending  # before a model is loaded, which takes seconds
    from agent.commands_settings import chosen_settings
    from agent.memory import AgentMemory

    chosen = chosen_settings(options)
    with UpdateProgress(is_plain=options.is_plain) as progress:
        progress("loading the model", 0, 0)
        with AgentMemory.open(
            options.home, model=options.model, lineage=options.lineage, device=options.device,
            anchors=options.anchors, chosen=chosen,
        ) as memory:
            report = memory.update(limit=options.limit, order=options.order, progress=progress, warn=_warn)
            num_left = _num_waiting(memory.log, options.lineage)
    _print_report(report)
    if num_left:
        print(f"{count(num_left, 'experience')} still pending; go on with: selfparam update")
    return 0 if report.admitted else 1


def _warn(message: str) -> None:
    print(f"selfparam: {message}", file=sys.stderr)


def _print_report(report: UpdateReport) -> None:
    if report.version is None:
        print(f"no new version: {report.reason or 'the gate refused it'}; version {report.parent} serves on")
    else:
        num_learned = report.num_experiences - report.num_refused
        print(f"version {report.version} has learned {count(num_learned, 'experience')}")
    if report.version is not None and report.reason:
        print(f"  note      {report.reason}")
    for note in report.notes:
        print(f"  note      {note}")
    if report.num_refused:
        print(f"  refused   {count(report.num_refused, 'experience')}, see: selfparam log --state refused")
    if report.num_windows > report.num_experiences:
        unread = f", {report.num_unread_windows} of them without enough questions" if report.num_unread_windows else ""
        print(f"  read in   {report.num_windows} windows{unread}")
    if len(report.attempts) > 1:
        print(f"  attempts  {len(report.attempts)}: {'; '.join(map(_attempt_in_words, report.attempts))}")
    print(f"  efficacy  {report.efficacy:.2f} of held-out sentences are answered as they would be with notes")
    print(f"  KL        {report.kl_before_nats:.3f} -> {report.kl_after_nats:.3f} nats a token on held-out sentences")
    print(
        f"  seconds   {report.seconds:.1f} for {report.num_sentences} sentences and {report.num_near_misses} near "
        f"misses in {count(report.num_steps, 'step')}"
    )
    if report.dropped:
        print(f"  dropped   {described(report.dropped)}; `selfparam update --dry-run` shows such sentences beforehand")


def _attempt_in_words(attempt: Attempt) -> str:
    numbers = ", ".join(map(str, attempt.experience_ids))
    again = " with safer settings" if attempt.changed else ""
    return f"of {numbers}{again} {'refused' if attempt.refusals else 'admitted'}"


def versions(options: Options) -> int:
    """List every version."""
    with Home.open(options.home, model=options.model, create=False, to_write=False).open_log() as memory_log:
        all_versions = memory_log.versions(options.lineage)
        print_pause(memory_log.pause_of(options.lineage))
        head = memory_log.head(options.lineage).number if all_versions else None
        snapshot_bytes = sum(one.num_bytes for one in memory_log.snapshots(options.lineage))
        target_bytes = 0 if options.is_json else memory_log.target_bytes(options.lineage)
    if options.is_json:
        for version in all_versions:
            print(json.dumps({**json.loads(version.model_dump_json()), "serves": version.number == head}))
    elif all_versions:
        rows = [version_row(version, serves=version.number == head) for version in all_versions]
        print_table(VERSION_HEADINGS, rows)
        kept = [one.delta for one in all_versions if one.state is not VersionState.REJECTED]
        delta_bytes = sum(delta.num_bytes for delta in kept if delta is not None)
        print(
            f"deltas {size(delta_bytes)}, snapshots {size(snapshot_bytes)}, stored targets {size(target_bytes)}",
            file=sys.stderr,
        )
    else:
        print(f"no versions in lineage {options.lineage!r} yet; its first ask or update makes them", file=sys.stderr)
    return 0


def rollback(options: Options) -> int:
    """Let another admitted version serve."""
    number = options.number or 0
    with Home.open(options.home, model=options.model, create=False).open_log() as memory_log:
        memory_log.version(options.lineage, number)  # says in plainer words when the lineage has no versions yet
        memory_log.rollback(options.lineage, number)
        num_waiting = _num_waiting(memory_log, options.lineage)
    print(f"version {number} serves now; {count(num_waiting, 'experience')} pending")
    return 0


def demo(options: Options) -> int:
    """Run the demo, which prints for itself."""
    from agent.demo import run_demo

    return run_demo(
        updates=options.updates,
        experiences_per_update=options.experiences_per_update,
        seed=options.seed,
        out=None if options.out is None else Path(options.out),
        model=options.model,
        plain=options.is_plain,
        device=options.device,
    )
