"""Facts change: which older sentences a newer experience makes untrue.

Knows: comparing what an older sentence says with what the teacher answers once it has read both experiences in time
order. Refuses to know: training, storage (it is handed candidates).
"""

from collections.abc import Mapping, Sequence
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
    """The sentences of a batch that its later experiences leave true."""
    by_id: Mapping[int, Experience] = {experience.id: experience for experience in experiences}
    subjects = {
        e.id: {s.subject for s in sentences if s.experience_id == e.id and s.kind == "question"} for e in experiences
    }
    untrue: set[int] = set()
    for newer in experiences:
        claims = [
            Claim(index, by_id[s.experience_id], s.prompt, s.completion)
            for index, s in enumerate(sentences)
            if s.experience_id < newer.id and s.subject in subjects[newer.id] and index not in untrue
        ]
        untrue |= set(superseded_by(base, newer, claims))
    return [sentence for index, sentence in enumerate(sentences) if index not in untrue]
