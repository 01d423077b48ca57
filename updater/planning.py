"""The next update as it would be: what was prepared for it, put into a plan.

Knows: a batch's parts and what the log says about what they supersede. Refuses to know: how material is made.
"""

from collections.abc import Sequence

from memory_log.log import MemoryLog
from memory_log.records import Batch, Experience
from updater.material import Prepared
from updater.plan import PlannedDrop, PlannedExperience, PlannedSentence, PlannedSupersession, UpdatePlan


def as_plan(log: MemoryLog, batch: Batch, parts: Sequence[Prepared]) -> UpdatePlan:
    """What an update of this batch would do that falls into these parts."""
    learning = [(part, part.material) for part in parts if part.material is not None]
    refused = {number: reason for part in parts for number, reason in part.refused.items()}
    learned_as = {one.id: one for part in parts for one in part.experiences}
    num_windows = {number: count for part in parts for number, count in part.num_windows.items()}
    num_unread = {number: count for part in parts for number, count in part.num_unread_windows.items()}
    part_of = {one.id: place for place, (part, _) in enumerate(learning, start=1) for one in part.experiences}
    return UpdatePlan(
        lineage=batch.lineage,
        parent=batch.parent_version,
        num_versions=len(learning),
        experiences=tuple(
            PlannedExperience(
                experience_id=number,
                text=learned_as[number].text if number in learned_as else "",
                changed_by_filter=_is_changed(log.get(number), learned_as.get(number)),
                refused=refused.get(number),
                part=part_of.get(number),
                num_windows=num_windows.get(number, 1),
                num_unread_windows=num_unread.get(number, 0),
            )
            for number in batch.experience_ids
        ),
        sentences=tuple(
            PlannedSentence(
                experience_id=sentence.experience_id,
                kind=sentence.kind,
                prompt=sentence.prompt,
                completion=sentence.completion,
                held_out=sentence.held_out,
                gain_nats=sentence.gain_nats,
                diversity=sentence.diversity,
            )
            for _, material in learning
            for sentence, _ in material.about
        ),
        dropped=tuple(PlannedDrop(**one._asdict()) for part in parts for one in part.dropped),
        left_out=tuple(dict.fromkeys(name for part in parts for name in part.left_out)),
        superseded=tuple(
            PlannedSupersession(
                target_id=target.id,
                experience_id=target.experience_id,
                by_experience=material.superseded[target.id],
                prompt=target.prompt,
                completion=target.completion,
            )
            for _, material in learning
            for target in log.targets_by_ids(sorted(material.superseded))
        ),
        num_anchors=sum(len(material.anchors) + len(material.reading_anchors) for _, material in learning),
        num_replayed=sum(
            len(material.replay_questions) + len(material.replay_near_misses) for _, material in learning
        ),
        seconds=0.0,
    )


def _is_changed(told: Experience, learned_as: Experience | None) -> bool:
    return learned_as is not None and (told.text, told.facts) != (learned_as.text, learned_as.facts)
