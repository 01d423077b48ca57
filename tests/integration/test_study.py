"""A study by the command line: killed and taken up, reported, compared, and its page in a real browser."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.cli import main
from agent.study.folder import StudyFolder
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState
from tests.cli_fixtures import REPOSITORY
from tests.model_fixtures import LEARNER

pytestmark = [
    pytest.mark.skipif(not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights"),
    pytest.mark.timeout(900),
]

STUDY = f"""
name = "two updates"
methods = ["ours", "none"]
seeds = [0]
model = {json.dumps(str(LEARNER))}
[source]
near_misses = 4
[schedule]
updates = 2
experiences_per_update = 1
points = [2]
[kept]
reading_questions = 4
unrelated_sentences = 2
[update]
num_steps = 2
batch_about = 4
batch_anchors = 2
questions_per_experience = 6
near_misses_per_experience = 2
min_samples = 6
min_questions = 1
num_anchors = 12
"""
DETERMINED = ("items.jsonl", "matrix.csv", "summary.csv", "table.tex")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
)  # fmt: skip
LOOK = """<script>addEventListener("load", () => {
  const seen = [...document.images].map(one => one.naturalWidth > 100 && one.getBoundingClientRect().width > 100);
  document.body.dataset.seen = JSON.stringify(seen);
});</script></body>"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder that ran to its end without a break; its file lies beside it."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "two.toml").write_text(STUDY)
    assert main(["study", "run", str(folder / "two.toml"), "--plain"]) == 0
    return folder / "two"


def test_a_study_holds_everything_that_came_of_it(done: Path) -> None:
    rows = [json.loads(line) for line in (done / "items.jsonl").read_text().splitlines()]
    assert {row["method"] for row in rows} == {"ours", "none"} and {row["lag"] for row in rows} == {-1, 0, 1}
    assert len({row["kind"] for row in rows}) >= 5
    summary = json.loads((done / "summary.json").read_text())
    assert summary["figures"]["none"]["final_average"]["mean"] == 0.0
    assert any("1 seed" in warning for warning in summary["warnings"])
    environment = json.loads((done / "environment.json").read_text())
    assert environment["hashes"]["streams"].keys() == {"0"} and environment["runs"][0]["versions"]["torch"]
    assert sorted(path.name for path in (done / "figures").glob("retention.*")) == ["retention.pdf", "retention.png"]


def test_a_study_that_was_killed_goes_on_and_ends_with_the_same_bytes(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    command = [sys.executable, "-m", "agent.cli", "study", "run", str(done.parent / "two.toml"), "--out", str(out)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    items = out / "parts" / "seed-0" / "ours" / "items.jsonl"
    while not items.is_file():
        assert process.poll() is None, "it ended before its first update"
        time.sleep(0.02)
    with MemoryLog(f"sqlite:///{items.parent / 'memory' / 'log.sqlite3'}") as log:
        while log.count_by_state("default")[ExperienceState.LEASED] == 0:  # into the second update's batch
            assert process.poll() is None, "it ended before its second update"
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert log.head("default").number == 1
    assert ("ours", 0) in StudyFolder.open(out).unfinished()
    assert main(["study", "resume", str(out), "--plain"]) == 0
    assert not StudyFolder.open(out).unfinished()
    for name in DETERMINED:
        assert (out / name).read_bytes() == (done / name).read_bytes(), name
    assert len(json.loads((out / "environment.json").read_text())["runs"]) == 2


def test_two_studies_are_compared_seed_by_seed(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "compare", str(done), "--method", "none", "--with", "ours", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["drift_nats"]["first"] == 0.0 < found["drift_nats"]["change"] == found["drift_nats"]["second"]
    assert main(["study", "compare", str(done)]) == 2
    assert "cannot be compared with itself" in capsys.readouterr().err


def test_a_study_is_taken_up_with_what_it_was_begun_with(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(done, tmp_path / "other"))
    shutil.rmtree(other / "parts" / "seed-0" / "none")
    changes = (
        ("near_misses = 4", "near_misses = 6", "settings and streams"),
        ("num_steps = 2", "num_steps = 3", "settings"),
    )
    for old, new, said in changes:
        text = (done / "study.toml").read_text()
        assert old in text
        (other / "study.toml").write_text(text.replace(old, new))
        assert main(["study", "resume", str(other)]) == 2
        assert f"begun with other {said}" in capsys.readouterr().err
    assert main(["study", "run", str(done.parent / "two.toml"), "--out", str(done)]) == 2
    assert "study resume" in capsys.readouterr().err


def test_tensorboard_gets_the_curves_where_it_is_installed(done: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    assert main(["study", "report", str(done), "--tensorboard", str(tmp_path / "tb")]) == 0
    assert list((tmp_path / "tb" / "ours" / "seed-0").glob("events.*"))


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look at the page with")
def test_the_page_shows_every_picture_and_complains_of_nothing(done: Path, tmp_path: Path) -> None:
    page = (done / "report.html").read_text()
    looked_at = tmp_path / "report.html"
    looked_at.write_text(page.replace("</body>", LOOK))
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'chromium'}", "--dump-dom", looked_at.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert 'data-seen="[true,true,true,true]"' in shown.stdout
    assert "CONSOLE" not in shown.stderr, shown.stderr
    assert "http://" not in page and "https://" not in page, "it needs no network"
