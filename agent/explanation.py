"""What the log knows about one experience: its batches, target sentences and probes, and what to do if it was refused.

Knows the log. Refuses to know models: how well a version knows a sentence is added by whoever has its weights.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from memory_log.errors import BadInput
from memory_log.fields import Record
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState, Membership, Probe, ProbeResult, StoredTarget
from updater.candidates import DropReason
from updater.diversity import diversities
from updater.filters import REFUSED_BY_FILTER, ExperienceFilter, allowed
from updater.report import DROPPED, NO_CONTEXT_GAIN, NOT_FINITE, NOTHING_WRITTEN

SentenceState = Literal["live", "superseded", "not admitted", "rolled back"]


class ExplainedSentence(Record):
    """A stored target sentence, what it counts for, and how a version knows it; None where that was not measured.

    Example: [one.prompt for one in explanation.sentences if one.state == "live" and not one.is_exact]
    """

    kind: str
    prompt: str
    completion: str
    held_out: bool
    gain_nats: float | None
    diversity: float
    """Share of its word pairs that no other sentence of its kind about the experience has."""
    version: int | None
    state: SentenceState
    superseded_by: int | None
    kl_nats: float | None = None
    is_exact: bool | None = None


class ExplainedProbe(Record):
    """A probe about the experience, with what each version answered."""

    probe: Probe
    results: tuple[ProbeResult, ...]


class Explanation(Record):
    """One experience and what became of it.

    Example: explain(log, "default", 7).experience.reason
    """

    experience: Experience
    advice: str | None
    """What to do about an experience that was refused or given up."""
    batches: tuple[Membership, ...]
    sentences: tuple[ExplainedSentence, ...]
    dropped: dict[int, dict[str, int]]
    """By version: how much of what was written for its update was dropped, by reason."""
    probes: tuple[ExplainedProbe, ...]
    measured_version: int | None = None
    filter_now: str | None = None
    """What the home's filter leaves of it now, or why it refuses it; None where that is what was told."""


def explain(log: MemoryLog, lineage: str, experience_id: int) -> tuple[Explanation, list[StoredTarget]]:
    """What the log knows about an experience, and its stored targets in the order of the sentences.

    Raises:
        UnknownExperience: there is none with this id.
        BadInput: it is another lineage's.
    """
    experience = log.get(experience_id)
    if experience.lineage != lineage:
        raise BadInput(
            f"experience {experience_id} is of lineage {experience.lineage!r}, not {lineage!r}; ask with --lineage "
            f"{experience.lineage}"
        )
    targets = log.targets_of(experience_id)
    line = _line(log, lineage)
    probes = log.probes(lineage, experience_ids=[experience_id])
    results = log.probe_results(lineage) if probes else []
    explanation = Explanation(
        experience=experience,
        advice=advice(experience),
        batches=tuple(log.memberships(experience_id)),
        sentences=_explained_all(targets, line),
        dropped=_dropped(log, lineage, {target.version for target in targets if target.version is not None}),
        probes=tuple(
            ExplainedProbe(probe=probe, results=tuple(one for one in results if one.probe_id == probe.id))
            for probe in probes
        ),
    )
    return explanation, targets


def _line(log: MemoryLog, lineage: str) -> set[int]:
    """The versions that the head is made of."""
    if not log.versions(lineage):
        return set()
    return {version.number for version in log.chain(lineage, log.head(lineage).number)}


def _explained_all(targets: Sequence[StoredTarget], line: set[int]) -> tuple[ExplainedSentence, ...]:
    # Sentences are compared with those that were written with them: of one kind, for one version.
    groups: dict[tuple[str, int | None], int] = {}
    owners = [groups.setdefault((target.kind, target.version), len(groups)) for target in targets]
    texts = [target.completion if target.kind == "restatement" else target.prompt for target in targets]
    return tuple(
        _explained(target, line, diversity)
        for target, diversity in zip(targets, diversities(texts, owners), strict=True)
    )


def _dropped(log: MemoryLog, lineage: str, numbers: set[int]) -> dict[int, dict[str, int]]:
    found = {}
    for number in sorted(numbers):
        metrics = log.version(lineage, number).metrics
        found[number] = {
            reason: int(metrics[name])
            for reason in get_args(DropReason)
            if (name := f"{DROPPED}{reason.replace(' ', '_')}") in metrics
        }
    return {number: counts for number, counts in found.items() if counts}


def _explained(target: StoredTarget, line: set[int], diversity: float) -> ExplainedSentence:
    state: SentenceState = "live"
    if target.version is None:
        state = "not admitted"
    elif target.version not in line:
        state = "rolled back"
    elif target.superseded_by is not None:
        state = "superseded"
    return ExplainedSentence(
        kind=target.kind, prompt=target.prompt, completion=target.completion, held_out=target.held_out,
        gain_nats=target.context_gain_nats, diversity=diversity, version=target.version, state=state,
        superseded_by=target.superseded_by,
    )  # fmt: skip


def filtered_now(experience: Experience, experience_filter: ExperienceFilter) -> str | None:
    """What a filter leaves of the text, or why it refuses it; None where it changes nothing."""
    if experience.state is ExperienceState.FORGOTTEN:
        return None
    found = allowed(experience, experience_filter)
    if isinstance(found, str):
        return found
    return None if (found.text, found.facts) == (experience.text, experience.facts) else found.text


def advice(experience: Experience) -> str | None:
    """What to do about an experience that was refused or given up; None for others."""
    reason = experience.reason or ""
    if experience.state is ExperienceState.DEAD:
        return (
            "find out what killed those updates (memory, the machine, a text too long for the model), then: "
            f"selfparam log requeue {experience.id}"
        )
    if experience.state is not ExperienceState.REFUSED:
        return None
    if reason.startswith(REFUSED_BY_FILTER):
        return (
            "see `selfparam filter show`; if it should be learned, change the filter, then: "
            f"selfparam log requeue {experience.id}"
        )
    if reason.startswith(NOTHING_WRITTEN):
        return (
            "let the model write too, or tell it again with facts; if the writers have changed: "
            f"selfparam log requeue {experience.id}"
        )
    if reason.startswith(NO_CONTEXT_GAIN):
        return (
            "the model reads too little in it, or knows it already: see what it answers with `selfparam ask`, and tell "
            "it again in plainer words, one statement a text"
        )
    if NOT_FINITE in reason:
        return f"lower the learning rate of the update settings, then: selfparam log requeue {experience.id}"
    return "the gate found that learning it fails or does harm: tell it again in other words, or in smaller pieces"
