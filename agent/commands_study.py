"""What `selfparam study` does: begin a study, run it, go on with it, show and compare what came of it.

Knows: options, the screen, and in which order the parts of a study are called. Refuses to know: methods and figures.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.cli_display import count, print_table
from agent.commands import Options
from memory_log.errors import BadInput
from memory_log.files import new_file

if TYPE_CHECKING:
    from agent.study.folder import StudyFolder
    from agent.study.summary import Summary

SHOWN: Final = (
    "efficacy", "final_average", "backward_transfer", "changed_facts", "false_recall", "drift_nats",
    "seconds_per_update",
)  # fmt: skip


def init(options: Options) -> int:
    """Write a study's file, with a comment over every part."""
    from agent.study.config import StudyConfig, as_toml

    path = Path(options.file)
    with new_file(path) as file:
        file.write(as_toml(StudyConfig(name=path.stem)).encode())
    print(f"wrote {path}; change what you like, then: selfparam study run {path}")
    return 0


def run(options: Options) -> int:
    """Begin a study in a new folder and run it to its end."""
    from agent.study.config import read_config
    from agent.study.contestants import check_installed
    from agent.study.folder import StudyFolder
    from agent.study.parts import base_of

    path = Path(options.file)
    config = read_config(path)
    # What cannot work is better known before the folder is made.
    config.stream(config.seeds[0])
    check_installed(config.methods)
    fingerprint = base_of(config).fingerprint
    folder = StudyFolder.create(Path(options.out or path.with_suffix("")), config)
    return _run_to_end(folder, options, fingerprint)


def resume(options: Options) -> int:
    """Go on with a study after its last finished updates."""
    from agent.study.folder import StudyFolder

    return _run_to_end(StudyFolder.open(Path(options.folder)), options)


def report(options: Options) -> int:
    """Write everything that follows from the finished updates anew."""
    from agent.study.folder import StudyFolder
    from agent.study.results import write_results

    folder = StudyFolder.open(Path(options.folder))
    with folder.held():
        _show(folder, write_results(folder))
    if options.tensorboard is not None:
        from agent.study.tensorboard import write_scalars

        write_scalars(folder.outcomes(), Path(options.tensorboard))
        print(f"TensorBoard's files are in {options.tensorboard}: tensorboard --logdir {options.tensorboard}")
    return 0


def compare(options: Options) -> int:
    """Print by how much two studies, or two methods of one, differ."""
    from agent.study.compare import as_json
    from agent.study.compare import compare as differences_of
    from agent.study.folder import StudyFolder

    first = StudyFolder.open(Path(options.folder))
    second = StudyFolder.open(Path(options.other_folder or options.folder))
    if options.other_folder is None and options.other_method in (None, options.method):
        raise BadInput("a method cannot be compared with itself; name a second folder, or another method with --with")
    found = differences_of(first, second, options.method, other=options.other_method)
    if options.is_json:
        print(json.dumps(as_json(found)))
        return 0
    rows = [
        (
            one.figure, _number(one.first.mean), _number(one.second.mean), f"{one.change.mean:+.4g}",
            f"{one.change.low:+.4g} to {one.change.high:+.4g}" if len(one.change.values) > 1 else "one seed",
            "*" if one.is_clear else "",
        )
        for one in found
    ]  # fmt: skip
    print_table(("figure", "first", "second", "change", "95% interval", ""), rows)
    return 0


def _run_to_end(folder: "StudyFolder", options: Options, fingerprint: str | None = None) -> int:
    """`fingerprint` is theta_0's, where it has been loaded already."""
    from agent.study.parts import base_of
    from agent.study.pool import run_parts
    from agent.study.results import write_results

    with folder.held():
        parts = folder.unfinished()
        try:
            if parts:
                folder.settle(model_fingerprint=fingerprint or base_of(folder.config).fingerprint)
                with _Bar(folder, is_plain=options.is_plain) as bar:
                    run_parts(folder, parts, jobs=options.jobs, look=bar.look)
        except KeyboardInterrupt:
            print(f"\nstopped; go on with: selfparam study resume {folder.path}", file=sys.stderr)
            raise
        _show(folder, write_results(folder))
    return 0


class _Bar:
    """How many updates have ended, with the time left; in plain form a line for each."""

    def __init__(self, folder: "StudyFolder", *, is_plain: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._folder, self._is_plain = folder, is_plain or not sys.stderr.isatty()
        self._total = sum(folder.config.num_lines(method) for method, _ in folder.parts)
        self._num_shown = self._num_finished()
        columns = (
            TextColumn("updates"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"),
            TimeRemainingColumn(), TextColumn("{task.description}"),
        )  # fmt: skip
        # Updates are few and long: the time left is judged by the last hour.
        self._progress = Progress(*columns, console=Console(stderr=True), speed_estimate_period=3600.0)
        self._task = self._progress.add_task("", total=self._total, completed=self._num_shown)

    def _num_finished(self) -> int:
        return sum(self._folder.num_finished(*part) for part in self._folder.parts)

    def look(self) -> None:
        """Show what has ended by now."""
        finished = self._num_finished()
        if self._is_plain and finished > self._num_shown:
            print(f"{finished} of {self._total} updates", file=sys.stderr, flush=True)
        self._num_shown = finished
        if not self._is_plain:
            open_parts = [f"{method}/{seed}" for method, seed in self._folder.unfinished()[:2]]
            self._progress.update(self._task, completed=finished, description=" ".join(open_parts))

    def __enter__(self) -> "_Bar":
        if not self._is_plain:
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._is_plain:
            self._progress.stop()


def _show(folder: "StudyFolder", summary: "Summary") -> None:
    rows = []
    for method, figures in summary.figures.items():
        known = {**figures, **summary.costs[method]}
        rows.append((method, *(_number(known[name].mean) if name in known else "-" for name in SHOWN)))
    print_table(("method", *(name.replace("_", " ") for name in SHOWN)), rows)
    for warning in summary.warnings:
        print(f"note: {warning}")
    print(f"{count(len(rows), 'method')}; read {folder.path / 'report.html'}")


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.0f}"
