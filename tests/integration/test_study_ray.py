"""Parts of a study as Ray tasks."""

from pathlib import Path

import pytest

from agent.study.config import KeptSettings, ScheduleSettings, SourceSettings, StudyConfig
from agent.study.folder import StudyFolder
from agent.study.pool import run_parts
from tests.model_fixtures import LEARNER

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(900)]


def test_parts_run_beside_each_other_on_ray_and_give_what_one_process_gives(tmp_path: Path) -> None:
    config = StudyConfig(
        methods=("none", "in_context"), seeds=(0,), model=str(LEARNER), source=SourceSettings(near_misses=2),
        schedule=ScheduleSettings(updates=1, experiences_per_update=2),
        kept=KeptSettings(reading_questions=2, unrelated_sentences=2),
    )  # fmt: skip
    folders = [StudyFolder.create(tmp_path / name, config) for name in ("ray", "here")]
    for folder, jobs in zip(folders, (2, 1), strict=True):
        run_parts(folder, folder.unfinished(), jobs=jobs, look=lambda: None)
        assert not folder.unfinished()
    on_ray, here = (
        [line.rows for seeds in folder.outcomes().values() for outcome in seeds.values() for line in outcome.lines]
        for folder in folders
    )
    assert on_ray == here
