"""One part of a study: one method with one seed, from the start or from where it was interrupted, to its end.

Knows: composition. Refuses to know: processes, figures.
"""

import functools
from pathlib import Path
from typing import Final

from agent.memory import choose_device
from agent.seed_model import WEIGHTS_FOLDER
from agent.study.config import FRESH, StudyConfig
from agent.study.contestants import learner_of
from agent.study.examiner import Examiner
from agent.study.running import run_course
from updater.language_model import LanguageModel, load_language_model, quiet_transformers

DYING_SECONDS: Final = 30.0
"""How long the processes of a study that was killed may take to notice."""


def base_of(config: StudyConfig) -> LanguageModel:
    """theta_0 of a study."""
    quiet_transformers()
    return load_language_model(config.model or str(WEIGHTS_FOLDER), device=choose_device(config.device))


def run_part(config: StudyConfig, method: str, seed: int, folder: Path) -> None:
    """Every update of one method and seed that the folder does not hold yet, and what is asked after it.

    Raises:
        BadInput: another process is at it, or the folder's lines are damaged.
    """
    base, stream, course = base_of(config), config.stream(seed), config.course_of(method)
    make = functools.partial(learner_of, method, base, stream, config.settings(seed), config.top)
    kept = config.kept
    examiner = Examiner(
        base, stream, course, seed=seed, num_reading=kept.reading_questions, num_unrelated=kept.unrelated_sentences
    )
    run_course(
        folder, stream, course, examiner, make, only_points=method == FRESH, wait_seconds=DYING_SECONDS
    )
