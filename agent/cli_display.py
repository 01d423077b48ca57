"""How the command line shows things: tables and a progress bar on a terminal, plain lines elsewhere.

Knows rich and what a record looks like in one line. Refuses to know where records come from.
"""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from memory_log.records import Experience, ExperienceState, Pause, Version

LOG_HEADINGS = ("id", "state", "version", "time (UTC)", "text")
VERSION_FIGURES = {
    "efficacy": "efficacy",
    "false_recall": "false recall",
    "retention": "retention",
    "kl_before_nats": "KL before",
    "kl_nats": "KL after",
}
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
VERSION_HEADINGS = ("", "version", "state", "parent", *VERSION_FIGURES.values(), "made (UTC)", "")


def printable(text: str) -> str:
    """The text without anything that could command a terminal; line breaks and tabs stay."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1] for letter in text)


def count(number: int, noun: str) -> str:
    """The number with its noun: `1 experience`, `2 experiences`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(num_bytes: int) -> str:
    """A number of bytes as people read it: `512 B`, `1.5 KiB`."""
    figure, unit = float(num_bytes), 0
    while figure >= 1024 and unit < len(UNITS) - 1:
        figure, unit = figure / 1024, unit + 1
    return f"{num_bytes} B" if unit == 0 else f"{figure:.1f} {UNITS[unit]}"


def print_answer(text: str, version: int) -> None:
    """One answer with the version that gave it."""
    if sys.stdout.isatty():
        line = Text.assemble(printable(text), "   ", (f"(version {version})", "dim"))
        Console().print(line, soft_wrap=True, highlight=False)
    else:
        print(f"{printable(text)}   (version {version})")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, marked: str | None = None) -> None:
    """A table on a terminal; elsewhere the rows alone, in columns two blanks apart, nothing cut off.

    Args:
        headings: of the columns.
        rows: the cells.
        marked: a regular expression; on a terminal, what fits it in the last column stands out.
    """
    if sys.stdout.isatty():
        table = Table(*headings, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            cells = [Text(cell, overflow="fold") for cell in row]
            if marked is not None:
                cells[-1].highlight_regex(marked, "bold reverse")
            table.add_row(*cells)
        Console().print(table)
        return
    widths = [max((len(row[index]) for row in rows), default=0) for index in range(len(headings))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_pause(pause: Pause | None) -> None:
    """One line on standard error while a lineage is paused."""
    if pause is not None:
        print(f"{printable(pause.described)}; go on with: selfparam resume", file=sys.stderr)


def experience_row(experience: Experience) -> tuple[str, ...]:
    """One line of `selfparam log`."""
    text = " ".join(experience.text.split())
    if experience.state is ExperienceState.FORGOTTEN:
        text = "(forgotten)"
    if experience.reason is not None:
        text = f"{text}  [{experience.reason}]"
    learned_in = "-" if experience.learned_in is None else str(experience.learned_in)
    time = f"{experience.time:%Y-%m-%d %H:%M:%S}"
    return (str(experience.id), experience.state.value, learned_in, time, printable(text))


def version_row(version: Version, *, serves: bool) -> tuple[str, ...]:
    """One line of `selfparam versions`."""
    parent = "-" if version.parent is None else str(version.parent)
    figures = [f"{version.metrics[name]:.3f}" if name in version.metrics else "-" for name in VERSION_FIGURES]
    made = f"{version.created_at:%Y-%m-%d %H:%M:%S}"
    note = "base model" if version.parent is None else printable(version.reason or "")
    return ("*" if serves else " ", str(version.number), version.state.value, parent, *figures, made, note)


class UpdateProgress:
    """Shows how far an update is, on standard error: call it with a stage, what is done of it and its whole.

    Args:
        is_plain: one line a stage, once it is over, instead of live bars; also when standard error is no terminal.

    Example:
        with UpdateProgress(is_plain=False) as progress:
            progress("training", 3, 40)
    """

    def __init__(self, *, is_plain: bool) -> None:
        self._is_plain = is_plain or not sys.stderr.isatty()
        self._stage: str | None = None
        self._last = ""
        self._task: TaskID | None = None
        self._bars = Progress(
            TextColumn("{task.description:<24}"), BarColumn(bar_width=32), MofNCompleteColumn(), TimeElapsedColumn(),
            console=Console(stderr=True),
        )  # fmt: skip

    def __enter__(self) -> Self:
        if not self._is_plain:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_plain:
            self._end_line()
        else:
            if self._task is not None and kind is None:
                self._end_bar(self._task)
            self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take note of the progress of a stage; another stage ends the one before."""
        if self._is_plain:
            if stage != self._stage:
                self._end_line()
            self._last = f"{stage} {done}/{total}" if total > 1 else stage
        elif self._task is None or stage != self._stage:
            if self._task is not None:
                self._end_bar(self._task)
            self._task = self._bars.add_task(stage, total=total if total > 1 else None, completed=done)
        else:
            self._bars.update(self._task, completed=done, total=total if total > 1 else None)
        self._stage = stage

    def _end_bar(self, task: TaskID) -> None:
        # A stage that does not count its parts pulses until it is over.
        if self._bars.tasks[task].total is None:
            self._bars.update(task, total=1, completed=1)
        self._bars.stop_task(task)

    def _end_line(self) -> None:
        if self._last:
            print(self._last, file=sys.stderr, flush=True)
        self._last = ""
