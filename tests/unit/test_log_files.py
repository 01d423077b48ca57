"""Files that are filled piece by piece and appear whole or not at all."""

from pathlib import Path

import pytest

from memory_log.errors import BadInput
from memory_log.files import new_file


def test_a_file_has_its_name_only_once_it_is_whole(tmp_path: Path) -> None:
    with new_file(tmp_path / "a") as file:
        file.write(b"whole")
        assert not (tmp_path / "a").exists()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"whole")]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(TypeError), new_file(tmp_path / "a", replaces=True) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_file_that_somebody_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is there already"), new_file(tmp_path / "a"):
        (tmp_path / "a").write_bytes(b"theirs")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"theirs")]


@pytest.mark.parametrize("name", ["folder", "missing/a"])
def test_what_cannot_be_a_file_is_named_before_anything_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="name a file"), new_file(tmp_path / name, replaces=True):
        pytest.fail("the body ran")
