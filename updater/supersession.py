"""Facts change: which older sentences a newer experience makes untrue.

Knows: comparing what an older sentence says with what the teacher answers once it has read both experiences in time
order. Refuses to know: training, storage (it is handed candidates).
"""

from collections.abc import Sequence
from typing import NamedTuple

from memory_log.records import Experience
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.sentences import Sentence


class Claim(NamedTuple):
    """An older sentence: its key, the experience it came from, its prompt and what it says."""

    key: int
    source: Experience
    prompt: str
    completion: str


def contradicts(newer: Experience, older: Experience) -> bool:
    """Whether structured facts alone say that the newer experience supersedes the older one.

    They do where both speak of the same subject and relation and give another value.
    """
    known = {(fact.subject, fact.relation): fact.value for fact in older.facts}
    return any(known.get((fact.subject, fact.relation), fact.value) != fact.value for fact in newer.facts)


def superseded_by(base: LanguageModel, newer: Experience, claims: Sequence[Claim]) -> list[int]:
    """Keys of the claims that the newer experience makes untrue.

    A contradiction of structured facts decides at once; otherwise the teacher is asked the old question with both
    experiences in its prompt, and another answer than before means that the old one no longer holds.
    """
    certain = [claim.key for claim in claims if contradicts(newer, claim.source)]
    doubtful = [claim for claim in claims if claim.key not in set(certain)]
    prompts = [base.dialogue.prompt_ids(claim.prompt, [claim.source.text, newer.text]) for claim in doubtful]
    answers = generate_texts(base.model, base.dialogue, prompts) if prompts else []
    changed = [claim.key for claim, answer in zip(doubtful, answers, strict=True) if answer != claim.completion]
    return sorted(certain + changed)


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
            Claim(index, experiences[places[index]], s.prompt, s.completion)
            for index, s in enumerate(sentences)
            if places[index] < place and s.subject in subjects and index not in untrue
        ]
        untrue |= set(superseded_by(base, newer, claims))
    return [sentence for index, sentence in enumerate(sentences) if index not in untrue]


def _place(experiences: Sequence[Experience], sentence: Sentence) -> int:
    """Where in the batch a sentence comes from: the window in its notes, else the experience's first."""
    own = [place for place, experience in enumerate(experiences) if experience.id == sentence.experience_id]
    return next((place for place in own if sentence.notes == (experiences[place].text,)), own[0])
