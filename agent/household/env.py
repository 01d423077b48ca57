"""The household as a Gymnasium environment, `selfparam/Household-v0`: text in, text out.

Knows: how a command is read, what an observation looks like, when an episode ends. Refuses to know: how the house works
inside (`world.py`), what becomes of its experiences.

Actions are text commands, because a language agent writes them as they are and a person can read a log of them; an
unreadable one costs a step and does nothing. Agents that rather choose from a list find every sensible one in
`info["admissible_commands"]`.

    go ROOM                          go to the kitchen
    look [in PLACE]                  look / look in the kitchen drawer
    take THING                       take the red mug
    put THING in PLACE               put the red mug in the kitchen drawer
    ask PERSON [about TOPIC]         ask anna about the red mug / ask anna about her favourite drink
"""

import random
import re
import string
from typing import Any, ClassVar, Final

import gymnasium
from gymnasium.spaces import Text

from agent.household import words
from agent.household.language import FAVOURITE_PREFIX
from agent.household.world import Event, HouseConfig, Outcome, World

MAX_COMMAND_CHARS: Final = 200
MAX_OBSERVATION_CHARS: Final = 8192
_ACCENTED: Final = "".join(forms[1:] for forms in words.ACCENTED)
COMMAND_CHARSET: Final = string.ascii_letters + _ACCENTED + _ACCENTED.upper() + string.digits + " '.,?!-"
OBSERVATION_CHARSET: Final = COMMAND_CHARSET + ":;\n"

_PREPOSITION: Final = "(?:in|on|under|behind|beside|near|at|into|inside|onto|to)"
_COMMANDS: Final = (
    ("go", re.compile(rf"go(?: {_PREPOSITION})?(?: the)? (?P<place>.+)")),
    ("look", re.compile(rf"look(?: around)?(?: {_PREPOSITION}(?: the)? (?P<place>.+))?")),
    ("take", re.compile(r"take(?: the)? (?P<thing>.+)")),
    ("put", re.compile(rf"put(?: the)? (?P<thing>.+?) {_PREPOSITION}(?: the)? (?P<place>.+)")),
    ("ask", re.compile(r"ask (?P<person>\S+)(?: about(?: the| his| her| their)? (?P<topic>.+))?")),
)


class HouseholdEnv(gymnasium.Env[str, str]):
    """A house to walk about in. Each perception comes as an experience, ready for the log.

    `info["experiences"]` holds the step's events as keyword arguments of `memory_log.records.NewExperience` (text,
    facts, step, action). The reward is the number of facts that are news: not perceived before in the episode, or with
    another value. A house has no goal, so an episode is never terminated; it is truncated after `max_steps`.

    Args:
        config: size, words and liveliness of the house.
        max_steps: steps until truncation, at least 1.
        render_mode: `ansi` for the latest observation as text, or None.

    Example:
        >>> env = gymnasium.make("selfparam/Household-v0")
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(info["admissible_commands"][0])
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 4}  # type: ignore[misc]  # not ClassVar in the base

    def __init__(
        self, config: HouseConfig | None = None, *, max_steps: int = 500, render_mode: str | None = None
    ) -> None:
        if max_steps < 1:
            raise ValueError(f"got max_steps={max_steps}, needed at least 1")
        if render_mode not in (None, "ansi"):
            raise ValueError(f"got render_mode={render_mode!r}, needed 'ansi' or None")
        self.config = config or HouseConfig()
        self.max_steps = max_steps
        self.render_mode = render_mode
        self.action_space = Text(MAX_COMMAND_CHARS, charset=COMMAND_CHARSET)
        self.observation_space = Text(MAX_OBSERVATION_CHARS, charset=OBSERVATION_CHARSET)
        self._world: World | None = None
        self._observation = ""

    @property
    def world(self) -> World:
        """The house itself, for studies that need the truth; an agent has no business here.

        Raises:
            gymnasium.error.ResetNeeded: there is no house before the first `reset`.
        """
        if self._world is None:
            raise gymnasium.error.ResetNeeded("got a house that does not exist yet: call reset() first")
        return self._world

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Build a new house. `options` replaces fields of its `HouseConfig` this once, as in `{"num_things": 20}`.

        Raises:
            ValueError: an option is no field of `HouseConfig`, or has no fitting value.
        """
        super().reset(seed=seed)
        config = HouseConfig.model_validate(self.config.model_dump() | (options or {}))
        self._world = World(config, random.Random(int(self.np_random.integers(2**63))))
        self._num_steps = 0
        self._perceived: dict[tuple[str, str], str] = {}
        self._in_view: list[str] = []
        outcome = self._world.look()
        self._notice(outcome.events)
        return self._observe(outcome), self._info(outcome.events, action=None)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Carry out one command, then let the house live for a moment."""
        outcome = self._carry_out(action)
        events = [*outcome.events, *self.world.advance()]
        num_news = self._notice(events)
        self._num_steps += 1
        observation = self._observe(Outcome(outcome.reply, events))
        return observation, float(num_news), False, self._num_steps >= self.max_steps, self._info(events, action=action)

    def render(self) -> str | None:
        """The latest observation, in render mode `ansi`."""
        return self._observation if self.render_mode == "ansi" else None

    # --------------------------------------------------------------------------------------------------- commands

    def _carry_out(self, command: str) -> Outcome:
        verb, named = _read(command)
        world = self.world
        if verb == "go":
            self._in_view = []
            return world.go(named["place"] or "")
        if verb == "look":
            return world.look(named["place"])
        if verb == "take":
            return world.take(named["thing"] or "")
        if verb == "put":
            return world.put(named["thing"] or "", named["place"] or "")
        if verb == "ask":
            return world.ask(named["person"] or "", named["topic"])
        return Outcome("You do not know how to do that. You can go, look, take, put and ask.", [])

    def _admissible_commands(self) -> tuple[str, ...]:
        """Every command that makes sense here, as far as the agent can know."""
        world = self.world
        containers = world.containers_in(world.agent_room)
        commands = [f"go to the {room}" for room in world.rooms if room != world.agent_room]
        commands += ["look", *(f"look in the {place.name}" for place in containers)]
        for person in world.people_in(world.agent_room):
            commands.append(f"ask {person}")
            commands += [f"ask {person} about {FAVOURITE_PREFIX}{kind}" for kind in world.favourites[person]]
            commands += [f"ask {person} about the {thing}" for thing in self._in_view]
        if world.held is None:
            commands += [f"take the {thing}" for thing in self._in_view]
        else:
            names = (world.agent_room, *(place.name for place in containers))
            commands += [f"put the {world.held} in the {name}" for name in names]
        return tuple(commands)

    # ------------------------------------------------------------------------------------------------ observations

    def _notice(self, events: list[Event]) -> int:
        """Remember what was perceived; return how many facts were news."""
        facts = [fact for event in events for fact in event.facts]
        num_news = 0
        for subject, relation, value in facts:
            num_news += self._perceived.get((subject, relation)) != value
            self._perceived[subject, relation] = value
        world = self.world
        seen = [*self._in_view, *(fact.subject for fact in facts if fact.relation == "place")]
        here = (thing for thing in dict.fromkeys(seen) if thing in world.place_of)
        self._in_view = [thing for thing in here if world.place_of[thing].room == world.agent_room]
        return num_news

    def _observe(self, outcome: Outcome) -> str:
        world = self.world
        room = world.agent_room
        lines = [outcome.reply, *(event.text for event in outcome.events), f"You are in the {room}."]
        lines += [f"Here you find: {', '.join(place.name for place in world.containers_in(room))}."]
        if people := world.people_in(room):
            lines.append(f"People here: {', '.join(person.title() for person in people)}.")
        if world.held is not None:
            lines.append(f"You hold the {world.held}.")
        self._observation = "\n".join(lines)
        return self._observation

    def _info(self, events: list[Event], *, action: str | None) -> dict[str, Any]:
        experiences = [
            {
                "text": event.text,
                "facts": tuple(fact._asdict() for fact in event.facts),
                "step": self._num_steps,
                "action": action,
            }
            for event in events
        ]
        commands = self._admissible_commands()
        return {"experiences": experiences, "admissible_commands": commands, "room": self.world.agent_room}


def _read(command: str) -> tuple[str | None, dict[str, str | None]]:
    """Take a command apart into its verb and what it names; (None, {}) when it is not one."""
    plain = " ".join(command.lower().split()).rstrip(".!?")
    for verb, pattern in _COMMANDS:
        if match := pattern.fullmatch(plain):
            return verb, match.groupdict()
    return None, {}
