"""What a model's figures mean: verdicts, the best of the trial updates, and the settings that follow."""

import pytest

from agent.model_check import (
    ModelCheck,
    TrialUpdate,
    best_trial,
    check_model,
    lines_of,
    share_verdict,
    suggested_settings,
    trial_verdict,
)
from tests.model_fixtures import tiny_base
from updater.settings import GateSettings, UpdateSettings

GATE = GateSettings()


def trial(rate: float, kl_after: float, *, drift: float = 0.01, reads: float = 1.0) -> TrialUpdate:
    return TrialUpdate(
        learning_rate=rate, num_steps=20, kl_before_nats=4.0, kl_after_nats=kl_after, drift_nats=drift,
        reads_after=reads,
    )  # fmt: skip


REFUSED = TrialUpdate(learning_rate=1e-3, num_steps=0, refused="no context gain")


def checked(*trials: TrialUpdate, reads: float = 1.0, asks: float = 0.3) -> ModelCheck:
    return ModelCheck(
        model="m", architecture="A", num_parameters=1, has_chat_template=False, context_length=None, num_items=20,
        reads_one_note=reads, reads_four_notes=0.5, latest_wins=0.1, asks=asks, unknown_with_notes=0.0,
        unknown_without_notes=1.0, trials=trials, settings={}, seconds=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("share", "verdict"), [(1.0, "good"), (0.8, "good"), (0.79, "weak"), (0.4, "weak"), (0.39, "cannot")]
)
def test_shares_in_words(share: float, verdict: str) -> None:
    assert share_verdict(share) == verdict


def test_the_lowest_kl_wins_among_updates_that_spare_drift_and_reading() -> None:
    slow, best = trial(1e-3, 2.0), trial(2e-3, 0.5)
    drifted, blinded = trial(4e-3, 0.1, drift=0.3), trial(8e-3, 0.1, reads=0.7)
    assert best_trial([slow, best, drifted, blinded], 1.0, GATE) == best
    assert best_trial([drifted, blinded], 0.9, GATE) == blinded
    assert best_trial([drifted, trial(8e-3, 0.1, drift=0.9)], 1.0, GATE) == drifted
    assert best_trial([REFUSED], 1.0, GATE) is None and best_trial([], 1.0, GATE) is None


def test_an_update_is_worth_what_it_moved_and_spared() -> None:
    assert trial_verdict(trial(1e-3, 1.0), 1.0, GATE) == "good"
    assert trial_verdict(trial(1e-3, 2.0), 1.0, GATE) == "weak"
    assert trial_verdict(trial(1e-3, 1.0, drift=0.3), 1.0, GATE) == "weak"
    assert trial_verdict(trial(1e-3, 3.5), 1.0, GATE) == "cannot"
    assert trial_verdict(REFUSED, 1.0, GATE) == "cannot"


def test_what_moved_too_little_gets_twice_the_steps() -> None:
    steps = UpdateSettings().num_steps
    assert suggested_settings(trial(2e-3, 0.9), 0.9) == {"learning_rate": 2e-3, "num_steps": steps}
    assert suggested_settings(trial(2e-3, 2.0), 0.9) == {"learning_rate": 2e-3, "num_steps": 2 * steps}


def test_a_model_that_asks_few_good_questions_is_asked_for_twice_as_many() -> None:
    found = UpdateSettings.model_validate(suggested_settings(trial(2e-3, 0.9), 0.3))
    assert found.questions_per_experience == 2 * UpdateSettings().questions_per_experience


def test_a_model_is_usable_when_it_reads_and_asks_and_its_updates_are_not_refused() -> None:
    assert checked().is_usable and checked(trial(1e-3, 1.0)).is_usable
    assert not checked(reads=0.3).is_usable and not checked(REFUSED).is_usable
    assert not checked(asks=0.2).is_usable


def test_every_figure_has_a_line_with_its_verdict() -> None:
    lines = {line.name: line for line in lines_of(checked(trial(1e-3, 1.0)))}
    assert {name: line.verdict for name, line in lines.items()} == {
        "reads_one_note": "good", "reads_four_notes": "weak", "latest_wins": "cannot", "asks": "weak",
        "unknown_with_notes": "cannot", "unknown_without_notes": "good", "trials": "good",
    }  # fmt: skip
    assert lines["reads_four_notes"].measured == "10 of 20" and "4.00 -> 1.00" in lines["trials"].measured
    assert lines_of(checked(REFUSED))[-1][2:] == ("refused", "cannot")
    assert "trials" not in {line.name for line in lines_of(checked())}


def test_a_model_that_reads_nothing_is_not_updated() -> None:
    stages = []
    check = check_model(tiny_base(), progress=lambda stage, done, total: stages.append(stage))
    assert not check.is_usable and check.trials == () and check.settings == {}
    assert set(stages) == {"asking"}
    assert (check.architecture, check.context_length, check.has_chat_template) == ("LlamaForCausalLM", 256, True)
