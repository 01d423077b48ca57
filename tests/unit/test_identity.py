"""A base model whose files change: noticed part by part, and refused with the way out."""

import json
import shutil
from pathlib import Path

import pytest

from agent.home_base import check_base
from memory_log.errors import BadInput, BaseModelChanged, NotAModel
from tests.model_fixtures import tiny_llama, tiny_tokenizer
from tests.rights import locked
from updater.dialogue import STYLE_FILE
from updater.language_model import LanguageModel, load_language_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_llama().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    (folder / STYLE_FILE).write_text(json.dumps({"language": "household", "with_notes": ""}))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "model"))


def parts(base: LanguageModel) -> dict[str, str]:
    return {"weights": base.fingerprint, **base.identity}


def changed(before: LanguageModel, folder: Path) -> set[str]:
    after = load_language_model(folder)
    return {name for name, value in parts(after).items() if parts(before)[name] != value}


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_each_part_that_changes_is_known_by_its_name(folder: Path) -> None:
    before = load_language_model(folder)
    assert changed(before, folder) == set()
    edit(folder / STYLE_FILE, with_notes="Read this.")
    assert changed(before, folder) == {"prompt style"}
    edit(folder / "config.json", rms_norm_eps=0.5)
    assert changed(before, folder) == {"prompt style", "configuration"}
    tiny_llama(seed=5).save_pretrained(folder)
    assert changed(before, folder) == {"prompt style", "weights"}


def test_a_tokenizer_that_splits_otherwise_is_another_one(folder: Path) -> None:
    before = load_language_model(folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["merges"] = content["model"]["merges"][:-50]
    path.write_text(json.dumps(content))
    assert changed(before, folder) == {"tokenizer"}


def test_files_written_anew_by_another_release_of_a_library_are_the_same_model(folder: Path) -> None:
    before = load_language_model(folder)
    edit(folder / "config.json", transformers_version="4.0.0")
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7))
    assert changed(before, folder) == set()


def test_another_chat_template_is_noticed(folder: Path) -> None:
    before = load_language_model(folder)
    (folder / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content }}!{% endfor %}")
    assert changed(before, folder) == {"chat template"}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_file_that_is_gone_is_no_model_any_more(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(NotAModel):
        load_language_model(folder)


def test_a_lineage_keeps_what_it_began_with_and_refuses_the_rest_by_name(tmp_path: Path) -> None:
    check_base(tmp_path, "default", "small", {"weights": "a", "tokenizer": "b"})
    check_base(tmp_path, "default", "small", {"weights": "a", "tokenizer": "b", "heard of since": "c"})
    check_base(tmp_path, "other", "small", {"weights": "x"})
    with pytest.raises(BaseModelChanged, match=r"small has changed .*'default'.*\(tokenizer\).*delete .*t\.json"):
        check_base(tmp_path, "default", "small", {"weights": "a", "tokenizer": "c"})
    with pytest.raises(BaseModelChanged, match=r"\(weights, tokenizer\).*put them back") as caught:
        check_base(tmp_path, "default", "small", {"weights": "b", "tokenizer": "c"})
    assert "delete" not in str(caught.value)
    (tmp_path / "bases" / "default.json").unlink()
    check_base(tmp_path, "default", "small", {"weights": "a", "tokenizer": "c"})


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    check_base(tmp_path, "default", "small", {"weights": "a"})
    (tmp_path / "bases" / "default.json").write_text("{")
    with pytest.raises(BadInput, match=r"default\.json is damaged"):
        check_base(tmp_path, "default", "small", {"weights": "a"})


def test_in_a_home_that_cannot_be_written_only_what_was_kept_counts(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    check_base(home, "default", "small", {"weights": "a"})
    with locked(home):
        check_base(home, "other", "small", {"weights": "b"})
        with pytest.raises(BaseModelChanged):
            check_base(home, "default", "small", {"weights": "b"})
    assert [path.name for path in (home / "bases").iterdir()] == ["default.json"]
