"""Facts change: which older sentences a newer experience makes untrue.

Knows: comparing what an older sentence says with what the teacher answers once it has read both experiences in time
order. Refuses to know: training, storage (it is handed candidates).
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from memory_log.records import Experience, Fact
from memory_log.words import name_key, searchable
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.sentences import Sentence


class Claim(NamedTuple):
    """An older sentence: its key, the experience it came from, its prompt and what it says.

    Example: Claim(7, experience, "Where is the red mug?", "the red mug is in the kitchen drawer")
    """

    key: int
    source: Experience
    prompt: str
    completion: str
    kind: Literal["question", "restatement", "near_miss"] = "question"


def contradicts(newer: Experience, older: Experience) -> bool:
    """Whether structured facts alone say that the newer experience supersedes the older one, or a part of it.

    They do where both speak of the same subject and relation and give another value.
    """
    return any(_contradicted(newer, older))


def _contradicted(newer: Experience, older: Experience) -> Iterator[Fact]:
    """The older experience's facts that the newer one gives another value."""
    stated = {(name_key(fact.subject), name_key(fact.relation)): name_key(fact.value) for fact in newer.facts}
    for fact in older.facts:
        value = name_key(fact.value)
        if stated.get((name_key(fact.subject), name_key(fact.relation)), value) != value:
            yield fact


def is_surely_untrue(newer: Experience, claim: Claim) -> bool:
    """Whether structured facts alone say that the claim no longer holds.

    Of an experience that states other facts as well, only what names a value that has changed. A near miss is about
    none of its experience's facts.
    """
    changed = list(_contradicted(newer, claim.source))
    if not changed or claim.kind == "near_miss":
        return False
    said = searchable(claim.completion)
    return len(changed) == len(claim.source.facts) or any(searchable(fact.value) in said for fact in changed)


def superseded_by(base: LanguageModel, newer: Experience, claims: Sequence[Claim]) -> list[int]:
    """Keys of the claims that the newer experience makes untrue.

    A contradiction of structured facts decides at once; otherwise the teacher is asked the old question with both
    experiences in its prompt, and another answer than before means that the old one no longer holds. Of claims that say
    the same of one experience in many phrasings, at least half must have changed, and then all have: the others are
    misread.
    """
    certain = [claim.key for claim in claims if is_surely_untrue(newer, claim)]
    doubtful = [claim for claim in claims if claim.key not in set(certain)]
    prompts = [base.dialogue.prompt_ids(claim.prompt, [claim.source.text, newer.text]) for claim in doubtful]
    answers = generate_texts(base.model, base.dialogue, prompts) if prompts else []
    votes: dict[tuple[int, str], list[bool]] = {}
    for claim, answer in zip(doubtful, answers, strict=True):
        votes.setdefault((claim.source.id, claim.completion), []).append(answer != claim.completion)
    changed = {said for said, asked in votes.items() if 2 * sum(asked) >= len(asked)}
    return sorted([*certain, *(claim.key for claim in doubtful if (claim.source.id, claim.completion) in changed)])


def still_true_within_batch(
    base: LanguageModel, experiences: Sequence[Experience], sentences: Sequence[Sentence]
) -> list[Sentence]:
    """The sentences of a batch that its later experiences leave true.

    Args:
        base: theta_0.
        experiences: the batch in order of time; of one that is read in windows, each window
            (`updater.contexts.contexts_of`).
        sentences: what was written about them.
    """
    places = [_place(experiences, sentence) for sentence in sentences]
    untrue: set[int] = set()
    for place, newer in enumerate(experiences):
        asked = [s for s, where in zip(sentences, places, strict=True) if where == place and s.kind == "question"]
        subjects = {sentence.subject for sentence in asked}
        claims = [
            Claim(index, experiences[places[index]], s.prompt, s.completion, s.kind)
            for index, s in enumerate(sentences)
            if places[index] < place and s.subject in subjects and index not in untrue
        ]
        untrue |= set(superseded_by(base, newer, claims))
    return [sentence for index, sentence in enumerate(sentences) if index not in untrue]


def _place(experiences: Sequence[Experience], sentence: Sentence) -> int:
    """Where in the batch a sentence comes from: the window in its notes, else the experience's first."""
    own = [place for place, experience in enumerate(experiences) if experience.id == sentence.experience_id]
    return next((place for place in own if sentence.notes == (experiences[place].text,)), own[0])
