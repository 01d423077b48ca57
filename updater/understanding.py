"""What a teacher makes of a batch: sentences worth learning, context by context, and contexts that it makes nothing of.

Knows: that each window of an experience is asked about by itself, that a poor one is asked about twice, and which
sentences have context gain. Refuses to know: who writes, who teaches, the log.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memory_log.records import Experience
from updater.report import Progress
from updater.sentences import Sentence
from updater.settings import UpdateSettings
from updater.teacher import Taught


@dataclass(frozen=True)
class Understanding:
    """What was found about a batch's contexts."""

    worth_learning: list[Taught]
    without_gain: list[Sentence]
    """Questions that the teacher answers as well without context."""
    unread: list[Experience]
    """Contexts about which too few questions are worth learning, even when asked for twice."""

    def num_questions(self, experience_id: int) -> int:
        """Questions worth learning about an experience, in all of its windows together."""
        return sum(_is_question(one) for one in self.worth_learning if one.sentence.experience_id == experience_id)


def understood(
    contexts: Sequence[Experience],
    write: Callable[[Sequence[Experience], int], list[Sentence]],
    teach: Callable[[Sequence[Sentence]], list[Taught]],
    settings: UpdateSettings,
    progress: Progress,
) -> Understanding:
    """Let sentences be written and taught about every context, once more where too few are worth learning.

    Args:
        contexts: the batch's contexts in order of time.
        write: (contexts, no two of one experience; what to add to the seed) -> sentences about them.
        teach: sentences -> the same with what the teacher expects, and their gain.
        settings: the least gain of a question, and the least questions about a context.
        progress: told what goes on.
    """
    worth: dict[int, list[Taught]] = {}
    without_gain: dict[int, list[Sentence]] = {}
    unread = list(range(len(contexts)))
    for attempt in range(2):
        for turn, places in enumerate(_turns(contexts, unread)):
            progress("writing sentences", attempt, 2)
            sentences = write([contexts[place] for place in places], attempt + 2 * turn)
            progress("teacher targets", attempt, 2)
            found = teach(sentences)
            for place in places:
                own = [one for one in found if one.sentence.experience_id == contexts[place].id]
                worth[place] = [one for one in own if _has_gain(one, settings)]
                without_gain[place] = [one.sentence for one in own if not _has_gain(one, settings)]
        unread = [place for place in unread if sum(map(_is_question, worth[place])) < settings.min_questions]
    return Understanding(
        [one for place in sorted(worth) for one in worth[place]],
        [sentence for place in sorted(without_gain) for sentence in without_gain[place]],
        [contexts[place] for place in unread],
    )


def _is_question(one: Taught) -> bool:
    return one.sentence.kind == "question"


def _has_gain(one: Taught, settings: UpdateSettings) -> bool:
    """Near misses always have: what they teach is that nothing is known."""
    return not _is_question(one) or one.sentence.gain_nats >= settings.min_gain_nats


def _turns(contexts: Sequence[Experience], places: Sequence[int]) -> list[list[int]]:
    """Places of contexts in turns, no two of one experience in a turn."""
    turns: list[list[int]] = []
    taken: Counter[int] = Counter()
    for place in places:
        number = contexts[place].id
        if taken[number] == len(turns):
            turns.append([])
        turns[taken[number]].append(place)
        taken[number] += 1
    return turns
