"""A home's settings: what its file says, what a command changes, and what is wrong with either."""

import json
from pathlib import Path

import pytest

from agent.cli import main
from agent.endpoint_writer import EndpointWriter
from agent.home_settings import SETTINGS_FILE, HomeSettings, listed_settings, read_settings
from agent.writing import writer_of
from memory_log.errors import BadInput
from tests.model_fixtures import experience, tiny_base
from updater.candidates import Wanted
from updater.settings import GateSettings, UpdateSettings
from updater.writers import written_by_model

ENDPOINT = '[endpoint]\nurl = "https://api.example.org/v1/"\nmodel = "writer"\nkey_variable = "WRITER_KEY"\n'


def with_file(home: Path, text: str) -> Path:
    home.mkdir(exist_ok=True)
    (home / SETTINGS_FILE).write_text(text, encoding="utf-8")
    return home


def test_a_home_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == HomeSettings()
    assert writer_of(HomeSettings(), {}) is written_by_model


def test_the_file_counts_and_a_command_changes_it(tmp_path: Path) -> None:
    text = "[update]\nnum_steps = 80\nrank = 8\n[update.writing]\nmin_agreement = 0.7\n[gate]\nmin_efficacy = 0.5\n"
    found = read_settings(with_file(tmp_path, text), changes={"update.rank": 16, "writers": {"templates": 1.0}})
    assert found.update == UpdateSettings(num_steps=80, rank=16, writing={"min_agreement": 0.7})
    assert found.gate == GateSettings(min_efficacy=0.5) and found.writers == {"templates": 1.0}
    other = tmp_path / "other.toml"
    other.write_text("[update]\nrank = 4\n")
    assert read_settings(tmp_path, file=other).update == UpdateSettings(rank=4)


def test_every_setting_is_listed_with_where_it_comes_from(tmp_path: Path) -> None:
    home = with_file(tmp_path, f"[update]\nnum_steps = 80\n{ENDPOINT}")
    found = {one.name: one for one in listed_settings(home, changes={"gate.min_efficacy": 0.5})}
    assert (found["update.num_steps"].value, found["update.num_steps"].origin) == (80, "file")
    assert (found["gate.min_efficacy"].value, found["gate.min_efficacy"].origin) == (0.5, "command")
    assert found["update.rank"].origin == "default" and found["endpoint.url"].value == "https://api.example.org/v1"
    assert "update.writing.min_agreement" in found and all(one.description for one in found.values())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[update]\nnum_stepz = 3\n", "there is no setting 'update.num_stepz'"),
        ("[update]\nnum_steps = 0\n", "update.num_steps: input should be greater than or equal to 1, got 0"),
        ("[writers]\nmodel = 0\n", "none has a share above 0"),
        ("[writers]\nendpoint = 1\n", r"there is no \[endpoint\]"),
        ("[writers]\nsomebody = 1\n", "somebody"),
        ("[writers]\nmodel = -1\n", "writers.model"),
        ("num_steps 3\n", "is no TOML"),
        (ENDPOINT.replace("https", "http"), "not encrypted"),
        (ENDPOINT.replace("api.", "me:secret@api."), "must hold no name or password"),
        (ENDPOINT.replace("https", "ftp"), "needs an address"),
    ],
)
def test_what_does_not_fit_is_named_with_the_file(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint) as caught:
        read_settings(with_file(tmp_path, text))
    assert SETTINGS_FILE in str(caught.value) and "secret" not in str(caught.value)


def test_a_named_file_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no settings file .*gone\.toml"):
        read_settings(tmp_path, file=tmp_path / "gone.toml")


def test_on_this_computer_and_where_it_is_allowed_an_endpoint_needs_no_encryption(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:80/v1"):
        text = ENDPOINT.replace("https://api.example.org/v1/", url)
        endpoint = read_settings(with_file(tmp_path, text)).endpoint
        assert endpoint is not None and endpoint.url == url
    allowed = f"{ENDPOINT.replace('https', 'http')}allow_plain_http = true\n"
    assert read_settings(with_file(tmp_path, allowed)).endpoint is not None


def test_a_key_comes_from_the_environment_and_is_missed_only_when_it_is_used(tmp_path: Path) -> None:
    settings = read_settings(with_file(tmp_path, f"{ENDPOINT}[writers]\nendpoint = 1\n"))
    assert "hush" not in repr(writer_of(settings, {"WRITER_KEY": "hush"}))
    assert settings.endpoint is not None
    without = EndpointWriter(settings.endpoint)
    with pytest.raises(BadInput, match="WRITER_KEY holds no key"):
        without(tiny_base(), [experience(1, "Something.")], Wanted(questions=1), 0)


def test_the_command_lists_settings_and_refuses_what_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(with_file(tmp_path, "[update]\nrank = 8\n")), "settings"]
    assert main([*words, "--json", "--set", "update.num_steps=7", "--writer", "templates=2", "--writer", "model"]) == 0
    found = {one["name"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
    assert (found["update.rank"]["value"], found["update.num_steps"]["value"]) == (8, 7)
    assert found["writers"]["value"] == {"templates": 2.0, "model": 1.0}
    assert main(words) == 0
    assert "update.rank" in capsys.readouterr().out
    assert main([*words, "--set", "update.nothing=7"]) == 2
    assert "there is no setting 'update.nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--writer", "me"], ["--writer", "model=much"], ["--set", "update.rank"]])
def test_arguments_that_cannot_be_read_are_refused(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--home", str(tmp_path), "update", *words])
    assert "needs" in capsys.readouterr().err
