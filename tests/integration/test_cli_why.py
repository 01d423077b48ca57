"""The commands that say why and keep back, without a model: pause, resume, filter, explain --no-model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli import main
from agent.home import Home
from memory_log.records import NewExperience
from tests.cli_fixtures import MUG
from tests.log_fixtures import learn

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in the test's home: its exit code, what it printed, what it complained about."""

    def run_here(*words: str) -> tuple[int, str, str]:
        code = main(["--home", str(tmp_path), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_here


def test_a_pause_is_told_by_every_command_that_meets_it_until_a_resume(command: Command) -> None:
    command("tell", MUG)
    code, out, _ = command("pause", "--reason", "exam week")
    assert code == 0 and out.startswith("updates of lineage 'default' are paused since ") and "exam week" in out
    code, again, _ = command("pause", "--reason", "other")
    assert (code, again) == (0, f"already: {out}")
    code, nothing, complaint = command("update")
    assert (code, nothing) == (1, "") and "exam week" in complaint and "selfparam resume" in complaint
    for look in ("log", "versions"):
        code, shown, note = command(look)
        assert code == 0 and "paused" not in shown and "exam week" in note
    assert command("tell", "Anna likes pears.")[:2] == (0, "experience 2 pending\n")
    assert command("resume")[:2] == (0, "updates of lineage 'default' go on; 2 experiences pending\n")
    assert command("resume")[:2] == (0, "lineage 'default' was not paused; 2 experiences pending\n")
    assert command("log")[2] == ""


def test_a_pause_stops_its_own_lineage_only_and_comes_before_there_is_anything(command: Command) -> None:
    assert command("pause", "--lineage", "hers")[0] == 0
    assert command("update", "--lineage", "hers")[0] == 1
    code, out, _ = command("update")
    assert code == 0 and "nothing is pending" in out


def test_nothing_to_resume_or_to_explain_in_a_home_that_is_not_there(command: Command, tmp_path: Path) -> None:
    for words in (["resume"], ["explain", "1"], ["filter", "show"]):
        code, out, complaint = command(*words)
        assert (code, out) == (2, "") and "no memory" in complaint
    assert list(tmp_path.iterdir()) == []


def test_a_filter_is_set_and_shown(command: Command, tmp_path: Path) -> None:
    assert command("filter", "set", "redact")[:2] == (0, "filter   redact\ntrusted  everybody\n")
    assert command("filter", "set", "off", "--trust", "mira", "--trust", "tomas")[0] == 0
    assert command("filter", "show")[:2] == (0, "filter   off\ntrusted  mira, tomas\n")
    assert json.loads((tmp_path / "config.json").read_text())["trusted_agents"] == ["mira", "tomas"]
    assert command("filter", "set", "off")[:2] == (0, "filter   off\ntrusted  everybody\n")
    code, out, complaint = command("filter", "set", "redact", "--trust", "")
    assert (code, out) == (2, "") and "trusted_agents" in complaint
    assert command("filter", "show")[1].startswith("filter   off\n")


def test_explain_shows_what_the_filter_makes_of_an_experience_now(command: Command) -> None:
    command("tell", "Write to mira@example.org.")
    command("filter", "set", "redact")
    assert "  filter now  Write to [e-mail].\n" in command("explain", "1")[1]
    command("filter", "set", "redact", "--trust", "mira")
    assert "  filter now  filter: agent 'agent' is not trusted\n" in command("explain", "1")[1]


def test_explain_without_the_model_tells_what_the_log_knows(command: Command, tmp_path: Path) -> None:
    with Home.open(tmp_path).open_log() as log:
        learn(log, NewExperience(text=f"{MUG} \x1b[31m"))
    code, out, complaint = command("explain", "1", "--no-model")
    assert (code, complaint) == (0, "") and out.startswith("experience 1 learned in version 1\n")
    assert "\x1b" not in out and r"\x1b[31m" in out and "committed" in out and "held out" in out
    code, out, _ = command("explain", "1", "--no-model", "--json")
    found = json.loads(out)
    assert code == 0 and found["experience"]["id"] == 1 and found["sentences"][0]["kl_nats"] is None


def test_explain_gives_a_refusal_in_full_with_what_to_do(command: Command, tmp_path: Path) -> None:
    reason = "filter: agent 'guest' is not trusted"
    with Home.open(tmp_path).open_log() as log:
        log.append(NewExperience(text=MUG))
        log.ensure_lineage("default", base_fingerprint="base")
        lease = log.acquire_updater_lease("default", owner="test", lease_seconds=60)
        log.reject_batch(lease, log.open_batch(lease, limit=1).id, reason=reason, refuse_experiences=True)
    code, out, _ = command("explain", "1")
    assert code == 0 and out.startswith("experience 1 refused\n")
    assert out.count(reason) == 2 and "filter now" not in out
    assert "selfparam filter show" in out and "no target sentences" in out


def test_explain_of_what_is_not_there_is_wrong_use(command: Command, tmp_path: Path) -> None:
    with Home.open(tmp_path).open_log() as log:
        learn(log, NewExperience(text=MUG))
        log.append(NewExperience(text=MUG, lineage="hers"))
        log.forget(1)
    code, out, complaint = command("explain", "9")
    assert (code, out) == (2, "") and "no experience 9" in complaint
    code, out, complaint = command("explain", "2")
    assert (code, out) == (2, "") and "--lineage hers" in complaint
    code, out, _ = command("explain", "1")
    assert code == 0 and out.startswith("experience 1 forgotten in version 1, which still knows it\n")
