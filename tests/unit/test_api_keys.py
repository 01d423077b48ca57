"""API keys: made once, kept as hashes, scoped."""

import stat
from pathlib import Path

import pytest

from agent.api.keys import KEYS_FILE, ApiKeys
from memory_log.errors import BadInput


def test_a_key_is_found_again_and_nothing_else_is(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path)
    assert keys.all() == () and keys.find("sp-x") is None
    secret = keys.add("robot", ["ask"])
    found = keys.find(secret)
    assert found is not None and found.name == "robot"
    assert found.allows("ask") and not found.allows("tell")
    assert keys.find(secret[:-1]) is None and keys.find("") is None and keys.find("\ud800") is None
    assert secret not in (tmp_path / KEYS_FILE).read_text()
    assert stat.S_IMODE((tmp_path / KEYS_FILE).stat().st_mode) == 0o600


def test_an_administrator_may_do_all(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path)
    boss = keys.find(keys.add("boss", ["admin"]))
    assert boss is not None and all(boss.allows(scope) for scope in ("ask", "tell", "admin"))


def test_another_process_sees_what_was_made_and_removed(tmp_path: Path) -> None:
    mine, others = ApiKeys(tmp_path), ApiKeys(tmp_path)
    secret = mine.add("robot", ["ask"])
    assert others.find(secret) is not None
    with pytest.raises(BadInput, match="already"):
        others.add("robot", ["tell"])
    others.remove("robot")
    assert mine.find(secret) is None
    with pytest.raises(BadInput, match="there are: none"):
        mine.remove("robot")


def test_a_file_that_holds_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / KEYS_FILE).write_text("{}")
    with pytest.raises(BadInput, match="keys add"):
        ApiKeys(tmp_path).add("robot", ["ask"])
    assert (tmp_path / KEYS_FILE).read_text() == "{}"
