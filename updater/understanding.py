"""What a teacher makes of a batch: sentences worth learning, context by context, and contexts that it makes nothing of.

Knows: that each window of an experience is asked about by itself, that a poor one is asked about twice, and which
sentences have context gain. Refuses to know: who writes, who teaches, the log.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from memory_log.records import Experience
from updater.candidates import Dropped
from updater.report import NO_CONTEXT_GAIN, NOTHING_WRITTEN, Progress
from updater.sentences import Sentence
from updater.settings import UpdateSettings
from updater.teacher import Taught
from updater.writing import WrittenSentences


@dataclass
class _Found:
    """What was found about one context."""

    worth: list[Taught] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    is_unasked: bool = True

    @property
    def num_questions(self) -> int:
        """Questions worth learning."""
        return sum(one.sentence.kind == "question" for one in self.worth)


@dataclass(frozen=True)
class Understanding:
    """What was found about a batch's contexts."""

    worth_learning: list[Taught]
    dropped: list[Dropped]
    """What was written and is not worth learning, or could not be used."""
    refused: dict[int, str]
    """Experiences about which too few questions are worth learning, in all of their windows together, with the
    reason."""
    unread: Counter[int]
    """Windows of each experience about which too few questions are, even when asked for twice."""


def understood(
    contexts: Sequence[Experience],
    write: Callable[[Sequence[Experience], int], WrittenSentences],
    teach: Callable[[Sequence[Sentence]], list[Taught]],
    settings: UpdateSettings,
    progress: Progress,
) -> Understanding:
    """Let sentences be written and taught about every context, once more where too few are worth learning.

    Args:
        contexts: the batch's contexts in order of time.
        write: (contexts, no two of one experience; what to add to the seed) -> what was written about them.
        teach: sentences -> the same with what the teacher expects, and their gain.
        settings: the least gain of a sentence, and the least questions about an experience.
        progress: told what goes on.
    """
    found = [_Found() for _ in contexts]
    unread = list(range(len(contexts)))
    for attempt in range(2):
        for turn, places in enumerate(_turns(contexts, unread)):
            progress("writing sentences", attempt, 2)
            written = write([contexts[place] for place in places], attempt + 2 * turn)
            progress("teacher targets", attempt, 2)
            sentences = teach(written.sentences)
            for place in places:
                found[place] = _about(contexts[place].id, written, sentences, settings)
        unread = [place for place in unread if found[place].num_questions < settings.min_questions]
    num_questions, is_unasked = Counter[int](), dict.fromkeys((one.id for one in contexts), True)
    for context, one in zip(contexts, found, strict=True):
        num_questions[context.id] += one.num_questions
        is_unasked[context.id] &= one.is_unasked
    return Understanding(
        [one for part in found for one in part.worth],
        [one for part in found for one in part.dropped],
        {
            number: NOTHING_WRITTEN if is_unasked[number] else NO_CONTEXT_GAIN
            for number in sorted(is_unasked)
            if num_questions[number] < settings.min_questions
        },
        Counter(contexts[place].id for place in unread),
    )


def _about(
    experience_id: int, written: WrittenSentences, sentences: Sequence[Taught], settings: UpdateSettings
) -> _Found:
    """What of a turn is about one experience; a near miss is worth learning whatever it gains."""
    found = _Found(is_unasked=experience_id in written.unasked)
    found.dropped += [one for one in written.dropped if one.experience_id == experience_id]
    for one in sentences:
        sentence = one.sentence
        if sentence.experience_id != experience_id:
            continue
        if sentence.kind == "near_miss" or sentence.gain_nats >= settings.min_gain_nats:
            found.worth.append(one)
        else:
            found.dropped.append(Dropped(experience_id, sentence.kind, "no gain", sentence.own_text))
    return found


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
