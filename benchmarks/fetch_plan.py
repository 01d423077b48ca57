"""The plan of a run, and carrying out any part of it: which world, which method by name.

Knows: composition. Refuses to know: processes, the command line, measures.
"""

import functools
import json
from pathlib import Path
from typing import Any, Final, Literal

from agent.seed_model import WEIGHTS_FOLDER
from agent.study.methods import Learner, NoMemory, Ours
from agent.study.records import Stream
from agent.study.retrieval import Bm25
from benchmarks.fetch_household import HouseholdPlan, live_in_household
from benchmarks.fetch_minigrid import MiniGridPlan, live_in_minigrid
from benchmarks.fetch_records import Life
from benchmarks.fetch_run import KNOWS_ALL, KNOWS_NOTHING, ErrandPlan, WholeLog, run_life
from benchmarks.kept import settle_in
from memory_log.fields import Record
from updater.language_model import LanguageModel, load_language_model, quiet_transformers
from updater.settings import UpdateSettings

WorldName = Literal["household", "minigrid"]
WORLDS: Final[tuple[WorldName, ...]] = ("household", "minigrid")
METHODS: Final = {
    "ours": "answers from the weights, which learned every few episodes",
    KNOWS_NOTHING: "no memory: searches from the start",
    "in_context": "answers with all that was written down in the prompt, the oldest dropped where it does not fit",
    "bm25": "answers with the notes in the prompt that share most words with the question",
    KNOWS_ALL: "is told where the thing truly is, in the words in which it would be written down",
}


class FetchPlan(Record):
    """What a run measures; a folder of --work holds one plan, for as many worlds, methods and seeds as one likes.

    Example: FetchPlan(household=HouseholdPlan(episodes=50), minigrid=MiniGridPlan(episodes=50), rounds=3,
        num_questions=5, settings={})
    """

    household: HouseholdPlan
    minigrid: MiniGridPlan
    rounds: int
    num_questions: int
    household_step_limit: int = 30
    minigrid_step_limit: int = 120
    top: int = 4
    """Notes that retrieval puts into a prompt."""
    settings: dict[str, Any]
    """Of updates, where they differ from the defaults."""

    def life(self, world: WorldName, seed: int) -> Life:
        """What the agent of a seed lived through in a world."""
        if world == "household":
            return live_in_household(self.household, seed)
        return live_in_minigrid(self.minigrid, seed)

    def errands(self, world: WorldName) -> ErrandPlan:
        """How things are asked for and fetched in a world."""
        limit = self.household_step_limit if world == "household" else self.minigrid_step_limit
        return ErrandPlan(rounds=self.rounds, num_questions=self.num_questions, step_limit=limit)

    def settle_in(self, work: Path) -> None:
        """Write the plan down in a folder, or see that it is the one that is written there.

        Raises:
            BadInput: the folder holds a run of other settings.
        """
        settle_in(work, json.loads(self.model_dump_json()))


def folder_of(work: Path, world: WorldName, method: str, seed: int) -> Path:
    """Where the lines, and the memory, of one world, method and seed lie."""
    return work / world / f"seed-{seed}" / method


def run_part(plan: FetchPlan, world: WorldName, method: str, seed: int, work: Path) -> None:
    """One world, method and seed, from the start or from where it was interrupted, to the end."""
    quiet_transformers()
    base = load_language_model(str(WEIGHTS_FOLDER), device="cpu")
    life = plan.life(world, seed)
    make = functools.partial(_learner, plan, method, base, Stream(told=life.told, asked=()), seed)
    folder = folder_of(work, world, method, seed)
    run_life(folder, life, plan.errands(world), base, make, method=method, seed=seed)


def _learner(plan: FetchPlan, method: str, base: LanguageModel, stream: Stream, seed: int, folder: Path) -> Learner:
    """One method with its memory in a folder."""
    match method:
        case "ours":
            return Ours(base, folder, UpdateSettings.model_validate({**plan.settings, "seed": seed}))
        case "bm25":
            return Bm25(base, stream, top=plan.top)
        case "in_context":
            return WholeLog(base, stream)
    return NoMemory(base, stream)
