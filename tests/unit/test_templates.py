"""Questions by templates: the subject as the text calls it, every template fit to be filled in, no probe's phrasing."""

import pytest

from agent.household import phrasings
from memory_log.errors import BadInput
from tests.model_fixtures import experience, tiny_base
from updater.candidates import Wanted
from updater.naming import named
from updater.templates import ANY_RELATION, GENERAL_TEMPLATES, TemplateWriter, check_template

MUG = experience(1, "I put the red mug in the kitchen drawer.", ("red mug", "location", "kitchen drawer"))
MIRA = experience(2, "Mira's favourite drink is green tea.", ("mira", "favourite drink", "green tea"))
MANY = Wanted(questions=50, implications=50)


def asked(writer: TemplateWriter, *experiences: object, wanted: Wanted = MANY, seed: int = 0) -> list[str]:
    return [one.text for one in writer(tiny_base(), list(experiences), wanted, seed)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subject", "text", "called"),
    [
        ("red mug", "I put the red mug in the drawer.", "the red mug"),
        ("red mug", "Anna bought a red mug.", "the red mug"),
        ("red mug", "My red mug is gone.", "my red mug"),
        ("red mug", "The Red Mug's handle broke.", "the Red Mug"),
        ("mira", "Mira's favourite drink is tea.", "Mira"),
        ("mira drink", "Mira's favourite drink is tea.", "Mira's favourite drink"),
        ("red mug", "The red door and then, far away from it, a mug.", "red mug"),
        ("red mug", "Nothing of the kind.", "red mug"),
        ("", "Nothing.", ""),
    ],
)
def test_a_subject_is_called_as_the_text_calls_it(subject: str, text: str, called: str) -> None:
    assert named(subject, text) == called


def test_a_fact_is_asked_about_in_the_words_of_its_relation() -> None:
    questions = asked(TemplateWriter(), MUG)
    assert len(questions) >= 6 and "Where is the red mug?" in questions
    assert all("the red mug" in question and "drawer" not in question for question in questions)
    assert "What is Mira's favourite drink?" in asked(TemplateWriter(), MIRA, wanted=Wanted(questions=50))


def test_what_a_right_answer_holds_is_known_unless_the_template_names_it() -> None:
    found = TemplateWriter()(tiny_base(), [MIRA], MANY, 0)
    assert {one.expects for one in found if "green tea" not in one.text} == {"green tea"}
    assert {one.expects for one in found if "green tea" in one.text} == {""}


def test_implications_are_asked_only_where_they_are_wanted_and_never_more_than_wanted() -> None:
    assert not any("green tea" in text for text in asked(TemplateWriter(), MIRA, wanted=Wanted(questions=50)))
    only = asked(TemplateWriter(), MIRA, wanted=Wanted(questions=0, implications=1))
    assert len(only) == 1 and "green tea" in only[0]
    assert len(asked(TemplateWriter(), MUG, MIRA, wanted=Wanted(questions=2))) == 4


def test_an_experience_without_facts_gets_no_questions() -> None:
    assert asked(TemplateWriter(), experience(3, "Something happened.")) == []


def test_own_templates_are_used_too_and_the_order_is_the_seeds_choice() -> None:
    writer = TemplateWriter({"location": ("Which place hides {subject}?",), ANY_RELATION: ("{subject}?",)})
    assert "Which place hides the red mug?" in asked(writer, MUG)
    assert "Mira?" in asked(writer, MIRA) and "The red mug?" not in asked(writer, MUG)
    first, again, other = (asked(writer, MUG, seed=seed) for seed in (0, 0, 1))
    assert first == again != other and sorted(first) == sorted(other)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("Where is it?", "needs {subject}"),
        ("Where is {thing}?", "no other braces"),
        ("Where is {subject!r}?", "no other braces"),
        ("Where is {subject.__class__}?", "no other braces"),
        ("Where is {}?", "no other braces"),
        ("Where is {subject?", "braces"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused(template: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=r"braces|subject") as caught:
        TemplateWriter({"location": (template,)})
    assert complaint in str(caught.value) and repr(template) in str(caught.value)


def test_every_general_template_can_be_filled_in() -> None:
    for relation, templates in GENERAL_TEMPLATES.items():
        for template in templates:
            check_template(relation, template)


def test_no_general_template_is_a_phrasing_that_probes_use() -> None:
    families = (phrasings.PLACE, phrasings.WHEREABOUTS, phrasings.FAVOURITE, phrasings.OWNER, phrasings.ABOUT)
    probes = {text.lower() for family in families for text in (*family.read, *family.held_out)}
    for templates in GENERAL_TEMPLATES.values():
        for template in templates:
            as_asked = template.replace("{subject}", "{s}").lower()
            assert as_asked not in probes and as_asked.replace("{relation}", "favourite {k}") not in probes
