"""Filters: what of an experience may be learned, decided before anything is made of it.

Knows: what a filter is, applying one, and the three that ship (redaction, trust, one after the other). Refuses to know:
models, the log, whose filter applies when. What a filter takes away never reaches a prompt, so it cannot come back in a
target sentence.
"""

import functools
from collections.abc import Callable, Collection
from typing import Self

from pydantic import model_validator

from memory_log.errors import FilterFailed
from memory_log.fields import Record
from memory_log.records import Experience, Fact
from updater.redaction import redacted, redacted_name

REFUSED_BY_FILTER = "filter: "
"""How the reason of an experience begins that a filter refused."""


class Filtered(Record):
    """What may be learned of an experience: a text and facts, perhaps changed; or nothing, with the reason.

    Example: Filtered.refuse("agent 'guest' is not trusted")
    """

    text: str = ""
    facts: tuple[Fact, ...] = ()
    refused: str | None = None

    @model_validator(mode="after")
    def _is_text_or_refusal(self) -> Self:
        said = self.text if self.refused is None else self.refused
        if not said.strip():
            raise ValueError("a filter gives a text to learn, or refuses with a reason; neither may be empty")
        return self

    @classmethod
    def learn(cls, text: str, facts: Collection[Fact] = ()) -> "Filtered":
        """Learn this text with these facts, and nothing else of the experience."""
        return cls(text=text, facts=tuple(facts))

    @classmethod
    def refuse(cls, reason: str) -> "Filtered":
        """Learn nothing of the experience. The reason is stored, so it must not quote what was to be kept out."""
        return cls(refused=reason)


ExperienceFilter = Callable[[Experience], Filtered]
"""What may be learned of an experience. Asked again at every attempt, so it gives the same answer each time."""


def allowed(experience: Experience, experience_filter: ExperienceFilter | None) -> Experience | str:
    """The experience as it may be learned, or the reason why it may not.

    Raises:
        FilterFailed: the filter raised. That says nothing about the experience, so nothing is refused for it.
    """
    if experience_filter is None:
        return experience
    try:
        found = experience_filter(experience)
        if not isinstance(found, Filtered):
            raise TypeError(f"a filter gives a Filtered, got {type(found).__name__}")
    except Exception as exc:  # somebody else's function
        # Only the kind of error: its text may quote what the filter is there to keep out.
        raise FilterFailed(
            f"the filter failed on experience {experience.id} with {type(exc).__name__}; nothing was learned, and "
            "everything waits: correct the filter (to set such an experience aside, it has to refuse it), or forget "
            "the experience"
        ) from exc
    if found.refused is not None:
        return f"{REFUSED_BY_FILTER}{found.refused}"
    # What else was recorded is not asked for by anything that learns; it goes, so that it cannot become so by accident.
    return experience.model_copy(
        update={"text": found.text, "facts": found.facts, "observation": None, "action": None}
    )


def redact_personal(experience: Experience) -> Filtered:
    """Learn `[e-mail]`, `[phone]`, `[card]`, `[IBAN]`, `[IP]` and `[secret]` in place of what looks like one.

    Names, addresses and whatever is spelled out in words stay: patterns cannot know them.
    """
    facts = [
        Fact(**{name: redacted_name(value) for name, value in fact.model_dump().items()}) for fact in experience.facts
    ]
    return Filtered.learn(redacted(experience.text), facts)


def trusted_agents(names: Collection[str]) -> ExperienceFilter:
    """A filter that refuses the experiences of all agents but these."""
    return functools.partial(_of_trusted, frozenset(names))


def _of_trusted(names: frozenset[str], experience: Experience) -> Filtered:
    if experience.agent in names:
        return Filtered.learn(experience.text, experience.facts)
    return Filtered.refuse(f"agent {experience.agent!r} is not trusted")


def chain(*filters: ExperienceFilter) -> ExperienceFilter:
    """A filter that asks these in turn: each sees what the ones before have left, and the first refusal stands.

    Travels by pickle where all of them do.
    """
    return functools.partial(_in_turn, filters)


def _in_turn(filters: tuple[ExperienceFilter, ...], experience: Experience) -> Filtered:
    found = Filtered.learn(experience.text, experience.facts)
    for one in filters:
        found = one(experience)
        if found.refused is not None:
            return found
        experience = experience.model_copy(update={"text": found.text, "facts": found.facts})
    return found
