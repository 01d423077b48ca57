"""`selfparam learn` as a child process that is started again when it dies, and goes when its parent goes.

Knows processes. Refuses to know what the child does.
"""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from memory_log.closing import Closing

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
LONG_LIFE_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0

_LOGGER = logging.getLogger(__name__)


class LearnerProcess(Closing):
    """Keeps one child alive until closed.

    Args:
        arguments: of `selfparam`, such as ["--home", "home", "learn"].
        monotonic: seconds.
    """

    def __init__(self, arguments: Sequence[str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        # -P: the working folder, which may hold an agent.py, stays out of the child's path.
        self._command = [sys.executable, "-P", "-m", "agent.cli", *arguments]
        self._monotonic = monotonic
        self._closing = threading.Event()
        self._exchange = threading.Lock()  # no child is started behind the back of `close`
        self.error: str | None = None
        """Why no child runs, None while one does."""
        self.num_restarts = 0
        self._child = self._start()
        self._thread = threading.Thread(target=self._keep_alive, name="learner-process", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The child's process id, another one after each restart."""
        return self._child.pid

    def _start(self) -> "subprocess.Popen[bytes]":
        # The child reads its standard input to its end, which comes when this process closes it or dies.
        # A session of its own: Ctrl-C is for this process, which lets answers end before it lets the child go.
        return subprocess.Popen([*self._command], stdin=subprocess.PIPE, start_new_session=True)

    def _keep_alive(self) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            started = self._monotonic()
            code = self._child.wait()
            if self._closing.is_set():
                return
            if self._monotonic() - started > LONG_LIFE_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            self.error = f"the learning process ended with {code}; it is started again, its own output says more"
            _LOGGER.error("%s (in %.0f s)", self.error, pause_seconds)
            if self._closing.wait(pause_seconds):
                return
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            with self._exchange:
                if self._closing.is_set():
                    return
                try:
                    self._child = self._start()
                except OSError as exc:  # no memory for another process, perhaps later
                    self.error = f"the learning process cannot be started: {exc.strerror}"
                    continue
            self.error = None
            self.num_restarts += 1

    def close(self) -> None:
        """Let the child give its lease back and end; one that does not in time is killed. Idempotent."""
        with self._exchange:
            self._closing.set()
            child = self._child
        if child.stdin is not None:
            child.stdin.close()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self._thread.join()
