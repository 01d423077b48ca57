"""Questions of a data set, as probes of a log: asked by studies, and invisible to every update.

Knows which experience a question is about. Refuses to know formats, models and how answers are judged.
"""

from collections.abc import Sequence
from typing import NamedTuple

from agent.sessions.locomo import Question
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState, NewProbe


class Stored(NamedTuple):
    """What became of questions."""

    num_stored: int
    num_there_already: int
    """In the log before, or asked twice."""
    num_waiting: int
    """Whose experiences are not all in the log."""
    num_without_evidence: int
    """Which name no turn of their conversation, so that no experience is known to answer them."""


def store_questions(log: MemoryLog, lineage: str, questions: Sequence[Question]) -> Stored:
    """Store those whose experiences are all in the log, each once, about the last experience that it needs.

    A probe's kind is the question's category. Doing it again adds nothing, or what has become possible since.

    Args:
        log: where the experiences are.
        lineage: whose memory they went to.
        questions: with the keys of the experiences that answer them.
    """
    keys = sorted({key for one in questions for key in one.evidence})
    there = log.with_keys([(lineage, key) for key in keys])
    known = {(one.experience_id, one.kind, one.question, one.answer) for one in log.probes(lineage)}
    fresh: list[NewProbe] = []
    num_there = num_waiting = 0
    for one in questions:
        held = [there.get((lineage, key)) for key in one.evidence]
        found = [each for each in held if each is not None and each.state is not ExperienceState.FORGOTTEN]
        if len(found) < len(one.evidence):
            num_waiting += 1
        elif found:
            last = max(found, key=lambda each: (each.time, each.id))
            probe = NewProbe(experience_id=last.id, kind=one.category, question=one.question, answer=one.answer)
            is_new = (last.id, probe.kind, probe.question, probe.answer) not in known
            known.add((last.id, probe.kind, probe.question, probe.answer))
            fresh += [probe] if is_new else []
            num_there += not is_new
    log.add_probes(fresh)
    return Stored(len(fresh), num_there, num_waiting, sum(not one.evidence for one in questions))
