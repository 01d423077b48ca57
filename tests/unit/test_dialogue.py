"""How a model is spoken to: the words of a prompt, with and without a chat template, and what it says back."""

import copy
from pathlib import Path

import pytest
import torch

from agent.seed_model.documents import Document, Exchange
from agent.seed_model.rows import RowPacker
from memory_log.errors import NotAModel
from tests.model_fixtures import household_dialogue, tiny_tokenizer
from updater.dialogue import STYLE_FILE, Dialogue, PromptStyle, left_padded

NOTES = ["I put the red mug in the kitchen drawer.", "Mira is in the garden."]


def plain_dialogue() -> Dialogue:
    """The general style with a tokenizer that has no chat template."""
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.chat_template = None
    return Dialogue(tokenizer, PromptStyle())


def test_prompt_and_completion_are_token_for_token_what_the_recipe_trains_on() -> None:
    dialogue, asked = household_dialogue(), "Where is the red mug?"
    said = (("the red mug is", 1.0), ("in the kitchen drawer", 1.0))
    document = Document(tuple(NOTES), (Exchange(asked, said),))
    trained, *_ = RowPacker(tiny_tokenizer(), row_tokens=200).document_tokens(document)
    prompt = dialogue.prompt_ids(asked, NOTES)
    assert prompt + dialogue.completion_ids("the red mug is in the kitchen drawer") == trained
    without, *_ = RowPacker(tiny_tokenizer(), row_tokens=200).document_tokens(document._replace(notes=()))
    assert without[: len(dialogue.prompt_ids(asked))] == dialogue.prompt_ids(asked)


def test_without_a_chat_template_the_prompt_is_plain_text() -> None:
    dialogue = plain_dialogue()
    text = dialogue.tokenizer.decode(dialogue.prompt_ids("Where is the red mug?", NOTES))
    style = PromptStyle()
    expected = f"{style.with_notes}\n{NOTES[0]}\n{NOTES[1]}\n\nQuestion: Where is the red mug?\nAnswer:"
    assert text.strip() == expected.lower()
    alone = dialogue.tokenizer.decode(dialogue.prompt_ids("Where is the red mug?"))
    assert alone.strip() == f"{style.without_notes}\n\nQuestion: Where is the red mug?\nAnswer:".lower()
    assert dialogue.completion_ids("here")[-1] == dialogue.eos_token_ids[0]


def test_a_prompt_is_the_beginning_of_what_the_model_reads_with_its_answer() -> None:
    for dialogue in (household_dialogue(), plain_dialogue()):
        prompt, completion = dialogue.prompt_ids("Where?", NOTES), dialogue.completion_ids("in the drawer")
        assert dialogue.text(completion) == "in the drawer"
        assert all(0 <= token < len(tiny_tokenizer()) for token in prompt + completion)


@pytest.mark.parametrize(
    ("answer", "unknown"),
    [
        ("the red mug is somewhere unknown", True),
        ("The location of the red mug is unknown.", True),
        ("Unknown!", True),
        ('I would say "unknown"', True),
        ("the red mug is in the kitchen drawer", False),
        ("the unknowns are in the drawer", False),
        ("", False),
    ],
)
def test_not_knowing_is_seen_with_and_without_a_full_stop(answer: str, unknown: bool) -> None:
    assert household_dialogue().says_unknown(answer) == unknown


def test_an_answer_is_its_first_line_without_special_tokens() -> None:
    dialogue = household_dialogue()
    ids = dialogue.tokenizer("<bos>in the drawer<eos>", add_special_tokens=False)["input_ids"]
    assert dialogue.text(ids) == "in the drawer"
    two_lines = dialogue.tokenizer("\n in the drawer \n under the bed", add_special_tokens=False)["input_ids"]
    assert dialogue.text(two_lines) == "in the drawer"


def test_any_text_can_be_said_and_read_back() -> None:
    dialogue = household_dialogue()
    for text in ("zoë's naïve façade", "日本語", "🙂 42 €", "tabs\tand  two spaces"):
        assert dialogue.text(dialogue.completion_ids(text)) == text


def test_padding_is_on_the_left_and_masked() -> None:
    ids, mask = left_padded([[5, 6, 7], [8]], 9, torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7], [9, 9, 8]] and mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_a_tokenizer_without_a_pad_token_pads_with_its_end() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.pad_token = None
    assert Dialogue(tokenizer, PromptStyle()).pad_token_id == tokenizer.eos_token_id


def with_template(template: str, **more: tuple[int, ...]) -> Dialogue:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.chat_template = template
    return Dialogue(tokenizer, PromptStyle(), **({"more_eos_token_ids": ends} if (ends := more.get("ends")) else {}))


TURNS = "{% for message in messages %}<user>{{ message.content }}{% endfor %}{% if add_generation_prompt %}<agent>"
REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TURNS
DROPS = TURNS.replace("{{ message.content }}", "{% if message.role == 'user' %}{{ message.content }}{% endif %}")
THINKS = TURNS + "{% if enable_thinking is defined and enable_thinking is false %}in short:{% endif %}"


@pytest.mark.parametrize("template", [REFUSES + "{% endif %}", DROPS + "{% endif %}"])
def test_notes_go_to_the_user_where_a_template_refuses_or_drops_system_messages(template: str) -> None:
    dialogue = with_template(template)
    read = dialogue.tokenizer.decode(dialogue.prompt_ids("Where is the red mug?", NOTES))
    assert all(note.lower() in read for note in NOTES) and PromptStyle().with_notes.lower() in read
    assert read.index(NOTES[1].lower()) < read.index("where is the red mug?") and read.endswith("<agent>")


def test_a_model_that_thinks_aloud_is_asked_not_to() -> None:
    dialogue = with_template(THINKS + "{% endif %}")
    assert dialogue.tokenizer.decode(dialogue.prompt_ids("Where?")).endswith("<agent> in short:")


def test_a_template_that_renders_nothing_is_named() -> None:
    with pytest.raises(NotAModel, match="out of order"):
        with_template("{{ raise_exception('out of order') }}")


def test_an_end_of_turn_ends_an_answer_too() -> None:
    assert with_template(TURNS + "{% endif %}", ends=(5, 2)).eos_token_ids == (tiny_tokenizer().eos_token_id, 5)


def test_without_an_end_token_some_token_stands_at_the_end() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.eos_token = None
    dialogue = Dialogue(tokenizer, PromptStyle())
    assert dialogue.eos_token_ids == () and dialogue.completion_ids("here")[-1] == dialogue.pad_token_id


def test_a_model_folder_may_bring_its_own_words(tmp_path: Path) -> None:
    assert PromptStyle.for_model(tmp_path) == PromptStyle()
    own = PromptStyle(without_notes="Short, please.", language="household")
    (tmp_path / STYLE_FILE).write_text(own.model_dump_json())
    assert PromptStyle.for_model(tmp_path) == own


@pytest.mark.parametrize("content", [b"{", b'{"without_note": ""}', b'{"language": "elvish"}', b"\xff\xfe"])
def test_a_damaged_style_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STYLE_FILE).write_bytes(content)
    with pytest.raises(NotAModel, match=STYLE_FILE):
        PromptStyle.for_model(tmp_path)


def test_one_question_is_put_as_updates_put_it_and_more_turns_as_they_were_said() -> None:
    dialogue = household_dialogue()
    assert dialogue.conversation_ids([("user", "Where?")]) == dialogue.prompt_ids("Where?")
    noted = dialogue.conversation_ids([("system", "The mug is here."), ("user", "Where?")])
    assert noted == dialogue.prompt_ids("Where?", ["The mug is here."])
    longer = dialogue.conversation_ids([("user", "hello."), ("assistant", "hello"), ("user", "Where?")])
    assert longer[-len(dialogue.prompt_ids("Where?")[1:]) :] == dialogue.prompt_ids("Where?")[1:]


def test_a_template_without_a_system_role_gets_system_messages_before_the_first_question() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<agent>{% endif %}"
    )
    dialogue = Dialogue(tokenizer, PromptStyle())
    turns = [("system", "be kind"), ("user", "hi"), ("assistant", "yes"), ("user", "where")]
    text = tokenizer.decode(dialogue.conversation_ids(turns))
    assert "be kind" in text and text.index("be kind") < text.index("hi") < text.index("where")


def test_a_model_without_a_template_reads_a_conversation_as_questions_and_answers() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.chat_template = None
    dialogue = Dialogue(tokenizer, PromptStyle())
    text = tokenizer.decode(dialogue.conversation_ids([("user", "hi"), ("assistant", "yes"), ("user", "where")]))
    assert text.count("question") == 2 and text.rstrip().endswith("answer:")
