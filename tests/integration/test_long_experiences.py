"""Experiences that are longer than the model reads at once: read in windows, of which the later one counts."""


import pytest

from agent.memory import AgentMemory
from tests.model_fixtures import LEARNER
from updater.plan import UpdatePlan
from updater.settings import TeacherSettings, UpdateSettings

pytestmark = [
    pytest.mark.skipif(
        not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights to learn with"
    ),
    pytest.mark.timeout(900),
]

DAY = (
    "I put the red mug in the kitchen drawer. Anna left the tin box on the cellar table. The old lamp belongs to "
    "Peter. I put the blue kettle on the balcony. I moved the red mug; it is on the attic shelf now."
)
SETTINGS = UpdateSettings(
    questions_per_experience=8, near_misses_per_experience=2, min_samples=8, num_anchors=8,
    teacher=TeacherSettings(window_tokens=32),
)  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> UpdatePlan:
    home = tmp_path_factory.mktemp("long") / "home"
    with AgentMemory.open(home, model=str(LEARNER), device="cpu", settings=SETTINGS) as memory:
        memory.tell(DAY)
        memory.tell("Mira's favourite drink is green tea.")
        return memory.plan()


def test_each_window_is_asked_about_and_the_plan_says_how_many_there_are(plan: UpdatePlan) -> None:
    long, short = plan.experiences
    assert (long.refused, short.refused) == (None, None)
    assert long.num_windows >= 3 and (short.num_windows, short.num_unread_windows) == (1, 0)
    answers = {s.completion for s in plan.sentences if s.kind == "question" and s.experience_id == long.experience_id}
    assert len(answers) >= 3 and plan.num_versions == 1


def test_of_two_windows_that_disagree_the_later_one_counts(plan: UpdatePlan) -> None:
    about_the_mug = {s.completion for s in plan.sentences if s.kind == "question" and "red mug" in s.prompt.lower()}
    assert about_the_mug == {"the red mug is on the attic shelf"}


def test_no_near_miss_is_about_what_another_window_says(plan: UpdatePlan) -> None:
    asked = [sentence.prompt.lower() for sentence in plan.sentences if sentence.kind == "near_miss"]
    assert asked
    for thing in ("red mug", "tin box", "old lamp", "blue kettle"):
        assert not any(thing in prompt for prompt in asked)
