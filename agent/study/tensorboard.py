"""A study's curves for TensorBoard. Knows torch's writer. Refuses to know how figures are worked out."""

from pathlib import Path

from agent.study.scores import mean, rows_of
from agent.study.summary import Outcomes
from memory_log.errors import BadInput
from memory_log.files import check_is_new


def write_scalars(outcomes: Outcomes, folder: Path) -> None:
    """Of every method and seed a run: by update, the share right of its own questions, of all, seconds and drift.

    Raises:
        BadInput: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as exc:
        raise BadInput("--tensorboard needs TensorBoard: pip install 'selfparam[tensorboard]'") from exc
    check_is_new(folder)  # the same curves twice in a folder are drawn on top of each other
    for method, seeds in outcomes.items():
        for seed, outcome in seeds.items():
            with SummaryWriter(str(folder / method / f"seed-{seed}")) as writer:
                for line in outcome.lines:
                    rows = [row for row in rows_of(line) if row.cohort <= line.update]
                    scalars = {
                        "right/own": mean(row.right for row in rows if row.cohort == line.update),
                        "right/all_valid": mean(row.right for row in rows) if line.is_point else None,
                        "cost/seconds": line.cost.seconds,
                        "drift/nats_a_token": line.drift_nats["all"] if line.drift_nats else None,
                        "reading/kept": line.reading_kept,
                    }
                    for name, value in scalars.items():
                        if value is not None:
                            writer.add_scalar(name, value, line.update)
