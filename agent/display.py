"""What a demo shows while it runs: a live screen on a terminal, one line per event elsewhere.

Knows: rich. Refuses to know: where figures come from, when a demo ends.
"""

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from agent.demo_measures import UpdateRow

QUESTIONS_SHOWN: Final = 8
EVENTS_SHOWN: Final = 6
QUEUE_STATES: Final = ("pending", "leased", "learned")  # shown at 0 too
PIPED_WIDTH: Final = 120
UPDATE_HEADINGS: Final = (
    "update", "version", "experiences", "sentences", "efficacy", "retention", "KL before", "KL after", "seconds",
    "swap ms",
)  # fmt: skip


@dataclass
class Shown:
    """What is on the screen now; written by the demo, read by the screen, guarded by the display's lock."""

    seconds: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    version: int = 0
    stage: str = ""
    num_done: int = 0
    num_total: int = 0
    num_requests: int = 0
    num_failed: int = 0
    answers: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    """Question -> answer of version 0, newest answer with its version, whether that one is right."""
    events: list[str] = field(default_factory=list)


class Display:
    """Shows a demo's state. Safe for threads.

    Args:
        plain: lines even on a terminal.
        console: where to; None is standard output.
    """

    def __init__(self, *, plain: bool, console: Console | None = None) -> None:
        # A pipe has no width of its own, and its lines are not to be broken.
        is_piped = not sys.stdout.isatty()
        width = PIPED_WIDTH if is_piped else None
        self.console = console or Console(highlight=False, width=width, soft_wrap=is_piped)
        self.is_live = not plain and self.console.is_terminal
        self._lock = threading.Lock()
        self._shown = Shown()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.is_live:
            self._live = Live(
                get_renderable=self._render, console=self.console, refresh_per_second=4, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def event(self, seconds: float, text: str) -> None:
        """Something happened: a line, or the newest line of the screen."""
        line = f"{seconds:6.1f} s  {text}"
        with self._lock:
            self._shown.events = [*self._shown.events, line][-EVENTS_SHOWN:]
        if self._live is None:
            self.console.print(escape(line))

    def show(self, **changes: object) -> None:
        """Replace fields of what is shown."""
        with self._lock:
            for name, value in changes.items():
                assert hasattr(self._shown, name), name
                setattr(self._shown, name, value)

    def answered(self, question: str, at_first: str, now: str, *, is_right: bool) -> None:
        """A question that is on show has an answer; the newest questions stay on the screen."""
        with self._lock:
            answers = {**self._shown.answers, question: (at_first, now, is_right)}
            self._shown.answers = dict(list(answers.items())[-QUESTIONS_SHOWN:])

    def _render(self) -> RenderableType:
        with self._lock:
            shown = Shown(**vars(self._shown))
        counts = shown.counts.items()
        queue = "   ".join(f"{state} {count}" for state, count in counts if count or state in QUEUE_STATES)
        work = f"{shown.stage} {shown.num_done}/{shown.num_total}" if shown.stage else "waiting"
        head = Table.grid(padding=(0, 3))
        head.add_row("experiences", escape(queue))
        head.add_row("update worker", escape(work))
        head.add_row("serving", f"version {shown.version}   {shown.num_requests} answers, {shown.num_failed} failed")
        answers = Table(expand=True, box=None, header_style="dim")
        for heading in ("asked", "at first", "now"):
            answers.add_column(heading, ratio=1, overflow="fold")
        for question, (at_first, now, is_right) in shown.answers.items():
            color = "green" if is_right else "yellow"
            answers.add_row(escape(question), f"[dim]{escape(at_first)}[/]", f"[{color}]{escape(now)}[/]")
        events = "\n".join(escape(line) for line in shown.events)
        return Panel(Group(head, "", answers, "", events), title=f"selfparam demo   {shown.seconds:.0f} s")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def updates_table(rows: Sequence[UpdateRow]) -> Table:
    """One row an update: what it learned, how well, and how long it took."""
    table = Table(caption="efficacy and retention on probes; KL in nats a token; seconds from batch stored to visible")
    for heading in UPDATE_HEADINGS:
        table.add_column(heading, justify="right")
    for row in rows:
        learned = f"{row.num_learned}" + (f" ({row.num_refused} refused)" if row.num_refused else "")
        version = "" if row.version is None else str(row.version)
        sentences, figures = "", [""] * 4
        if row.outcome is not None:
            report = row.outcome.report
            sentences = f"{report.num_sentences}"
            figures = [
                f"{report.kl_before_nats:.2f}",
                f"{report.kl_after_nats:.3f}",
                f"{row.outcome.update_seconds:.1f}",
                f"{1000 * row.outcome.swap_seconds:.0f}",
            ]
        shares = (_share(row.efficacy), _share(row.retention))
        table.add_row(str(row.update), version, learned, sentences, *shares, *figures)
    return table
