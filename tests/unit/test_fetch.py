"""The fetch benchmark without a model: what is written down, how things are found, walked to and scored."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent.study.examiner import fitted_prompt
from agent.study.lines import ITEMS_FILE, whole_lines
from agent.study.methods import Learner, NoMemory
from agent.study.records import Stream, UpdateCost
from benchmarks.fetch import main, plan_of
from benchmarks.fetch_household import HouseholdPlan, live_in_household
from benchmarks.fetch_life import Diary, points_of, tasks_at, told_and_stops
from benchmarks.fetch_picture import draw
from benchmarks.fetch_plan import METHODS, FetchPlan
from benchmarks.fetch_records import FetchLine, FetchRow, Life, Noted, Spot, TaskKind
from benchmarks.fetch_report import metrics_of
from benchmarks.fetch_run import ErrandPlan, WholeLog, recall, run_life
from benchmarks.fetch_seeking import Attempt, by_votes, fetch, hint_of, place_named
from memory_log.errors import BadInput
from memory_log.records import Fact
from tests.model_fixtures import tiny_base

SPOTS = (
    Spot("den", "den", "in the den"),
    Spot("den chest", "den", "under the den chest"),
    Spot("loft", "loft", "in the loft"),
    Spot("loft shelf", "loft", "on the loft shelf"),
)
DEN, CHEST, LOFT, SHELF = SPOTS
SMALL_HOUSE = HouseholdPlan(episodes=6, steps_per_episode=20, per_update=4, point_every=3, num_things=20)


class Rooms:
    """An errand in which every visit takes one step, and every change of room another one."""

    def __init__(self, hidden: Spot, room: str) -> None:
        self.hidden, self.room, self.fetched = hidden, room, False
        self.visited: list[Spot] = []

    def distance(self, spot: Spot) -> int:
        return int(spot.room != self.room)

    def visit(self, spot: Spot) -> Iterator[None]:
        self.visited.append(spot)
        if spot.room != self.room:
            self.room = spot.room
            yield
        self.fetched = spot == self.hidden
        yield


def noted(thing: str, value: str) -> Noted:
    return Noted(f"The {thing} is {value}.", Fact(subject=thing, relation="place", value=value))


def row(kind: TaskKind, steps: int, *, fetched: bool = True, said: Sequence[str] = ()) -> FetchRow:
    return FetchRow(thing="red mug", kind=kind, round=0, said=tuple(said), num_right=1, steps=steps, fetched=fetched)


def line(*rows: FetchRow, episode: int = 2) -> FetchLine:
    return FetchLine(episode=episode, cost=UpdateCost(seconds=2.0, num_steps=8), is_point=bool(rows), rows=rows)


# ---------------------------------------------------------------------------------------------------------- seeking


def test_an_answer_names_the_place_that_it_ends_with_whatever_its_preposition() -> None:
    assert place_named("the red mug is under the den chest", SPOTS) == CHEST
    assert place_named("The red mug is on the den chest.", SPOTS) == CHEST
    assert place_named("the red mug is in the den", SPOTS) == DEN
    assert place_named("the red mug is somewhere unknown", SPOTS) is None


def test_an_answer_that_names_only_a_room_sends_to_all_its_places() -> None:
    assert hint_of("the red mug is behind the loft stove", SPOTS) == (LOFT, SHELF)
    assert hint_of("the red mug is on the loft shelf", SPOTS) == (SHELF,)
    assert hint_of("the red mug is in the garden", SPOTS) == ()


def test_places_named_most_often_come_first_and_unknown_has_no_vote() -> None:
    said = ["it is somewhere unknown", "it is in the den", "it is on the loft shelf", "it is on the loft shelf"]
    assert by_votes(said, SPOTS) == [SHELF, DEN]
    assert by_votes(["it is somewhere unknown"] * 3, SPOTS) == []


def test_a_right_hint_leads_straight_to_the_thing() -> None:
    errand = Rooms(SHELF, room="den")
    assert fetch(errand, [SHELF], SPOTS, limit=9) == Attempt(True, 2) and errand.visited == [SHELF]


def test_after_a_wrong_hint_the_room_one_is_in_is_searched_first_and_nothing_twice() -> None:
    errand = Rooms(CHEST, room="den")
    assert fetch(errand, [SHELF], SPOTS, limit=9).fetched
    assert errand.visited == [SHELF, LOFT, DEN, CHEST]


def test_without_a_hint_the_search_begins_where_the_agent_is() -> None:
    errand = Rooms(DEN, room="loft")
    assert fetch(errand, [], SPOTS, limit=9).steps == 4 and errand.visited == [LOFT, SHELF, DEN]


def test_who_runs_out_of_steps_or_places_has_failed_and_counts_the_limit() -> None:
    assert fetch(Rooms(CHEST, room="loft"), [], SPOTS, limit=3) == Attempt(False, 3)
    assert fetch(Rooms(Spot("away", "away", "in the away"), room="loft"), [], SPOTS, limit=50) == Attempt(False, 50)


# ------------------------------------------------------------------------------------------------------------- life


def test_a_diary_keeps_changes_before_news_and_nothing_that_it_has() -> None:
    diary = Diary(most=2)
    diary.end_episode({"mug": noted("mug", "in the den"), "tin": noted("tin", "in the den")})
    diary.end_episode({"tin": noted("tin", "in the den")})
    seen = {"box": noted("box", "in the den"), "cup": noted("cup", "in the den"), "mug": noted("mug", "in the loft")}
    diary.end_episode(seen)
    subjects = [[one.fact.subject for one in episode] for episode in diary.episodes]
    assert subjects == [["mug", "tin"], [], ["mug", "box"]]


def test_updates_follow_when_enough_is_pending_and_at_every_point() -> None:
    episodes = [[noted("a", "x")], [noted("b", "x")], [noted("c", "x")], [], [noted("d", "x")]]
    told, stops = told_and_stops(episodes, per_update=2, points=points_of(5, 3))
    assert [(stop.episode, stop.numbers, stop.is_point) for stop in stops] == [
        (2, (0, 1), False), (3, (2,), True), (5, (3,), True)
    ]  # fmt: skip
    assert [one.number for one in told] == [0, 1, 2, 3]


def test_tasks_ask_in_phrasings_that_are_read_about_what_was_written_down() -> None:
    life = live_in_household(SMALL_HOUSE, seed=3)
    tasks = tasks_at(life, 6, rounds=2, num_questions=3, seed=3)
    known = {told.facts[0].subject for told in life.told}
    assert {task.thing for task in tasks} == known and len(tasks) == 2 * len(known)
    assert all(len(set(task.questions)) == 3 and task.thing in task.questions[0].lower() for task in tasks)
    assert tasks == tasks_at(live_in_household(SMALL_HOUSE, seed=3), 6, rounds=2, num_questions=3, seed=3)
    for task in tasks:
        values = [told.facts[0].value for told in life.told if told.facts[0].subject == task.thing]
        is_there = life.scenes[6].spot_of(task.thing).phrase == values[-1]
        assert task.kind == ("stale" if not is_there else "moved" if len(values) > 1 else "unmoved")


# -------------------------------------------------------------------------------------------------------- household


def test_in_the_household_a_known_thing_takes_three_steps_at_most_and_errands_change_nothing() -> None:
    life = live_in_household(SMALL_HOUSE, seed=0)
    scene, rng = life.scenes[6], random.Random(0)
    for task in tasks_at(life, 6, rounds=1, num_questions=1, seed=0):
        where = scene.spot_of(task.thing)
        attempt = fetch(scene.errand(task.thing, rng), [where], scene.spots, limit=30)
        assert attempt.fetched and 2 <= attempt.steps <= 3
        assert scene.spot_of(task.thing) == where


def test_in_the_household_a_search_finds_everything_if_it_may_go_on() -> None:
    life = live_in_household(SMALL_HOUSE, seed=1)
    scene = life.scenes[6]
    found = [
        fetch(scene.errand(told.facts[0].subject, random.Random(1)), [], scene.spots, limit=99) for told in life.told
    ]
    assert all(attempt.fetched for attempt in found) and max(attempt.steps for attempt in found) > 3


# ------------------------------------------------------------------------------------------------- running, scoring


def test_the_in_context_log_drops_the_oldest_notes_that_do_not_fit() -> None:
    base = tiny_base()
    notes = [f"The red mug number {number} is in the kitchen drawer." for number in range(60)]
    prompt, num_dropped = fitted_prompt(base, "Where is the red mug?", notes)
    longer = base.dialogue.prompt_ids("Where is the red mug?", notes[num_dropped - 1 :])
    assert 0 < num_dropped < 60 and prompt == base.dialogue.prompt_ids("Where is the red mug?", notes[num_dropped:])
    assert len(longer) + 32 > (base.context_length or 0), "one more does not fit"
    assert fitted_prompt(base, "Where is the red mug?", notes[:2])[1] == 0
    with pytest.raises(BadInput, match="question takes"):
        fitted_prompt(base, "where is it " * 200, notes)


def test_a_life_is_taken_up_where_it_was_interrupted(tmp_path: Path) -> None:
    life, base = live_in_household(SMALL_HOUSE, seed=0), tiny_base()
    errands = ErrandPlan(rounds=1, num_questions=1, step_limit=30)

    def make(folder: Path) -> Learner:
        return WholeLog(base, Stream(told=life.told, asked=()))

    whole = run_life(tmp_path / "a", life, errands, base, make, method="in_context", seed=0)
    run_life(tmp_path / "b", life, errands, base, make, method="in_context", seed=0)
    items = tmp_path / "b" / ITEMS_FILE
    kept = items.read_bytes().splitlines(keepends=True)
    items.write_bytes(b"".join(kept[:-1]) + kept[-1][:20])
    again = run_life(tmp_path / "b", life, errands, base, make, method="in_context", seed=0)
    assert [one.rows for one in again] == [one.rows for one in whole]
    assert whole_lines(items, FetchLine) == again, "what is on disk is whole too"
    assert len(whole) == len(life.stops) and whole[-1].rows and whole[-1].rows[0].prompt_tokens > 20


def test_perfect_knowledge_and_no_memory_ask_nothing(tmp_path: Path) -> None:
    life, base = live_in_household(SMALL_HOUSE, seed=0), tiny_base()
    errands = ErrandPlan(rounds=2, num_questions=1, step_limit=99)
    outcomes = {
        method: run_life(
            tmp_path / method, life, errands, base, lambda folder: NoMemory(base, Stream(told=life.told, asked=())),
            method=method, seed=0,
        )
        for method in ("none", "perfect")
    }  # fmt: skip
    steps = {method: sum(row.steps for row in lines[-1].rows) for method, lines in outcomes.items()}
    assert all(not row.said and row.prompt_tokens == 0 for lines in outcomes.values() for row in lines[-1].rows)
    assert steps["perfect"] < steps["none"], "the same tasks from the same rooms"


def test_every_question_of_a_task_gets_its_own_answer() -> None:
    base, life = tiny_base(), live_in_household(SMALL_HOUSE, seed=0)
    learner = NoMemory(base, Stream(told=life.told, asked=()))
    tasks = tasks_at(life, 3, rounds=1, num_questions=2, seed=0)
    found = recall(base, learner, tasks)
    alone = [recall(base, learner, [task])[0] for task in tasks[:2]]
    assert [len(one.said) for one in found] == [2] * len(tasks) and found[:2] == alone


def plan() -> FetchPlan:
    parsed = {"episodes": 4, "quick": False, "set": []}
    return plan_of(type("Options", (), parsed))  # type: ignore[arg-type]


def test_steps_are_compared_with_perfect_knowledge_on_what_a_memory_can_know() -> None:
    unknowable = row("stale", 30, fetched=False)
    ours = [line(row("unmoved", 3), row("moved", 9), row("moved", 30, fetched=False), unknowable)]
    perfect = [line(row("unmoved", 3), row("moved", 2), row("moved", 3), row("stale", 3))]
    metrics = metrics_of("household", {"ours": {0: ours}, "perfect": {0: perfect}}, plan())
    assert metrics["fetch_success"].mean == pytest.approx(2 / 3) and metrics["fetch_success"].met is False
    assert metrics["steps_vs_perfect"].mean == pytest.approx(42 / 8)
    assert metrics["ours_success_moved"].mean == 0.5 and metrics["ours_success_stale"].mean == 0.0
    assert metrics["ours_num_tasks_stale"].mean == 1 and metrics["ours_seconds_per_update"].mean == 2.0


def test_other_worlds_have_their_name_before_every_metric() -> None:
    lines = {method: {0: [line(row("unmoved", 3)), line(row("unmoved", 3), episode=4)]} for method in METHODS}
    metrics = metrics_of("minigrid", lines, plan())
    assert all(name.startswith("minigrid_") for name in metrics)
    assert metrics["minigrid_steps_vs_perfect"].met and metrics["minigrid_fetch_success"].met
    assert {"minigrid_ours_steps_after_2", "minigrid_ours_steps_after_4"} <= metrics.keys()


def test_the_picture_shows_every_world_that_was_run(tmp_path: Path) -> None:
    lines = {method: {0: [line(row("unmoved", 3))]} for method in METHODS}
    draw(metrics_of("household", lines, plan()) | metrics_of("minigrid", lines, plan()), tmp_path / "fetch.png")
    assert (tmp_path / "fetch.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_world_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--worlds", "household,moon"]) == 2
    assert "'moon'; there are: household, minigrid" in capsys.readouterr().err


def test_a_life_knows_what_was_learned_by_the_end_of_an_episode() -> None:
    told, stops = told_and_stops([[noted("a", "x")], [noted("b", "x")]], per_update=1, points=(2,))
    assert [one.number for one in Life(told, stops, {}).known_at(1)] == [0]
