"""A scripted agent that explores a household: a steady stream of informative experiences, equal for equal seeds.

Knows: how to choose among admissible commands and which of a step's events says most. Refuses to know: the house's true
state; it sees what any agent sees. It is a source of experiences for demos and studies, and no model of good behaviour.
"""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import gymnasium

from agent.household.language import FAVOURITE_PREFIX

MOVE_A_THING: Final = 0.4
CARRY_IT_AWAY: Final = 0.5
QUESTIONS_PER_PERSON: Final = 2
ASK_ABOUT_A_THING: Final = 0.5


class Explorer:
    """Walks from room to room; in each it looks about, opens containers, asks people and sometimes moves a thing.

    Args:
        seed: decides every choice.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._room: str | None = None
        self._todo: list[str] = []
        self._num_visits: Counter[str] = Counter()
        self._known: dict[tuple[str, str], str] = {}
        self._num_told: Counter[str] = Counter()

    def choose(self, info: dict[str, Any]) -> str:
        """The next command, one of `info["admissible_commands"]`."""
        commands: tuple[str, ...] = info["admissible_commands"]
        if info["room"] != self._room:
            self._arrive(info["room"], commands)
        while self._todo:
            plan = self._todo.pop(0)
            # People walk away while one is busy: a plan that no longer makes sense is dropped.
            if fitting := [command for command in commands if command == plan or command.startswith(f"{plan} about")]:
                return self._prefer_things(fitting)
        return self._move_a_thing(commands) or self._leave(commands)

    def _arrive(self, room: str, commands: tuple[str, ...]) -> None:
        self._room = room
        self._num_visits[room] += 1
        looks = [command for command in commands if command.startswith("look")]
        people = [command for command in commands if command.startswith("ask ") and " about " not in command]
        self._todo = looks + people * QUESTIONS_PER_PERSON
        self._rng.shuffle(self._todo)

    def _prefer_things(self, commands: list[str]) -> str:
        """A command of several; half of all questions are about a thing in view, whoever is asked."""
        about_things = [command for command in commands if " about the " in command]
        return self._rng.choice(about_things if about_things and self._rng.random() < ASK_ABOUT_A_THING else commands)

    def _move_a_thing(self, commands: tuple[str, ...]) -> str | None:
        puts = [command for command in commands if command.startswith("put ")]
        if puts and self._rng.random() >= CARRY_IT_AWAY:
            return self._rng.choice(puts)
        takes = [command for command in commands if command.startswith("take ")]
        return self._rng.choice(takes) if takes and self._rng.random() < MOVE_A_THING else None

    def _leave(self, commands: tuple[str, ...]) -> str:
        rooms = {command: command.removeprefix("go to the ") for command in commands if command.startswith("go ")}
        fewest = min(self._num_visits[room] for room in rooms.values())
        return self._rng.choice([command for command, room in rooms.items() if self._num_visits[room] == fewest])

    def most_informative(self, experiences: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The experience that says most: a change of something known, then something new; None when all is known.

        Among equals the relation told least often wins, so that every relation keeps appearing.
        """
        best: dict[str, Any] | None = None
        best_score = (0, 0)
        for experience in experiences:
            fact = experience["facts"][0]
            known = self._known.get((fact["subject"], fact["relation"]))
            news = 0 if known == fact["value"] else 1 if known is None else 2
            score = (news, -self._num_told[_family(fact["relation"])])
            if news and (best is None or score > best_score):
                best, best_score = experience, score
        if best is not None:
            fact = best["facts"][0]
            self._known[fact["subject"], fact["relation"]] = fact["value"]
            self._num_told[_family(fact["relation"])] += 1
        return best


def _family(relation: str) -> str:
    return "favourite" if relation.startswith(FAVOURITE_PREFIX) else relation


def explore(env: gymnasium.Env[str, str], *, seed: int) -> Iterator[dict[str, Any]]:
    """Live in a household and yield each step's most informative experience, until the episode ends.

    Args:
        env: a household environment; it is reset with the seed.
        seed: decides the house and every choice.

    Yields:
        keyword arguments of `memory_log.records.NewExperience`: text, facts, step, action.
    """
    explorer = Explorer(seed)
    _, info = env.reset(seed=seed)
    ended = False
    while not ended:
        experience = explorer.most_informative(info["experiences"])
        if experience is not None:
            yield experience
        _, _, terminated, truncated, info = env.step(explorer.choose(info))
        ended = terminated or truncated
