"""What the commands do that say why: explain, pause, resume, filter, and `update --dry-run`.

Like `commands`, they import what needs a model only where it is used.
"""

import getpass
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from agent.cli_display import UpdateProgress, count, print_pause, print_table, printable
from agent.commands import Options
from agent.explanation import ExplainedSentence, Explanation, filtered_now
from agent.explanation import explain as explain_from_log
from agent.filtering import HomeFilter
from agent.home import Home
from memory_log.errors import NothingPending
from memory_log.records import Experience, ExperienceState, StoredTarget
from updater.candidates import described
from updater.plan import PlannedExperience, UpdatePlan

if TYPE_CHECKING:
    from updater.gate import SentenceFit

SENTENCE_HEADINGS = ("kind", "use", "gain", "diversity", "KL", "greedy", "state", "question", "completion")
PROBE_HEADINGS = ("probe", "version", "correct", "answer")
BATCH_HEADINGS = ("batch", "opened (UTC)", "experiences", "state", "version", "reason")
PLAN_HEADINGS = ("kind", "use", "gain", "diversity", "question", "completion")
DROP_HEADINGS = ("kind", "not used", "text")


def explain(options: Options) -> int:
    """Print what became of an experience, and why."""
    home = Home.open(options.home, model=options.model, create=False)
    with home.open_log() as log:
        found, targets = explain_from_log(log, options.lineage, options.experience_id)
        if options.number is not None:
            log.version(options.lineage, options.number)  # also where there is nothing to measure
    found = found.model_copy(update={"filter_now": filtered_now(found.experience, HomeFilter(home.path))})
    if options.has_model and targets:
        found = _measured(options, found, targets)
    if options.is_json:
        print(found.model_dump_json())
        return 0
    _print_experience(found)
    if found.batches:
        print("\nbatches that it was in")
        print_table(BATCH_HEADINGS, [_batch_row(found, index) for index in range(len(found.batches))])
    _print_sentences(found, is_measured=options.has_model)
    if found.probes:
        print("\nprobes about it, by version")
        print_table(PROBE_HEADINGS, list(_probe_rows(found)))
    return 0


def _measured(options: Options, found: Explanation, targets: Sequence[StoredTarget]) -> Explanation:
    from agent.memory import AgentMemory

    with AgentMemory.open(
        options.home, model=options.model, lineage=options.lineage, device=options.device
    ) as memory:
        version, fits = memory.fits(targets, version=options.number)
    sentences = tuple(_with_fit(one, fit) for one, fit in zip(found.sentences, fits, strict=True))
    return found.model_copy(update={"sentences": sentences, "measured_version": version})


def _with_fit(sentence: ExplainedSentence, fit: "SentenceFit") -> ExplainedSentence:
    return sentence.model_copy(update=fit._asdict())


def _print_experience(found: Explanation) -> None:
    one = found.experience
    print(f"experience {one.id} {one.state.value}{_where(one)}")
    if one.state is ExperienceState.FORGOTTEN:
        print("  forgotten   its text, facts, target sentences and probes are gone from the log")
        return
    lines = {
        "text": one.text, "filter now": found.filter_now, "observation": one.observation, "action": one.action,
        "reward": None if one.reward is None else f"{one.reward:g}",
        "time": f"{one.time:%Y-%m-%d %H:%M:%S} UTC", "agent": one.agent,
        "session": one.session if one.step is None else f"{one.session}, step {one.step}",
        "key": one.key, "attempts": f"{one.attempts} died while holding it" if one.attempts else None,
        "reason": one.reason, "what to do": found.advice,
    }  # fmt: skip
    for name, value in lines.items():
        if value is not None:
            print(f"  {name:<11} {printable(value)}")
    for fact in one.facts:
        print(f"  {'fact':<11} {printable(fact.subject)} | {printable(fact.relation)} | {printable(fact.value)}")


def _where(one: Experience) -> str:
    if one.learned_in is None:
        return ""
    still = ", which still knows it" if one.state is ExperienceState.FORGOTTEN else ""
    return f" in version {one.learned_in}{still}"


def _batch_row(found: Explanation, index: int) -> tuple[str, ...]:
    batch = found.batches[index]
    return (
        str(batch.batch_id), f"{batch.opened_at:%Y-%m-%d %H:%M:%S}", str(batch.num_experiences), batch.state,
        "-" if batch.version is None else str(batch.version), printable(batch.reason or ""),
    )  # fmt: skip


def _print_sentences(found: Explanation, *, is_measured: bool) -> None:
    if not found.sentences:
        if found.experience.state is not ExperienceState.FORGOTTEN:
            print("\nno target sentences are stored about it")
        return
    known = [one for one in found.sentences if one.is_exact]
    if found.measured_version is not None:
        print(
            f"\ntarget sentences; version {found.measured_version} gives {len(known)} of {len(found.sentences)} as the "
            "teacher would (gain in nats, KL in nats a token)"
        )
    elif not is_measured:
        print("\ntarget sentences (gain in nats; not measured)")
    print_table(SENTENCE_HEADINGS, [_sentence_row(one) for one in found.sentences])
    for version, dropped in found.dropped.items():
        print(f"dropped in the update of version {version}, from all its experiences: {described(dropped)}")


def _sentence_row(one: ExplainedSentence) -> tuple[str, ...]:
    state = f"superseded by experience {one.superseded_by}" if one.state == "superseded" else one.state
    greedy = "-" if one.is_exact is None else "as taught" if one.is_exact else "otherwise"
    return (
        _kind(one.kind), _use(one.held_out), _nats(one.gain_nats, 2), _share(one.diversity), _nats(one.kl_nats, 3),
        greedy, state, printable(one.prompt), printable(one.completion),
    )  # fmt: skip


def _kind(kind: str) -> str:
    return kind.replace("_", " ")


def _share(value: float) -> str:
    return f"{value:.2f}"


def _use(held_out: bool) -> str:
    return "held out" if held_out else "trained"


def _nats(value: float | None, digits: int) -> str:
    # Rounding leaves a minus at a zero; adding 0 takes it away.
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def _probe_rows(found: Explanation) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in found.probes:
        rows.append((printable(one.probe.question), "right", "", printable(one.probe.answer)))
        rows += [
            ("", str(result.version), "yes" if result.correct else "no", printable(result.answer))
            for result in one.results
        ]
    return rows


def pause(options: Options) -> int:
    """Let no new update of the lineage begin; print the pause that stands."""
    with Home.open(options.home, model=options.model).open_log() as log:
        standing = log.pause_of(options.lineage)
        found = log.pause(options.lineage, by=_user(), reason=options.reason)
        is_running = log.updater_lease(options.lineage) is not None
    print(f"{'already: ' if standing is not None else ''}{printable(found.described)}")
    if is_running:
        print("an update that runs now ends as usual", file=sys.stderr)
    return 0


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user may have no name
        return socket.gethostname()


def resume(options: Options) -> int:
    """Let updates of the lineage begin again."""
    with Home.open(options.home, model=options.model, create=False).open_log() as log:
        ended = log.resume(options.lineage)
        num_pending = log.count_by_state(options.lineage)[ExperienceState.PENDING]
    if ended is None:
        print(f"lineage {options.lineage!r} was not paused; {count(num_pending, 'experience')} pending")
    else:
        print(f"updates of lineage {options.lineage!r} go on; {count(num_pending, 'experience')} pending")
    return 0


def filter_show(options: Options) -> int:
    """Print the filter of the home."""
    config = Home.open(options.home, model=options.model, create=False).config
    print(f"filter   {config.filter or 'off'}")
    trusted = "everybody" if config.trusted_agents is None else ", ".join(config.trusted_agents)
    print(f"trusted  {printable(trusted)}")
    return 0


def filter_set(options: Options) -> int:
    """Write the filter into the home's config; print it."""
    name: Literal["redact"] | None = "redact" if options.filter_name == "redact" else None
    Home.open(options.home, model=options.model).set_filter(name, options.trusted)
    return filter_show(options)


def show_plan(options: Options) -> int:
    """Print what the next update would do, up to training."""
    from agent.commands_settings import chosen_settings
    from agent.memory import AgentMemory

    try:
        chosen = chosen_settings(options)
        with Home.open(options.home, model=options.model, create=False).open_log() as log:
            log.preview_batch(options.lineage, limit=1)  # before a model is loaded, which takes seconds
            num_held = log.count_by_state(options.lineage)[ExperienceState.LEASED]
        if num_held:
            held = f"{count(num_held, 'experience')} held by an update that runs or was killed"
            print(f"{held}: not in this plan", file=sys.stderr)
        with UpdateProgress(is_plain=options.is_plain) as progress:
            progress("loading the model", 0, 0)
            with AgentMemory.open(
                options.home, model=options.model, lineage=options.lineage, device=options.device,
                anchors=options.anchors, chosen=chosen,
            ) as memory:
                print_pause(memory.log.pause_of(options.lineage))
                plan = memory.plan(limit=options.limit, order=options.order, progress=progress)
                told = {one.experience_id: memory.log.get(one.experience_id) for one in plan.experiences}
    except NothingPending:
        print(f"nothing is pending in lineage {options.lineage!r}; add something with: selfparam tell TEXT")
        return 0
    num_learned = sum(one.refused is None for one in plan.experiences)
    print(
        f"the next update would learn {count(num_learned, 'experience')} of {len(plan.experiences)} on top of version "
        f"{plan.parent}, in {count(plan.num_versions, 'version')}"
    )
    for one in plan.experiences:
        _print_planned(plan, one, told[one.experience_id])
    for old in plan.superseded:
        print(
            f"no longer true, by experience {old.by_experience}: {printable(old.prompt)} {printable(old.completion)}   "
            f"(experience {old.experience_id})"
        )
    if plan.left_out:
        print(f"not written: {' and '.join(plan.left_out)}, for which the model has no instruction")
    if plan.num_versions:
        beside = f"{count(plan.num_replayed, 'replayed sentence')} and {count(plan.num_anchors, 'anchor')}"
        print(f"with {beside}; whether the gate admits it shows only after training")
    print(f"planned in {plan.seconds:.1f} s; nothing was stored")
    return 0


def _print_planned(plan: UpdatePlan, one: PlannedExperience, told: Experience) -> None:
    print(f"\nexperience {one.experience_id}  {printable(told.text)}")
    if one.changed_by_filter:
        print(f"  filter     {printable(one.text)}")
    if one.refused is not None:
        print(f"  refused    {printable(one.refused)}")
    if one.num_windows > 1:
        unread = f", {one.num_unread_windows} of them without enough questions" if one.num_unread_windows else ""
        print(f"  read in    {one.num_windows} windows{unread}")
    rows = [
        (
            f"  {_kind(sentence.kind)}", _use(sentence.held_out), _nats(sentence.gain_nats, 2),
            _share(sentence.diversity), printable(sentence.prompt), printable(sentence.completion),
        )
        for sentence in plan.sentences
        if sentence.experience_id == one.experience_id
    ]  # fmt: skip
    if rows:
        print_table(PLAN_HEADINGS, rows)
    dropped = [
        (f"  {_kind(found.kind)}", f"dropped: {found.reason}", printable(found.text))
        for found in plan.dropped
        if found.experience_id == one.experience_id
    ]
    if dropped:
        print_table(DROP_HEADINGS, dropped)
