"""Passages of text files of any size, and what is said of files that are no text."""

import json
import random
import tracemalloc
from pathlib import Path

import pytest

from memory_log.errors import BadInput
from updater.passages import MOST_BYTES, Passages

PARAGRAPHS = [f"Paragraph number {number} of the\nlong story goes on." for number in range(30)]


def drawn(path: Path, count: int = 10, seed: int = 0) -> list[str]:
    return Passages(path).draw(count, random.Random(seed))


def test_paragraphs_of_a_text_are_drawn_whole_and_the_seed_decides_which(tmp_path: Path) -> None:
    file = tmp_path / "story.txt"
    file.write_bytes(b"\xef\xbb\xbf" + "\n\n".join(PARAGRAPHS).replace("\n", "\r\n").encode())
    found = drawn(file)
    assert len(set(found)) == 10 and set(found) <= {" ".join(text.split()) for text in PARAGRAPHS}
    assert found == drawn(file) != drawn(file, seed=1)
    assert len(drawn(file, count=200)) == 30


def test_lines_of_jsonl_files_in_a_folder_are_drawn_beside_texts(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    lines = [json.dumps({"text": f"Line {number}.", "source": "x"}) for number in range(20)]
    (tmp_path / "below" / "some.jsonl").write_text("\n".join(lines) + "\n\n")
    (tmp_path / "other.txt").write_text("\n\n".join(PARAGRAPHS))
    (tmp_path / "picture.png").write_bytes(b"\xff\xfe")
    found = drawn(tmp_path, count=40)
    assert sum(text.startswith("Line ") for text in found) >= 5
    assert sum(text.startswith("Paragraph ") for text in found) >= 5


def test_a_large_file_costs_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.txt"
    file.write_text("\n\n".join(f"Passage {number} is about nothing that matters." for number in range(200_000)))
    tracemalloc.start()
    found = drawn(file, count=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 20 and peak < 1_000_000 < file.stat().st_size


@pytest.mark.parametrize("text", ["word " * 60_000, "語" * 100_000])
def test_a_text_without_paragraphs_is_read_in_pieces_that_cut_no_character(tmp_path: Path, text: str) -> None:
    file = tmp_path / "endless.txt"
    file.write_text(text)
    found = drawn(file, count=8)
    assert len(found) >= 2 and all(set(piece) <= {*"word", " ", "語"} for piece in found)
    assert all(len(piece.encode()) <= MOST_BYTES for piece in found)


def test_what_is_no_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "old.txt"
    file.write_bytes(b"One.\n\nTwo.\nCaf\xe9.\n")
    with pytest.raises(BadInput, match=r"line 4 of .*old.txt is not UTF-8"):
        drawn(file, count=9)


@pytest.mark.parametrize("line", ["{", "[1]", '"text"', '{"words": "a"}', '{"text": 3}'])
def test_a_line_without_a_text_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "some.jsonl"
    file.write_text('{"text": "One."}\n\n' + line + "\n")
    with pytest.raises(BadInput, match=r"line 3 of .*some.jsonl"):
        drawn(file, count=9)


def test_a_path_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(BadInput, match="no text for anchors"):
        Passages(tmp_path)
    with pytest.raises(BadInput, match="there is no file"):
        Passages(tmp_path / "missing")
    (tmp_path / "blank.txt").write_text(" \n\n \n")
    assert drawn(tmp_path / "blank.txt") == []
