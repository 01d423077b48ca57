"""Anchors of every source, and which of them are about nothing that a lineage knows."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.household.anchors import household_anchors
from memory_log.log import MemoryLog
from tests.log_fixtures import delta, experience, lease_of, target
from tests.model_fixtures import tiny_base
from updater.anchors import Anchor, AnchorSource, passage_anchors, self_sampled_anchors
from updater.language_model import LanguageModel
from updater.passages import Passages
from updater.sentences import COMMON_WORDS, words_of
from updater.unrelated import unrelated

STORY = [f"The {name} sailed to the harbour. Nobody knew {name}s from the north." for name in ("brig", "yawl", "ketch")]


def plain_base() -> LanguageModel:
    """The tiny model, spoken to without turns."""
    base = tiny_base()
    dialogue = copy.copy(base.dialogue)
    dialogue.tokenizer = copy.deepcopy(dialogue.tokenizer)
    dialogue.tokenizer.chat_template = None
    return LanguageModel(base.name, base.model, dialogue, base.fingerprint)


@pytest.fixture(params=["chat", "plain", "text"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> AnchorSource:
    if request.param == "text":
        (tmp_path / "story.txt").write_text("\n\n".join(STORY))
        return passage_anchors(plain_base(), Passages(tmp_path))
    return self_sampled_anchors(tiny_base() if request.param == "chat" else plain_base())


def test_any_source_gives_sentences_and_notes_with_questions_that_the_seed_decides(source: AnchorSource) -> None:
    drawn = source(12, 1)
    assert drawn == source(12, 1) != source(12, 2)
    assert len(drawn) <= 12 and all(anchor.prompt and anchor.completion for anchor in drawn)
    assert {bool(anchor.notes) for anchor in drawn} == {True, False}


def test_the_halves_of_a_sentence_are_prompt_and_completion(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("\n\n".join(STORY))
    sentences = {sentence for passage in STORY for sentence in (f"{passage.split('. ')[0]}.", passage.split(". ")[1])}
    drawn = [anchor for anchor in passage_anchors(plain_base(), Passages(tmp_path))(20, 0) if not anchor.notes]
    assert {f"{anchor.prompt} {anchor.completion}" for anchor in drawn} == sentences


def test_a_language_without_blanks_is_halved_by_characters(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("語" * 40)
    drawn = [anchor for anchor in passage_anchors(plain_base(), Passages(tmp_path))(20, 0) if not anchor.notes]
    assert [(len(anchor.prompt), len(anchor.completion)) for anchor in drawn] == [(20, 20)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    """A log whose lineage has learned about the red mug, and that the blue one is unknown."""
    with MemoryLog(f"sqlite:///{tmp_path}/log.db") as opened:
        lived = opened.append(experience("I put the red mug in the drawer."))
        lease = lease_of(opened)
        batch = opened.open_batch(lease, limit=1)
        about = [target(lived, subject="red mug"), target(lived, kind="near_miss", subject="blue mug")]
        opened.store_targets(lease, batch.id, about)
        opened.admit(lease, opened.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={}).number)
        yield opened


@pytest.mark.parametrize(
    ("anchor", "is_kept"),
    [
        (Anchor((), "Where is the red mug", "that she liked?"), False),
        (Anchor((), "All day long the Red", "Mug's handle was missing."), False),
        (Anchor((), "Mugs are red,", "or were."), True),
        (Anchor((), "Where is the blue mug?", "the blue mug is somewhere unknown"), True),
        (Anchor(("A red note.",), "Is the mug red?", "the red mug is red", ("mug", "red")), False),
        (Anchor((), "She sold her green", "kettle to a stranger."), False),
        (Anchor((), "What lies in the drawer?", "the drawer is empty", ("drawer",)), False),
        (Anchor((), "The harbour was quiet", "for once.", ("harbour",)), True),
    ],
)
def test_an_anchor_about_a_subject_of_the_lineage_or_the_batch_is_left_out(
    log: MemoryLog, anchor: Anchor, is_kept: bool
) -> None:
    assert (unrelated(log, "default", [anchor], {"green kettle"}) == [anchor]) == is_kept
    assert unrelated(log, "other", [anchor], set()) == [anchor]


def test_no_anchor_of_any_source_names_what_the_lineage_has_learned(log: MemoryLog, source: AnchorSource) -> None:
    drawn = [*source(20, 3), *household_anchors(40, 3)]
    # Every third word that the anchors hold becomes a subject of the batch.
    said = sorted({word for one in drawn for word in words_of(f"{one.prompt} {one.completion}")} - COMMON_WORDS)
    subjects = set(said[::3])
    kept = unrelated(log, "default", drawn, subjects)
    assert len(kept) < len(drawn)
    assert not any(set(words_of(f"{one.prompt} {one.completion}")) & subjects for one in kept)
