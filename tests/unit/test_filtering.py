"""The filter that a home names: set, read anew by every process, whole on disk, and never code."""

import json
import pickle
from pathlib import Path

import pytest

from agent.filtering import HomeFilter, filter_for
from agent.home import CONFIG_SCHEMA_VERSION, Home
from memory_log.errors import BadInput, FilterFailed
from memory_log.records import Experience
from tests.model_fixtures import experience
from updater.filters import Filtered, allowed

MAIL = experience(1, "Write to mira@example.org.")


def shout(one: Experience) -> Filtered:
    return Filtered.learn(one.text.upper(), one.facts)


def test_a_new_home_lets_everything_through(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    assert (home.config.filter, home.config.trusted_agents) == (None, None)
    assert HomeFilter(tmp_path)(MAIL).text == MAIL.text


def test_a_filter_that_is_set_counts_at_once_where_the_home_is_open_already(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    before = pickle.loads(pickle.dumps(filter_for(home, None)))
    assert home.set_filter("redact", None).config.filter == "redact"
    assert before(MAIL).text == "Write to [e-mail]."
    home.set_filter(None, ["mira"])
    assert before(MAIL).refused == "agent 'agent' is not trusted"
    home.set_filter(None, None)
    assert before(MAIL).text == MAIL.text


def test_setting_a_filter_keeps_the_rest_of_the_config_and_leaves_no_other_file(tmp_path: Path) -> None:
    home = Home.open(tmp_path, model="owner/name")
    home.set_filter("redact", ["mira", "tomas"])
    again = Home.open(tmp_path).config
    assert again == home.config.model_copy(update={"filter": "redact", "trusted_agents": ("mira", "tomas")})
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_config_of_the_first_release_is_read_and_can_be_given_a_filter(tmp_path: Path) -> None:
    old = {"schema_version": 1, "model": None, "log_url": None, "created": "2026-01-01T00:00:00Z"}
    (tmp_path / "config.json").write_text(json.dumps(old))
    home = Home.open(tmp_path)
    assert home.config.filter is None
    home.set_filter("redact", None)
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["schema_version"], written["filter"]) == (CONFIG_SCHEMA_VERSION, "redact")
    assert written["created"] == old["created"]


@pytest.mark.parametrize("named", ["os.system", "agent.filtering:named_filter", "", 7])
def test_a_config_can_name_shipped_filters_only(tmp_path: Path, named: object) -> None:
    Home.open(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"filter": named}))
    with pytest.raises(BadInput, match="filter"):
        Home.open(tmp_path)
    with pytest.raises(FilterFailed, match="BadInput"):
        allowed(MAIL, HomeFilter(tmp_path))


def test_an_agents_name_that_is_none_is_refused_and_nothing_written(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(BadInput, match="trusted_agents"):
        home.set_filter("redact", ["mira", " "])
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_programs_own_filter_comes_after_the_homes_and_cannot_undo_it(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    home.set_filter("redact", None)
    both = pickle.loads(pickle.dumps(filter_for(home, shout)))
    assert both(MAIL).text == "WRITE TO [E-MAIL]."
