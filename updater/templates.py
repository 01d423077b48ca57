"""Questions from the structured facts of an experience, by templates; nobody has to write them.

Knows: templates in plain English for any relation, and better ones for common relations. Refuses to know: models, what
the right answers are (the teacher reads them in the experience).

A template may hold `{subject}`, `{relation}` and `{value}`. One with `{value}` asks for something that follows from the
fact, such as whether it is so; the others ask for the value.
"""

import random
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from memory_log.errors import BadInput
from memory_log.records import Experience, Fact
from updater.candidates import Candidate, Wanted
from updater.naming import named

if TYPE_CHECKING:
    from updater.language_model import LanguageModel

PLACEHOLDERS: Final = frozenset({"subject", "relation", "value"})
ANY_RELATION: Final = "*"

_PLACE: Final = (
    "Where is {subject}?", "Where can I find {subject}?", "What is the location of {subject}?",
    "Where should I look for {subject}?", "In which place is {subject}?", "Tell me where {subject} is.",
    "Do you know where {subject} is?", "What do you know about {subject}?",
)  # fmt: skip
_OWNER: Final = (
    "Who owns {subject}?", "Whose is {subject}?", "Who is the owner of {subject}?", "To whom does {subject} belong?",
    "Who does {subject} belong to?", "Tell me who owns {subject}.", "Do you know who owns {subject}?",
)  # fmt: skip
GENERAL_TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "location": _PLACE,
    "place": _PLACE,
    "whereabouts": _PLACE,
    "owner": _OWNER,
    ANY_RELATION: (
        "What is the {relation} of {subject}?", "What is {subject}'s {relation}?", "Tell me {subject}'s {relation}.",
        "Tell me the {relation} of {subject}.", "Do you know the {relation} of {subject}?",
        "{subject}: what is the {relation}?", "What do you know about {subject}'s {relation}?",
        "Is it true that the {relation} of {subject} is {value}?", "Is {value} the {relation} of {subject}?",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class TemplateWriter:
    """Writes questions about the facts that were told with an experience; about one without facts, none.

    Args:
        templates: by relation, `*` for those without their own; put before the general ones of the same relation.

    Raises:
        BadInput: a template has a placeholder that it cannot have, or lacks its subject.

    Example: TemplateWriter({"colour": ("What colour does {subject} have?",)})
    """

    templates: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for relation, own in self.templates.items():
            for template in own:
                check_template(relation, template)

    def __call__(
        self, base: "LanguageModel", experiences: Sequence[Experience], wanted: Wanted, seed: int
    ) -> list[Candidate]:
        """Questions about every fact in turn, in an order that is the seed's choice."""
        rng = random.Random(seed)
        found = []
        for experience in experiences:
            asked = [one for fact in experience.facts for one in self._asked(experience, fact)]
            rng.shuffle(asked)
            direct = [one for one in asked if one.expects]
            implied = [one for one in asked if not one.expects]
            found += [*direct[: wanted.questions], *implied[: wanted.implications]]
        return found

    def _asked(self, experience: Experience, fact: Fact) -> list[Candidate]:
        subject = named(fact.subject, experience.text)
        value = named(fact.value, experience.text)
        found = []
        for template in self._templates_of(fact.relation):
            text = template.format(subject=subject, relation=fact.relation, value=value)
            expects = "" if "{value}" in template else fact.value
            found.append(Candidate(experience, "question", text[0].upper() + text[1:], expects))
        return found

    def _templates_of(self, relation: str) -> list[str]:
        own = self.templates.get(relation, self.templates.get(ANY_RELATION, ()))
        general = GENERAL_TEMPLATES.get(relation, GENERAL_TEMPLATES[ANY_RELATION])
        return list(dict.fromkeys([*own, *general]))


def check_template(relation: str, template: str) -> None:
    """Refuse a template that could not be filled in.

    Raises:
        BadInput: it has a placeholder that it cannot have, or lacks `{subject}` and `{value}`, or is no template.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as exc:
        raise BadInput(f"the template {template!r} of {relation!r} cannot be read: {exc}; correct its braces") from exc
    names = {name for _, name, _, _ in parts if name is not None}
    if names - PLACEHOLDERS or any(form or conversion for _, _, form, conversion in parts):
        raise BadInput(
            f"the template {template!r} of {relation!r} may hold {{subject}}, {{relation}} and {{value}}, and no other "
            "braces"
        )
    if not names & {"subject", "value"}:
        raise BadInput(
            f"the template {template!r} of {relation!r} needs {{subject}} or {{value}}: a question has to name what it "
            "asks about"
        )
