"""Models that cannot be used, or not at once: refused, warned of, or taken as they are, each in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import BertConfig, BertForMaskedLM

from agent.cli import main
from agent.memory import AgentMemory
from memory_log.errors import BadInput, NotAModel
from memory_log.records import ExperienceState
from tests.architecture_fixtures import model_folder
from tests.model_fixtures import tiny_tokenizer
from updater.language_model import load_language_model
from updater.settings import UpdateSettings

NOTE, QUESTION = "I put the red mug in the kitchen drawer.", "Where is the red mug?"
QUICK = UpdateSettings(
    questions_per_experience=4, near_misses_per_experience=1, min_samples=4, num_anchors=4, num_steps=2, rank=2
)


def test_an_update_of_a_model_that_cannot_read_warns_once_and_leaves_its_experiences_waiting(tmp_path: Path) -> None:
    folder, warnings = model_folder(tmp_path / "model", "gpt2"), list[str]()
    with AgentMemory.open(tmp_path / "home", model=str(folder), device="cpu", settings=QUICK) as memory:
        memory.tell(NOTE)
        memory.tell("Mira likes tea.")
        before = memory.ask(QUESTION)
        report = memory.update(warn=warnings.append)
        assert (report.admitted, report.num_refused) == (False, 0)
        assert report.reason is not None and report.reason.startswith("the teacher has collapsed")
        experiences = memory.log.experiences("default")
        assert [one.state for one in experiences] == [ExperienceState.PENDING] * 2
        assert memory.ask(QUESTION) == before and before.version == 0
        assert len(warnings) == 1 and "reads 0 of 8 notes" in warnings[0] and "check-model" in warnings[0]
    with AgentMemory.open(tmp_path / "home", device="cpu", settings=QUICK) as again:
        again.tell(NOTE)
        again.update(warn=warnings.append)
        assert len(warnings) == 1


@pytest.mark.parametrize(
    ("name", "has_chat_template", "without"),
    [
        ("llama", True, ("pad_token",)),
        ("qwen3", True, ("bos_token",)),
        ("gemma2", True, ()),
        ("gpt2", False, ("pad_token", "bos_token", "eos_token")),
        ("gpt_neox", False, ("pad_token",)),
        ("opt", False, ("eos_token",)),
        ("bloom", False, ()),
    ],
)
def test_special_tokens_that_a_model_lacks_stop_neither_answers_nor_updates(
    tmp_path: Path, name: str, has_chat_template: bool, without: tuple[str, ...]
) -> None:
    folder = model_folder(tmp_path / "model", name, has_chat_template=has_chat_template, without=without)
    with AgentMemory.open(tmp_path / "home", model=str(folder), device="cpu", settings=QUICK) as memory:
        memory.tell(NOTE)
        before = memory.ask(QUESTION)
        report = memory.update(warn=lambda message: None)
        assert (report.admitted, report.num_refused) == (False, 0) and report.reason
        assert memory.ask(QUESTION) == before


def test_what_is_longer_than_the_model_reads_is_read_in_windows_and_only_a_word_that_fits_in_none_is_too_long(
    tmp_path: Path,
) -> None:
    folder = model_folder(tmp_path / "model", "gpt2")
    with AgentMemory.open(tmp_path / "home", model=str(folder), device="cpu", settings=QUICK) as memory:
        memory.tell("The red mug is in the kitchen drawer. " * 40)
        memory.tell("Listen: " + "x1" * 400)
        report = memory.update(warn=lambda message: None)
        long, word = memory.log.experiences("default")
        assert not report.admitted and not (long.reason or "").startswith("too long")
        assert word.reason is not None and word.reason.startswith("too long: a word of it alone")
        with pytest.raises(BadInput, match=r"the model reads 512, and 32 of them are kept"):
            memory.ask("Where? " * 300)


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("token*"):
        path.unlink()


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def with_more_blocks(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 5'))


def with_wider_blocks(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"intermediate_size": 48', '"intermediate_size": 64'))


def with_its_own_code(folder: Path) -> None:
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    own = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    path.write_text(json.dumps({**fields, "model_type": "own", "auto_map": own}))


def looking_both_ways(folder: Path) -> None:
    config = BertConfig(
        vocab_size=len(tiny_tokenizer()), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=48, initializer_range=0.2,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (without_tokenizer, "could not be loaded"),
        (cut_off, "could not be loaded"),
        (with_more_blocks, "lacks 18 of the tensors"),
        (with_wider_blocks, "could not be loaded"),
        (with_its_own_code, "custom code"),
        (looking_both_ways, "no causal language model"),
    ],
)
def test_a_folder_that_does_not_hold_a_whole_causal_model_is_refused_with_one_sentence(
    tmp_path: Path, spoil: Callable[[Path], None], complaint: str
) -> None:
    folder = model_folder(tmp_path / "model", "llama")
    spoil(folder)
    with pytest.raises(NotAModel, match=complaint) as refused:
        load_language_model(folder)
    assert str(folder) in str(refused.value) and len(str(refused.value).splitlines()) == 1


def test_check_model_says_of_a_model_that_cannot_read_that_it_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = model_folder(tmp_path / "model", "gpt2", has_chat_template=False)
    words = ["--home", str(tmp_path / "home"), "check-model", str(folder)]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "GPT2LMHeadModel" in shown.out and "plain prompt" in shown.out and "cannot be used" in shown.out
    assert "asking 6/6" in shown.err and not (tmp_path / "home").exists()
    assert main([*words, "--json"]) == 1
    fields = json.loads(capsys.readouterr().out)
    assert (fields["usable"], fields["reads_one_note"], fields["verdicts"]["reads_one_note"]) == (False, 0.0, "cannot")
    assert main(["check-model", str(tmp_path)]) == 2
    assert "not a model folder" in capsys.readouterr().err
