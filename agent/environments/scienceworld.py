"""ScienceWorld as a Gymnasium environment, and its describer. Needs `selfparam[scienceworld]` and Java.

Knows: ScienceWorld's interface and how its rooms are told. ScienceWorld is under Apache 2.0; its simulator runs in a
Java process of its own (Java 8 or newer, not from PyPI). Nothing is imported from it before an environment is made.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, Protocol

import gymnasium
import numpy as np

from agent.environments.steps import Described, Step
from agent.environments.text import OldTextEnv, describe_text
from memory_log.errors import BadInput
from memory_log.records import Fact

_ROOM: Final = re.compile(r"This (?:room|outside location) is called the (?P<room>[^.]+)\.")
_THING: Final = re.compile(r"^\t(?:an? |the )?(?:substance called )?(?P<thing>[^(.,:\t]+?)(?: \(|[.,:]|$)", re.M)
_UNTOLD: Final = {"agent", "air", "ground"}
_DOORS: Final = "You also see:"
_ALREADY_TOLD: Final = ("This room is called", "This outside location is called", "In your inventory")


class Simulator(Protocol):
    """What is used of ScienceWorld's own environment."""

    def load(self, task: str, variation: int, simplifications: str, /) -> None: ...
    def reset(self) -> tuple[str, dict[str, Any]]: ...
    def step(self, command: str, /) -> tuple[str, int, bool, dict[str, Any]]: ...
    def get_task_names(self) -> list[str]: ...
    def get_variations_train(self) -> list[int]: ...
    def close(self) -> None: ...


class ScienceWorldEnv(OldTextEnv):
    """A task of ScienceWorld: texts in, texts out. `selfparam/ScienceWorld-v0`.

    Each reset draws one of the task's training variations. The simulator lists things in an order that changes from one
    time to the next, so that equal seeds do not give equal texts, and a run recorded again is another run. `info` has
    ScienceWorld's own entries (`look`, `inv`, `taskDesc`, `score`) and its `valid` actions as `admissible_commands`.

    Args:
        task: its name, such as `find-plant`.
        simplifications: as ScienceWorld takes them, separated by commas.
        max_steps: steps until truncation.

    Raises:
        BadInput: ScienceWorld or Java is missing, or there is no such task.
    """

    def __init__(
        self, task: str = "find-plant", *, simplifications: str = "", max_steps: int = 100,
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(self._begin_variation, max_steps=max_steps, render_mode=render_mode)
        self._simulator: Simulator | None = _started()
        names = self._simulator.get_task_names()
        if task not in names:
            self.close()
            raise BadInput(f"ScienceWorld has no task {task!r}; it has {', '.join(names)}")
        self._task, self._simplifications = task, simplifications
        self._simulator.load(task, 0, simplifications)
        self._variations = list(self._simulator.get_variations_train())

    def _begin_variation(self, rng: np.random.Generator) -> "_Simulation":
        if self._simulator is None:
            raise gymnasium.error.ClosedEnvironmentError("the environment is closed; make another one")
        self._simulator.load(self._task, int(rng.choice(self._variations)), self._simplifications)
        return _Simulation(self._simulator)

    def close(self) -> None:
        """End the simulator's process."""
        simulator, self._game, self._simulator = self._simulator, None, None
        if simulator is not None:
            _end(simulator)


class _Simulation:
    """The simulator with `admissible_commands` in its infos."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def reset(self) -> tuple[str, dict[str, Any]]:
        observation, infos = self._simulator.reset()
        return f"{infos['taskDesc'].strip()}\n\n{observation}", _with_commands(infos)

    def step(self, command: str) -> tuple[str, float, bool, dict[str, Any]]:
        observation, reward, done, infos = self._simulator.step(command)
        return observation, reward, done, _with_commands(infos)


def _with_commands(infos: dict[str, Any]) -> dict[str, Any]:
    return infos | {"admissible_commands": tuple(sorted(infos["valid"]))}


def _started() -> Simulator:
    try:
        import scienceworld
    except ModuleNotFoundError as exc:
        raise BadInput(
            "ScienceWorld is not installed; install it with: pip install 'selfparam[scienceworld]' (it needs Java too)"
        ) from exc
    if shutil.which("java") is None:
        raise BadInput("ScienceWorld needs Java and found no `java`; install a Java runtime, 8 or newer")
    # Its own limit counts otherwise than ours and says `done` at it.
    simulator: Simulator = scienceworld.ScienceWorldEnv("", envStepLimit=10**9)
    return simulator


def _end(ending: Simulator) -> None:
    """End a simulator and what it leaves: its `close` runs again when it is collected, and fails unless all is over."""
    simulator: Any = ending
    process = simulator._gateway.java_process
    with suppress(BrokenPipeError):  # the process may end before it is told to
        simulator.close()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):
            stream.close()
    simulator._obj_tree_tempdir.cleanup()


def describe_scienceworld(step: Step) -> Iterator[Described | str]:
    """Where the things are that a look around shows, one sentence and one fact each; and what an action led to."""
    if step.is_first:
        yield step.info["taskDesc"].strip().replace("\n", " ")
    elif not step.observation.startswith(_ALREADY_TOLD) and (plain := describe_text(step)):
        assert isinstance(plain, str)
        yield plain
    look = step.info["look"]
    if room := _ROOM.search(look):
        name = room["room"]
        place = name if name == "outside" else f"in the {name}"
        things = [match["thing"] for match in _THING.finditer(look.partition(_DOORS)[0])]
        for thing in dict.fromkeys(things):
            if thing not in _UNTOLD and things.count(thing) == 1:
                fact = Fact(subject=thing.lower(), relation="place", value=place)
                yield Described(text=f"The {thing} is {place}.", facts=(fact,))
