"""What `selfparam learn` does: an update worker in the foreground, without Ray.

Knows: how one worker of a home and lineage is kept from being two, and how it is stopped. Refuses to know: updates.
"""

import fcntl
import hashlib
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.cli_display import UpdateProgress, count
from agent.commands import Options
from memory_log.errors import LineageBusy

if TYPE_CHECKING:  # loading torch takes seconds, which `--help` need not wait for
    from agent.worker import UpdateWorker

GLANCE_SECONDS: Final = 0.25


def learn(options: Options) -> int:
    """Learn experiences as they come, until stopped; print what came of each update."""
    from agent.commands_settings import chosen_settings
    from agent.due import Schedule
    from agent.home import Home
    from agent.memory import AgentMemory
    from agent.worker import UpdateWorker

    home = Home.open(options.home, model=options.model)
    schedule = Schedule(
        batch_size=options.batch_size, max_wait_seconds=options.max_wait_seconds, surprise_nats=options.surprise_nats,
        order=options.order,
    )  # fmt: skip
    with only_learner(home.path, options.lineage) as owner, AgentMemory.open(
        home.path, lineage=options.lineage, device=options.device, chosen=chosen_settings(options), owner=owner
    ) as memory:
        worker = UpdateWorker(
            memory.updater, options.lineage, schedule,
            announce=lambda number: _say(f"version {number} is the newest of lineage {options.lineage!r}"),
        )  # fmt: skip
        _stop_at_signals(worker)
        if options.is_until_eof:
            threading.Thread(target=_stop_at_eof, args=(worker,), daemon=True).start()
        size = count(options.batch_size, "experience")
        _say(f"learning lineage {options.lineage!r} of {home.path}, {size} at a time")
        running = threading.Thread(target=worker.run, name="learner")
        running.start()
        try:
            _watch(worker, running, is_plain=options.is_plain)
        finally:
            worker.stop()
            running.join()
    return 0


def _watch(worker: "UpdateWorker", running: threading.Thread, *, is_plain: bool) -> None:
    shown: datetime | None = None
    error: str | None = None
    while running.is_alive():
        status = worker.status()
        if status.is_updating:
            with UpdateProgress(is_plain=is_plain) as progress:
                while running.is_alive() and (status := worker.status()).is_updating:
                    progress(status.stage, status.num_done, status.num_total)
                    running.join(GLANCE_SECONDS)
        for outcome in [one for one in status.outcomes if shown is None or one.started_at > shown]:
            report = outcome.report
            version = f"version {report.version}" if report.admitted else "no new version"
            told = f"{version} after {count(report.num_experiences, 'experience')}, {report.num_refused} refused"
            _say(f"{told}, {outcome.update_seconds:.0f} s" + (f": {report.reason}" if report.reason else ""))
            shown = outcome.started_at
        if status.last_error != error:
            error = status.last_error
            if error is not None:
                print(f"selfparam: {error}", file=sys.stderr, flush=True)
        running.join(GLANCE_SECONDS)


def _say(line: str) -> None:
    print(line, flush=True)


def _stop_at_signals(worker: "UpdateWorker") -> None:
    """An update that runs is given up; its experiences wait, and the lease is given back."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())


def _stop_at_eof(worker: "UpdateWorker") -> None:
    """Stop when whoever started this process closes its end of the pipe, also by dying."""
    while sys.stdin.buffer.read(1):
        pass
    worker.stop()


@contextmanager
def only_learner(home: Path, lineage: str) -> Iterator[str]:
    """The owner's name under which this process holds leases: the same after a restart, and nobody else's meanwhile.

    Raises:
        LineageBusy: another process of this computer learns this lineage of this home.
    """
    with (home / f"learner-{lineage}.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LineageBusy(
                f"another process learns lineage {lineage!r} of {home} already; stop it first, or let it be"
            ) from None
        place = hashlib.sha256(str(home).encode()).hexdigest()[:8]
        yield f"{socket.gethostname()}-learner-{place}"
