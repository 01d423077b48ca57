"""The home folder: what it remembers, what it refuses, and two first uses in the same instant."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from agent.home import CONFIG_SCHEMA_VERSION, LOG_FILE, Home, resolve_home
from agent.seed_model import WEIGHTS_FOLDER
from memory_log.errors import BadInput, BaseModelChanged, LogDamaged, NotAModel, SchemaTooNew, SelfParamError
from memory_log.records import NewExperience


def model_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    return path


def test_the_option_wins_over_the_variable_and_the_variable_over_the_default() -> None:
    environment = {"SELFPARAM_HOME": "/from/variable"}
    assert resolve_home("/from/option", environment) == Path("/from/option")
    assert resolve_home(None, environment) == Path("/from/variable")
    assert resolve_home(None, {}) == Path(".selfparam")
    assert resolve_home(None, {"SELFPARAM_HOME": ""}) == Path(".selfparam")


def test_an_empty_home_option_is_refused() -> None:
    with pytest.raises(BadInput, match="empty home"):
        resolve_home("", {})


def test_a_new_home_has_the_embedded_model_and_keeps_what_it_is_told(tmp_path: Path) -> None:
    with Home.open(tmp_path / "deep" / "home").open_log() as log:
        log.append(NewExperience(text="I put the red mug in the kitchen drawer."))
    home = Home.open(tmp_path / "deep" / "home", create=False)
    assert home.model_source == str(WEIGHTS_FOLDER)
    with home.open_log() as log:
        assert [experience.text for experience in log.experiences("default")] == [
            "I put the red mug in the kitchen drawer."
        ]
    assert sorted(path.name for path in home.path.iterdir() if path.suffix not in (".sqlite3-wal", ".sqlite3-shm")) == [
        "config.json",
        "log.sqlite3",
    ]


def test_a_model_given_at_first_use_is_remembered_as_an_absolute_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder(tmp_path / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    Home.open("home", model="models/mine")
    monkeypatch.chdir(tmp_path / "models")
    assert Home.open(tmp_path / "home").model_source == str(folder)
    assert Home.open(tmp_path / "home", model="./mine").model_source == str(folder)


def test_a_hugging_face_id_is_remembered_as_it_is(tmp_path: Path) -> None:
    assert Home.open(tmp_path, model="owner/name-1.5").model_source == "owner/name-1.5"


@pytest.mark.parametrize(("first", "then"), [(None, "owner/name"), ("owner/name", "owner/other")])
def test_another_model_than_the_homes_is_refused_with_the_way_out(
    tmp_path: Path, first: str | None, then: str
) -> None:
    Home.open(tmp_path, model=first)
    with pytest.raises(BaseModelChanged, match="another home with --home"):
        Home.open(tmp_path, model=then)


@pytest.mark.parametrize(
    "model", ["", "/nowhere", "./nowhere", "~nobody/model", "two words", "a/b/c", "\udcff", "a\0b"]
)
def test_what_is_no_model_is_refused_before_a_home_is_made(tmp_path: Path, model: str) -> None:
    with pytest.raises(NotAModel):
        Home.open(tmp_path / "home", model=model)
    assert not (tmp_path / "home").exists()


def test_a_folder_without_a_model_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotAModel, match=r"no config\.json"):
        Home.open(tmp_path / "home", model=str(tmp_path))


def test_a_home_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    Home.open(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    newer = json.dumps(config | {"schema_version": CONFIG_SCHEMA_VERSION + 1, "unheard_of": True})
    (tmp_path / "config.json").write_text(newer)
    with pytest.raises(SchemaTooNew, match="newer release"):
        Home.open(tmp_path)
    assert (tmp_path / "config.json").read_text() == newer


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"model_type": "llama"}', '{"schema_version": 1}', "\xff"])
def test_somebody_elses_config_is_no_home(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInput, match=r"config\.json"):
        Home.open(tmp_path)


def test_a_file_cannot_be_a_home_nor_hold_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "home"):
        with pytest.raises(BadInput, match="choose another --home"):
            Home.open(path)
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(BadInput, match="can be written"):
        Home.open(tmp_path / "locked" / "home")


@pytest.mark.parametrize("path", ["a\0b", "~no-such-user-here/home", "/proc/no-folders-here/home"])
def test_an_impossible_path_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="cannot be"):
        Home.open(path)


def test_a_missing_home_can_be_asked_for_without_making_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="selfparam tell"):
        Home.open(tmp_path / "home", create=False)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["with blank", "what?", "50%", "a#b", "a;b", "größe"])
def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    with Home.open(tmp_path / name).open_log() as log:
        log.append(NewExperience(text="Anna likes pears."))
    assert (tmp_path / name / "log.sqlite3").exists()


def open_with(path: Path, model: str, queue: "multiprocessing.Queue[str]") -> None:
    try:
        queue.put(Home.open(path, model=model).model_source)
    except SelfParamError as exc:
        queue.put(type(exc).__name__)


def test_of_first_uses_in_the_same_instant_one_decides_the_model(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=open_with, args=(tmp_path / "home", f"owner/{i}", queue)) for i in range(4)]
    for process in processes:
        process.start()
    outcomes = sorted(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    winner = Home.open(tmp_path / "home").model_source
    assert outcomes == ["BaseModelChanged"] * 3 + [winner]
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["config.json"]


def test_a_home_whose_log_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    home.open_log().close()
    home.blob_store().put("default/1.safetensors", b"weights")
    (tmp_path / LOG_FILE).unlink()
    with pytest.raises(LogDamaged, match=r"is gone.*back-up"):
        home.open_log()
    assert not (tmp_path / LOG_FILE).exists()
