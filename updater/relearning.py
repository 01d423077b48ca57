"""Relearning without forgotten experiences: back to the version before the first that knows them, and on from there.

Knows: the order of it and what is durable after each step. Refuses to know: who asks, displays.

The order: hold the lineage's updater lease; move the head back, which makes what was learned since pending again; learn
it anew, batch by batch as it was; give the lease back; retire the versions that know what was forgotten. Killed in
between, the head is a sound version that knows none of it, and what is not learned yet waits for the next update.
"""

from memory_log.errors import BadInput
from memory_log.fields import Record
from memory_log.records import ExperienceState, Version
from memory_log.relearning import RelearnPlan
from updater.report import Progress, UpdateReport, silent
from updater.update import Updater


class Relearned(Record):
    """What relearning did.

    Example: [report.version for report in relearn(updater, log.relearn_plan("default", [3])).reports]
    """

    reports: tuple[UpdateReport, ...]
    """One for each batch, in order."""
    retired: tuple[Version, ...]
    """The versions that knew what was forgotten."""


def relearn(updater: Updater, plan: RelearnPlan, *, progress: Progress = silent) -> Relearned:
    """Learn anew what a lineage knows, without experiences that are forgotten.

    The batches are those of the first time; their sentences and factors are new ones, so the weights are not what they
    would have been. What the gate refuses now is refused, with the reason in the log.

    Args:
        updater: of the lineage's base model.
        plan: from `relearn_plan`, made just before.
        progress: called with (stage, done, total).

    Raises:
        BadInput: one of them is not forgotten yet, or the head has moved since the plan was made; nothing was changed.
        LineageBusy, UpdatesPaused, FilterFailed, OutOfMemory: see `Updater.update`.
    """
    log, lineage = updater.log, plan.lineage
    if any(log.get(number).state is not ExperienceState.FORGOTTEN for number in plan.without):
        raise BadInput(f"got experiences {list(plan.without)}, which are not all forgotten; forget them first")
    reports: list[UpdateReport] = []
    if plan.goal is not None:
        lease = log.acquire_updater_lease(
            lineage, owner=updater.owner, lease_seconds=updater.settings.lease_seconds
        )
        try:
            if log.head(lineage).number != plan.head:
                raise BadInput(f"the head of lineage {lineage!r} was version {plan.head} and has moved; plan again")
            log.go_back(lease, plan.goal)
            for number, batch in enumerate(plan.batches, 1):
                progress(f"relearning batch {number} of {len(plan.batches)}", 0, 1)
                found = log.find(batch.experience_ids)
                waiting = [one.id for one in found.values() if one.state is ExperienceState.PENDING]
                if waiting:  # others may have been forgotten meanwhile
                    reports.append(updater.learn(lease, waiting, progress))
        finally:
            log.release_updater_lease(lease)
    return Relearned(reports=tuple(reports), retired=tuple(log.retire(lineage, plan.without)))
