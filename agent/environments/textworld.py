"""TextWorld as a Gymnasium environment, and its describer. Needs `selfparam[textworld]`.

Knows: TextWorld's infos. TextWorld itself is MIT; it brings jericho, which is under the GPL (version 2), into the
environment that it is installed in. Nothing here is imported from it before a game is made.
"""

import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from agent.environments.steps import Described, Step
from agent.environments.text import OldTextEnv, describe_text, in_space
from memory_log.errors import BadInput
from memory_log.records import Fact

if TYPE_CHECKING:
    from textworld import GameState

_BANNER: Final = re.compile(r"^[ _|\\/$]*[|\\/$_]{2}[ _|\\/$]*$\n?", re.MULTILINE)
_GAPS: Final = re.compile(r"(\n\n)\s+|( ) +")
_STATUS_LINE: Final = re.compile(r"\n>.*\Z", re.DOTALL)
_HOLDERS: Final = {"at": "in the", "in": "in the", "on": "on the"}


class TextWorldEnv(OldTextEnv):
    """A TextWorld game: texts in, texts out. `selfparam/TextWorld-v0`.

    Every episode is the same game from its beginning. `info` has TextWorld's `admissible_commands`, `facts` (all that
    is true, seen or not: for describers, not for agents), `inventory`, `description` and `objective`; the reward is the
    points that a step brought.

    Args:
        game: path of a game file (.z8 with its .json beside it); None makes one.
        game_seed, num_rooms, num_objects, quest_length: of a game that is made, which takes about ten seconds.
        max_steps: steps until truncation.

    Raises:
        BadInput: TextWorld is not installed, or there is no such game.
    """

    def __init__(
        self, game: str | None = None, *, game_seed: int = 0, num_rooms: int = 4, num_objects: int = 10,
        quest_length: int = 3, max_steps: int = 100, render_mode: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            lambda rng: self._played, max_steps=max_steps, is_over=lambda infos: infos["won"] or infos["lost"],
            render_mode=render_mode,
        )  # fmt: skip
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if game is None:
            self._folder = tempfile.TemporaryDirectory(prefix="selfparam-textworld-")
            game = _made_game(Path(self._folder.name) / "game.z8", game_seed, num_rooms, num_objects, quest_length)
        self._played = _Played(game)

    def close(self) -> None:
        """End the game, and remove it where it was made here."""
        self._played.close()
        if self._folder is not None:
            self._folder.cleanup()


class _Played:
    """A game as TextWorld plays it, with texts cleaned and points per step."""

    def __init__(self, path: str) -> None:
        textworld = _textworld()
        if not Path(path).is_file():
            raise BadInput(f"there is no TextWorld game {path}; give the path of a .z8 file, or none to make one")
        infos = textworld.EnvInfos(
            admissible_commands=True, description=True, facts=True, inventory=True, lost=True, objective=True,
            score=True, won=True,
        )  # fmt: skip
        with warnings.catch_warnings():
            # jericho knows well-known games only, and TextWorld keeps score and facts by itself.
            warnings.filterwarnings("ignore", ".*is not fully supported")
            self._env = textworld.start(path, infos)
        self._score = 0

    def reset(self) -> tuple[str, dict[str, Any]]:
        state = self._env.reset()
        self._score = 0
        return _cleaned(f"{state.objective}\n\n{state.description}"), _infos(state)

    def step(self, command: str) -> tuple[str, float, bool, dict[str, Any]]:
        state, score, done = self._env.step(command)
        gained, self._score = score - self._score, score
        return _cleaned(state.feedback), float(gained), done, _infos(state)

    def close(self) -> None:
        self._env.close()


def _infos(state: "GameState") -> dict[str, Any]:
    facts = [(fact.name, *(argument.name for argument in fact.arguments)) for fact in state.facts or ()]
    return {
        "admissible_commands": tuple(state.admissible_commands or ()), "facts": tuple(facts),
        "inventory": state.inventory, "description": state.description, "objective": state.objective,
        "won": bool(state.won), "lost": bool(state.lost),
    }  # fmt: skip


def _cleaned(feedback: str) -> str:
    """The text alone: without the title in large letters and the line of the prompt."""
    return _GAPS.sub(lambda gap: gap[1] or gap[2], _BANNER.sub("", _STATUS_LINE.sub("", f"\n{feedback}"))).strip()


def _textworld() -> ModuleType:
    try:
        import textworld
        import textworld.generator
    except ModuleNotFoundError as exc:
        raise BadInput(
            "TextWorld is not installed; install it with: pip install 'selfparam[textworld]' (this brings jericho, "
            "which is under the GPL and needs a C compiler)"
        ) from exc
    module: ModuleType = textworld
    return module


def _made_game(path: Path, seed: int, num_rooms: int, num_objects: int, quest_length: int) -> str:
    textworld = _textworld()
    options = textworld.GameOptions()
    options.seeds = seed
    options.nb_rooms, options.nb_objects, options.quest_length = num_rooms, num_objects, quest_length
    options.path = str(path)
    return str(textworld.generator.compile_game(textworld.generator.make_game(options), options))


def describe_textworld(step: Step) -> Iterator[Described | str]:
    """Where the things are that the game's text names, one sentence and one fact each; else the text as it is.

    TextWorld's facts hold everything. Only those are told whose thing the text names, and whose holder it names too or
    is the room where the player is.
    """
    facts = step.info["facts"]
    text = step.observation.casefold()
    room = next((fact[2] for fact in facts if fact[:2] == ("at", "P")), None)
    told = False
    if step.is_first:
        yield in_space(step.info["objective"])
    for relation, *names in facts:
        if relation not in _HOLDERS or len(names) != 2 or names[0] == "P":
            continue
        thing, holder = names
        is_named = thing.casefold() in text and (holder == room or holder.casefold() in text)
        if holder != "I" and is_named:
            told = True
            place = f"{_HOLDERS[relation]} {holder}"
            fact = Fact(subject=thing.lower(), relation="place", value=place.lower())
            yield Described(text=f"The {thing} is {place}.", facts=(fact,))
    if not told and (plain := describe_text(step)):
        assert isinstance(plain, str)
        yield plain
