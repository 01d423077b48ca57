"""The household as a Gymnasium environment, and its explorer."""

import itertools
import random
import re
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from agent.household import ENVIRONMENT_ID, phrasings
from agent.household.env import HouseholdEnv
from agent.household.explorer import Explorer, explore
from agent.household.language import FAVOURITE_PREFIX
from agent.household.world import HouseConfig
from memory_log.records import NewExperience

FAMILIES = {
    "place": phrasings.PLACE,
    "whereabouts": phrasings.WHEREABOUTS,
    "owner": phrasings.OWNER,
    "favourite": phrasings.FAVOURITE,
}


def family(experience: dict[str, Any]) -> str:
    relation = experience["facts"][0]["relation"]
    return "favourite" if relation.startswith(FAVOURITE_PREFIX) else relation


def lived(seed: int, max_steps: int = 500) -> list[dict[str, Any]]:
    return list(explore(HouseholdEnv(max_steps=max_steps), seed=seed))


def test_the_registered_environment_passes_gymnasiums_checks() -> None:
    check_env(gymnasium.make(ENVIRONMENT_ID, render_mode="ansi").unwrapped)


def test_equal_seeds_and_commands_give_equal_episodes() -> None:
    assert lived(3, max_steps=200) == lived(3, max_steps=200)
    assert lived(3, max_steps=50) != lived(4, max_steps=50)


def test_observations_of_a_large_lively_house_stay_in_their_space() -> None:
    env = HouseholdEnv(HouseConfig(num_things=200, num_rooms=10, num_people=24, containers_per_room=8, liveliness=1))
    rng = random.Random(0)
    observation, info = env.reset(seed=0)
    for _ in range(300):
        assert env.observation_space.contains(observation)
        assert all(env.action_space.contains(command) for command in info["admissible_commands"])
        observation, *_, info = env.step(rng.choice(info["admissible_commands"]))


def test_every_admissible_command_is_understood() -> None:
    env = HouseholdEnv(HouseConfig(liveliness=0.0))
    rng = random.Random(1)
    _, info = env.reset(seed=1)
    for _ in range(300):
        observation, *_, info = env.step(rng.choice(info["admissible_commands"]))
        assert not re.match(r"There is no|You do not", observation)


def test_every_experience_fits_the_log_and_its_text_holds_its_facts() -> None:
    for fields in lived(0):
        experience = NewExperience(**fields)
        for fact in experience.facts:
            assert fact.subject in experience.text.lower()
            assert fact.value in experience.text.lower()


def test_a_long_life_tells_every_relation_in_at_least_eight_phrasings() -> None:
    seen: dict[str, set[str]] = {name: set() for name in FAMILIES}
    for fields in itertools.chain.from_iterable(lived(seed) for seed in range(4)):
        fact = fields["facts"][0]
        text = fields["text"].lower()
        told = FAMILIES[family(fields)].told if len(seen[family(fields)]) < 8 else ()
        for template in told:
            # `{n}` may be anyone's name; an opening may stand in front.
            pattern = re.escape(template.lower())
            for slot, value in (
                ("s", rf"(?:the )?{re.escape(fact['subject'])}"),
                ("v", re.escape(fact["value"])),
                ("k", re.escape(fact["relation"].removeprefix(FAVOURITE_PREFIX))),
                ("n", r"\w+"),
            ):
                pattern = pattern.replace(rf"\{{{slot}\}}", value)
            if re.fullmatch(rf"(?:.+ )?{pattern}", text):
                seen[family(fields)].add(template)
    assert {name: len(templates) >= 8 for name, templates in seen.items()} == dict.fromkeys(FAMILIES, True)


def test_an_explorer_learns_news_and_later_that_things_have_changed() -> None:
    known: dict[tuple[str, str], str] = {}
    changed = 0
    for fields in lived(0):
        fact = fields["facts"][0]
        pair = fact["subject"], fact["relation"]
        assert known.get(pair) != fact["value"], "a repetition is no news"
        changed += pair in known
        known[pair] = fact["value"]
    assert changed >= 20
    assert len(known) >= 80


def test_an_explorer_meets_an_experience_nearly_every_second_step() -> None:
    assert all(len(lived(seed)) >= 200 for seed in range(4))


def test_an_explorer_prefers_a_change_over_something_new() -> None:
    def saw(subject: str, value: str) -> dict[str, Any]:
        return {"text": "x", "facts": ({"subject": subject, "relation": "place", "value": value},)}

    explorer = Explorer(seed=0)
    assert explorer.most_informative([saw("red mug", "in the den")]) == saw("red mug", "in the den")
    assert explorer.most_informative([saw("red mug", "in the den")]) is None
    moved = saw("red mug", "in the barn")
    assert explorer.most_informative([saw("blue mug", "in the den"), moved]) == moved


def test_reward_counts_the_facts_that_are_news() -> None:
    env = HouseholdEnv(HouseConfig(liveliness=0.0))
    _, info = env.reset(seed=0)
    looks = [command for command in info["admissible_commands"] if command.startswith("look in")]
    rewards = []
    for command in looks:
        _, reward, *_, info = env.step(command)
        assert reward == len(info["experiences"])
        rewards.append(reward)
        _, repeated, *_ = env.step(command)
        assert repeated == 0
    assert sum(rewards) > 0


def test_an_unreadable_command_costs_a_step_and_does_nothing() -> None:
    env = HouseholdEnv(HouseConfig(liveliness=0.0), max_steps=1)
    env.reset(seed=0)
    before = dict(env.world.place_of)
    observation, reward, terminated, truncated, info = env.step("sing a song, please")
    assert observation.startswith("You do not know how to do that.")
    assert (reward, terminated, truncated, info["experiences"]) == (0.0, False, True, [])
    assert env.world.place_of == before


@pytest.mark.parametrize(
    "words",
    ["Look!", "look around", "LOOK", " look "],
)
def test_commands_are_read_generously(words: str) -> None:
    env = HouseholdEnv(HouseConfig(liveliness=0.0))
    env.reset(seed=0)
    assert env.step(words)[0].startswith("You look around.")


def test_options_change_the_house_for_one_episode_and_misspelt_ones_are_refused() -> None:
    env = HouseholdEnv()
    env.reset(seed=0, options={"num_things": 5})
    assert len(env.world.things) == 5
    env.reset(seed=0)
    assert len(env.world.things) == 60
    with pytest.raises(ValueError, match="num_thing"):
        env.reset(options={"num_thing": 5})


def test_a_house_is_asked_for_only_after_reset() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        HouseholdEnv().step("look")


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="max_steps"):
        HouseholdEnv(max_steps=0)
    with pytest.raises(ValueError, match="render_mode"):
        HouseholdEnv(render_mode="human")
