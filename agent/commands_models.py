"""What `selfparam check-model` does and prints: one model measured, in words and figures.

Knows the look of a model's check. Refuses to know how anything is measured.
"""

import json
from typing import TYPE_CHECKING

from agent.cli_display import UpdateProgress, print_table
from agent.commands import Options
from agent.seed_model import WEIGHTS_FOLDER

if TYPE_CHECKING:
    from agent.model_check import ModelCheck, TrialUpdate

HEADINGS = ("", "measured", "verdict")


def check_model(options: Options) -> int:
    """Measure a model and print what it can do; 1 where it cannot be used."""
    from agent import model_check
    from agent.memory import choose_device
    from updater.language_model import load_language_model, quiet_transformers

    with UpdateProgress(is_plain=options.is_plain) as progress:
        progress("loading the model", 0, 0)
        quiet_transformers()
        source = options.checked_model or options.model or str(WEIGHTS_FOLDER)
        base = load_language_model(source, device=choose_device(options.device))
        check = model_check.check_model(base, with_updates=not options.is_without_updates, progress=progress)
    if options.is_json:
        verdicts = {line.name: line.verdict for line in model_check.lines_of(check)}
        print(json.dumps({**check.model_dump(), "verdicts": verdicts, "usable": check.is_usable}))
    else:
        _print_check(check)
    return 0 if check.is_usable else 1


def _print_check(check: "ModelCheck") -> None:
    from agent.model_check import lines_of

    print(f"{check.model}")
    prompt = "chat template" if check.has_chat_template else "plain prompt"
    length = "no limit named" if check.context_length is None else f"reads {check.context_length} tokens"
    print(f"{check.architecture}, {check.num_parameters:,} parameters, {prompt}, {length}\n")
    print_table(HEADINGS, [(line.words, line.measured, line.verdict) for line in lines_of(check)])
    if check.trials:
        print()
    for trial in check.trials:
        print(_trial_line(trial))
    print(f"\n{_conclusion(check)}")


def _trial_line(trial: "TrialUpdate") -> str:
    if trial.refused is not None:
        return f"learning rate {trial.learning_rate:g}: refused in {trial.seconds:.1f} s: {trial.refused}"
    return (
        f"learning rate {trial.learning_rate:g}: "
        f"KL {trial.kl_before_nats:.2f} -> {trial.kl_after_nats:.2f} nats a token, efficacy {trial.efficacy:.2f}, "
        f"recalled {trial.recalled:.2f}, drift {trial.drift_nats:.3f}, reads {trial.reads_after:.2f}, "
        f"{trial.num_steps} steps, {trial.seconds:.1f} s"
    )


def _conclusion(check: "ModelCheck") -> str:
    if not check.is_usable:
        return "cannot be used: an update learns what the model reads in its notes and asks about; use another model"
    if not check.settings:
        return "can be used, as far as it was asked; for settings, leave --without-updates out"
    fields = ", ".join(f"{name}={value:g}" for name, value in check.settings.items())
    is_embedded = check.model == str(WEIGHTS_FOLDER)
    model = "" if is_embedded else f", model={check.model!r}"
    return (
        "can be used; of the learning rates tried, this one suited it best:\n"
        "  from agent.memory import AgentMemory\n"
        "  from updater.settings import UpdateSettings\n"
        f"  memory = AgentMemory.open(HOME{model}, settings=UpdateSettings({fields}))"
    )
