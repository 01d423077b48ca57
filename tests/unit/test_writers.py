"""The model as a writer, what its style leaves out, and statements checked against what they are about."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from memory_log.errors import NotAModel
from memory_log.records import Experience
from tests.model_fixtures import experience, logits_alone, tiny_base
from updater.candidates import Candidate, Wanted, counts_by_reason
from updater.dialogue import OPTIONAL_INSTRUCTIONS, STYLE_FILE, Dialogue, PromptStyle
from updater.identity import identity_of
from updater.language_model import LanguageModel
from updater.sentences import Sentence, tokenize
from updater.settings import UpdateSettings, WritingSettings
from updater.support import answer_f1, support_nats, supported
from updater.writers import left_out, written_by_model
from updater.writing import wanted_about, write_sentences

MUG, MIRA = experience(1, "I put the red mug in the kitchen drawer."), experience(2, "Mira's favourite drink is tea.")
ALL = Wanted(questions=3, implications=2, restatements=2, near_misses=1)
STATED = Sentence(1, "restatement", (MUG.text,), "what about the red mug?", "the red mug is in the drawer", "red mug")


def general_base() -> LanguageModel:
    """The tiny model with the general style, which has every instruction."""
    return dataclasses.replace(tiny_base(), dialogue=Dialogue(tiny_base().dialogue.tokenizer, PromptStyle()))


def kinds(candidates: Sequence[Candidate]) -> dict[str, int]:
    found = [one.kind for one in candidates]
    return {kind: found.count(kind) for kind in dict.fromkeys(found)}


def test_the_model_writes_as_much_of_each_kind_as_is_wanted() -> None:
    found = written_by_model(general_base(), [MUG, MIRA], ALL, 0)
    assert kinds(found) == {"question": 2 * (3 + 2), "near_miss": 2, "restatement": 2 * 2}
    assert found == written_by_model(general_base(), [MUG, MIRA], ALL, 0)


def test_what_a_style_has_no_instruction_for_is_left_out_and_said() -> None:
    assert kinds(written_by_model(tiny_base(), [MUG], ALL, 0)) == {"question": 3, "near_miss": 1}
    assert left_out(tiny_base(), WritingSettings()) == ("implications by the model", "restatements")
    assert left_out(general_base(), WritingSettings()) == ()
    nothing = WritingSettings(implications_per_experience=0, restatements_per_experience=0)
    assert left_out(tiny_base(), nothing) == ()
    assert wanted_about(tiny_base(), UpdateSettings(), 8).restatements == 0
    assert wanted_about(general_base(), UpdateSettings(), 8).restatements == 4


def test_a_models_own_style_has_the_further_instructions_only_where_it_names_them(tmp_path: Path) -> None:
    (tmp_path / STYLE_FILE).write_text(json.dumps({"write_restatement": "Say it again."}))
    style = PromptStyle.for_model(tmp_path)
    assert (style.write_restatement, style.write_implication, style.state_known) == ("Say it again.", "", "")
    assert style.write_question == PromptStyle().write_question
    (tmp_path / STYLE_FILE).write_text(json.dumps({"state_known": "What is known?"}))
    with pytest.raises(NotAModel, match="state_known"):
        PromptStyle.for_model(tmp_path)


def test_how_sentences_are_to_be_written_is_no_part_of_a_models_identity() -> None:
    general = PromptStyle()
    silent = general.model_copy(update=dict.fromkeys(OPTIONAL_INSTRUCTIONS, ""))
    parts = [identity_of({}, tiny_base().dialogue.tokenizer, style)["prompt style"] for style in (general, silent)]
    assert parts[0] == parts[1]


def test_support_is_the_rise_of_the_mean_log_probability() -> None:
    base = tiny_base()
    (without,), (context,) = tokenize(base, [STATED])
    means = []
    for sentence in (without._replace(prompt_ids=tuple(context)), without):
        logprobs = logits_alone(base.model, sentence).log_softmax(-1)
        chosen = [logprobs[place, token] for place, token in enumerate(sentence.completion_ids)]
        means.append(float(sum(chosen)) / len(chosen))
    other = STATED._replace(completion="no")
    assert support_nats(base, [other, STATED])[1] == pytest.approx(means[0] - means[1], abs=1e-4)


def test_what_answers_repeat_of_the_question_is_no_agreement() -> None:
    where = "Where is the red mug?"
    assert answer_f1(where, "the red mug is in the garden", "the red mug is in the hall") == 0.0
    assert answer_f1(where, "in the kitchen drawer", "The red mug is in the kitchen drawer.") == 1.0
    assert answer_f1(where, "in the kitchen", "in the kitchen drawer") == pytest.approx(2 / 3)
    assert answer_f1(where, "the red mug is", "it is") == 1.0


def test_a_statement_that_the_experience_makes_no_likelier_is_not_supported() -> None:
    rise = support_nats(tiny_base(), [STATED])[0]
    for margin, expected in ((-0.01, True), (0.01, False)):
        verdict = supported(
            tiny_base(), [STATED], num_questions=0, min_support_nats=rise + margin, min_agreement=0.5, seed=0
        )
        assert verdict == [expected]
    assert supported(tiny_base(), [], num_questions=3, min_support_nats=0, min_agreement=0.5, seed=0) == []


def parrot(base: LanguageModel, experiences: Sequence[Experience], wanted: Wanted, seed: int) -> list[Candidate]:
    """A writer of statements alone: a true one, a repeated one, one about something else, a long one."""
    texts = (MUG.text, MUG.text.upper(), "Nothing at all.", " ".join(["the red mug"] * 20))
    return [Candidate(experiences[0], "restatement", text) for text in texts]


def test_statements_are_dropped_with_their_reasons_and_none_is_held_out() -> None:
    settings = UpdateSettings(writing=WritingSettings(min_support_nats=-1e9, questions_per_statement=0))
    made = write_sentences(
        general_base(), [MUG], settings, seed=0, strangers=[], has_history=lambda *_: False, writer=parrot
    )
    assert made.num_sampled == 4 and made.sentences == []
    # Nothing was asked about the experience, so nothing says what a statement should be about.
    assert counts_by_reason(made.dropped) == {"duplicate": 1, "too long": 1, "about something else": 2}
    left = write_sentences(
        tiny_base(), [MUG], settings, seed=0, strangers=[], has_history=lambda *_: False, writer=parrot
    )
    assert counts_by_reason(left.dropped) == {"duplicate": 1, "too long": 1, "not asked for": 2}
