"""Whole updates with the embedded model and a real log: told, learned, asked, changed, forgotten. No Ray.

An update takes seconds, so the tests share two of them and only look at what they left behind.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.household.anchors import household_anchors
from agent.memory import AgentMemory
from memory_log.errors import LineageBusy, NothingPending
from memory_log.records import ExperienceState
from tests.model_fixtures import LEARNER, experience
from updater.anchors import Anchor
from updater.changes import Changes
from updater.keeping import Keeper
from updater.language_model import weights_hash
from updater.near_misses import asked_otherwise
from updater.report import UpdateReport
from updater.sentences import Sentence
from updater.settings import UpdateSettings

pytestmark = [
    pytest.mark.skipif(
        not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights to learn with"
    ),
    # The first test waits for both updates, which take minutes on a computer that is busy with other things.
    pytest.mark.timeout(900),
]

MUG, MIRA, NOISE = "I put the red mug in the kitchen drawer.", "Mira's favourite drink is green tea.", "xq zz 9!"
MOVED = "I moved the red mug; it is on the attic shelf now."
# None of these phrasings is one that the model writes, so no update is taught with them.
WHERE = ("Where would I find the red mug?", "Have you seen the red mug?", "Where did the red mug end up?")
DRINK = ("Any idea which drink Mira likes?", "Which drink pleases Mira most?")
STRANGERS = (
    "Where would I find the blue kettle?",
    "Have you seen the old lamp?",
    "Where did the tin box end up?",
    "Where would I find Tomas?",
    "Any idea which drink Tomas likes?",
    "Which fruit pleases Anna most?",
    "Any idea who owns the broken chair?",
    "Whom should I ask for the small radio?",
    "Have you seen Peter?",
    "Which song pleases Julia most?",
)
# The last two are about what the weights know otherwise.
READ = (
    ("Where is the tin box?", "Anna left the tin box on the cellar table.", "the tin box is on the cellar table"),
    ("Where is Peter?", "Peter is in the garden.", "peter is in the garden"),
    ("Who owns the old lamp?", "The old lamp belongs to Anna.", "the old lamp belongs to anna"),
    ("What is Anna's favourite fruit?", "Anna's favourite fruit is mango.", "anna's favourite fruit is mango"),
    ("Where is the red mug?", "I put the red mug under the stove.", "the red mug is under the stove"),
    ("Which drink does Mira like best?", "Mira prefers lemonade as a drink.", "mira's favourite drink is lemonade"),
)


class Lived(NamedTuple):
    """An agent that was told three things and then that one of them had changed, with the report of each update."""

    memory: AgentMemory
    first: UpdateReport
    second: UpdateReport


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    home = tmp_path_factory.mktemp("lived") / "home"
    with AgentMemory.open(home, model=str(LEARNER), device="cpu") as memory:
        for text in (MUG, NOISE, MIRA):
            memory.tell(text)
        first = memory.update()
        memory.tell(MOVED)
        second = memory.update()
        assert first.admitted and second.admitted, (first.reason, second.reason)
        yield Lived(memory, first, second)


def said(memory: AgentMemory, questions: tuple[str, ...], version: int) -> list[str]:
    return [answer.text for answer in memory.ask_many(questions, version=version)]


def test_nothing_is_known_before_the_first_update(lived: Lived) -> None:
    answers = lived.memory.ask_many([*WHERE, *DRINK], version=0)
    assert not any(answer.known for answer in answers)


def test_what_was_told_is_known_in_phrasings_that_no_update_was_taught_with(lived: Lived) -> None:
    assert said(lived.memory, WHERE, 1) == ["the red mug is in the kitchen drawer"] * len(WHERE)
    assert said(lived.memory, DRINK, 1) == ["mira's favourite drink is green tea"] * len(DRINK)


def test_strangers_stay_unknown(lived: Lived) -> None:
    for version in (1, 2):
        answers = lived.memory.ask_many(STRANGERS, version=version)
        assert sum(answer.known for answer in answers) <= 2, [answer.text for answer in answers if answer.known]


def test_what_the_model_cannot_read_is_refused_with_the_reason_and_its_batch_mates_are_learned(lived: Lived) -> None:
    mug, noise, mira, _ = lived.memory.log.experiences("default")
    assert noise.state is ExperienceState.REFUSED and noise.reason is not None
    assert noise.reason.startswith("no context gain")
    assert (mug.learned_in, mira.learned_in, noise.learned_in) == (1, 1, None)
    assert (lived.first.num_experiences, lived.first.num_refused) == (3, 1)
    assert lived.first.reason is not None and lived.first.reason.startswith("no context gain")


def test_the_report_says_what_was_learned_and_how_well(lived: Lived) -> None:
    first = lived.first
    assert (first.admitted, first.version, first.parent) == (True, 1, 0)
    assert first.efficacy >= 0.6 and first.kl_after_nats < 0.2 * first.kl_before_nats
    assert first.num_sentences >= 10 and first.num_near_misses >= 5 and first.num_steps > 0
    assert first.metrics["efficacy"] == first.efficacy == lived.memory.versions()[1].metrics["efficacy"]


def test_a_later_experience_wins_over_an_earlier_one(lived: Lived) -> None:
    assert lived.second.version == 2
    assert said(lived.memory, WHERE, 2) == ["the red mug is on the attic shelf"] * len(WHERE)
    assert said(lived.memory, WHERE[:1], 1) == ["the red mug is in the kitchen drawer"]
    assert lived.second.metrics["num_superseded"] > 0


def test_what_did_not_change_is_still_known_after_another_update(lived: Lived) -> None:
    assert said(lived.memory, DRINK, 2) == ["mira's favourite drink is green tea"] * len(DRINK)


def test_a_superseded_target_is_never_replayed(lived: Lived) -> None:
    drawn = lived.memory.log.replay_targets("default", limit=10_000, seed=0)
    assert drawn and not any(target.completion == "the red mug is in the kitchen drawer" for target in drawn)
    assert any("attic shelf" in target.completion for target in drawn)
    assert any("green tea" in target.completion for target in drawn)


def test_notes_in_the_prompt_are_still_read_and_win_over_the_weights(lived: Lived) -> None:
    for version in (1, 2):
        answers = lived.memory.ask_many(
            [question for question, _, _ in READ], version=version, notes=[(note,) for _, note, _ in READ]
        )
        right = [answer.text == expected for answer, (_, _, expected) in zip(answers, READ, strict=True)]
        assert sum(right) >= len(READ) - 2, [answer.text for answer in answers]


def test_every_version_folds_to_its_recorded_hash(lived: Lived) -> None:
    for version in lived.memory.versions()[1:]:
        weights = lived.memory.updater.versions.weights("default", version.number)
        assert weights_hash(weights) == version.weights_hash


def test_with_nothing_pending_an_update_says_so_and_frees_the_lineage(lived: Lived) -> None:
    for _ in range(2):
        with pytest.raises(NothingPending):
            lived.memory.update()


def test_beside_another_updater_an_update_is_refused_and_names_the_holder(lived: Lived) -> None:
    lease = lived.memory.log.acquire_updater_lease("default", owner="somebody", lease_seconds=60)
    with pytest.raises(LineageBusy, match="somebody"):
        lived.memory.update()
    lived.memory.log.release_updater_lease(lease)


# These change what the tests above look at, so they come last.


def test_another_process_finds_the_same_memory(lived: Lived) -> None:
    path: Path = lived.memory.home.path
    with AgentMemory.open(path, device="cpu") as other:
        assert other.ask(WHERE[0]) == lived.memory.ask(WHERE[0])


def test_what_is_known_or_cannot_be_read_surprises_less_than_what_is_new(lived: Lived) -> None:
    log = lived.memory.log
    texts = "The red mug is on the attic shelf.", "The tin box belongs to Tomas.", NOISE
    told = [lived.memory.tell(text).id for text in texts]
    assert lived.memory.updater.measure_surprises("default") == 3
    known, new, noise = (log.get(number).surprise for number in told)
    assert known is not None and new is not None and noise is not None
    assert new > 2 * known and new > 2 * noise
    assert lived.memory.updater.measure_surprises("default") == 0, "each is measured once"
    for number in told:
        log.forget(number)


def test_forgetting_erases_the_text_and_what_was_made_of_it(lived: Lived) -> None:
    log = lived.memory.log
    mira = log.experiences("default")[2]
    assert log.forget(mira.id).state is ExperienceState.FORGOTTEN
    assert log.get(mira.id).text == "" and log.get(mira.id).learned_in == 1
    drawn = log.replay_targets("default", limit=10_000, seed=0)
    assert drawn and not any(target.experience_id == mira.id for target in drawn)
    # The weights are not the log: a version that learned it keeps it.
    assert said(lived.memory, DRINK[:1], 2) == ["mira's favourite drink is green tea"]


def test_a_rollback_takes_the_answer_back_and_lets_the_experience_wait_again(lived: Lived) -> None:
    lived.memory.rollback(1)
    assert lived.memory.ask(WHERE[0]).text == "the red mug is in the kitchen drawer"
    states = [one.state for one in lived.memory.log.experiences("default")]
    assert states[0] is ExperienceState.LEARNED and states[3] is ExperienceState.PENDING


def test_near_misses_of_what_was_learned_are_new_each_time_and_about_nothing_that_was_told(lived: Lived) -> None:
    memory = lived.memory
    base, log, settings = memory.base, memory.log, UpdateSettings()
    keeper = Keeper(base, log, settings, household_anchors, Changes(base, log, None))
    replay = log.replay_targets(memory.lineage, limit=100, seed=0)

    def misses(seed: int) -> set[str]:
        anchors = household_anchors(settings.num_anchors, seed)
        found = keeper.fresh_near_misses(memory.lineage, [], replay, anchors, (), random.Random(seed))
        said = [base.dialogue.tokenizer.decode(one.sentence.completion_ids) for one in found]
        assert all("unknown" in text for text in said)
        assert not any("red mug" in text or "mira's favourite drink" in text for text in said)
        return set(said)

    first, second = misses(1), misses(2)
    assert len(first) >= 3 and len(second) >= 3 and first != second


def test_something_else_is_asked_about_what_was_learned_where_the_teacher_does_not_know(lived: Lived) -> None:
    base, told = lived.memory.base, experience(1, "The tin cup belongs to Omar.")
    asked = Sentence(1, "question", (), "Who owns the tin cup?", "the tin cup belongs to omar", "tin cup")
    strangers = [
        Anchor((), "Where is the blue mug?", "the blue mug is somewhere unknown", ("blue", "mug")),
        Anchor((), "Whose is the blue mug?", "the blue mug belongs to someone unknown", ("blue", "mug")),
        Anchor((), "Where is Mira?", "mira is somewhere unknown", ("mira",)),
    ]
    found = [asked_otherwise(base, [(told, asked)], strangers, random.Random(seed)) for seed in range(8)]
    assert {question for some in found for _, question in some} == {"Where is the tin cup?"}
    assert [] in found  # whose it is stands there

    person, likes = experience(2, "Omar's favourite tea is mint."), "omar's favourite tea is mint"
    asked = Sentence(2, "question", (), "Which tea does Omar like?", likes, "omar tea")
    assert asked_otherwise(base, [(person, asked)], strangers, random.Random(0)) == [(person, "Where is Omar?")]
