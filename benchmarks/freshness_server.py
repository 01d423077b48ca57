"""`selfparam serve` as a process of its own, with the learner that it starts: asked over HTTP, and weighed.

Knows: HTTP as far as this server speaks it, what the system says of a process's memory. Refuses to know figures.
"""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from memory_log.closing import Closing

END_SECONDS: Final = 120.0
ANSWER_SECONDS: Final = 300.0


class Resident(NamedTuple):
    """Bytes of memory that two processes hold."""

    server: int
    learner: int


class Served(Closing):
    """A home that is served and learned from until closed.

    Args:
        home: its folder, which may not be there yet.
        arguments: of `selfparam serve`, beside the port.
        num_threads: of the learner; the server answers with one.
        output: the file that both write to, for whoever looks.

    Raises:
        RuntimeError: it does not start.
    """

    def __init__(self, home: Path, arguments: Sequence[str], *, num_threads: int, output: Path) -> None:
        command = [sys.executable, "-P", "-m", "agent.cli", "--home", str(home), "serve", "--port", "0"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(num_threads)}
        with output.open("ab") as errors:
            self._process = subprocess.Popen(
                [*command, "--threads", "1", *arguments], stdout=subprocess.PIPE, stderr=errors, env=environment
            )
        assert self._process.stdout is not None
        first = self._process.stdout.readline().decode()
        if "http://" not in first:
            self._process.wait()
            raise RuntimeError(f"the server did not start: {first!r}; {output} says why")
        self._url = first[first.index("http://") :].strip()
        self._reader = threading.Thread(target=self._keep_output, args=(output,), daemon=True)
        self._reader.start()

    def _keep_output(self, output: Path) -> None:
        assert self._process.stdout is not None
        with output.open("ab") as file:
            for line in self._process.stdout:
                file.write(line)
                file.flush()

    def standing(self) -> dict[str, Any]:
        """What the server says of itself: `serving`, `counts`, `learner_error` and more."""
        return self._asked("/memory")

    def answer(self, question: str, *, version: int) -> str:
        """What a version answers, greedily."""
        body = {"model": f"default@{version}", "messages": [{"role": "user", "content": question}]}
        text: str = self._asked("/chat/completions", body)["choices"][0]["message"]["content"]
        return text

    def _asked(self, path: str, body: object = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._url}{path}", data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def resident(self) -> Resident:
        """What server and learner hold now; 0 for a learner that is between two lives."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return Resident(_resident(self._process.pid), sum(_resident(int(child)) for child in children))

    def close(self) -> None:
        """Let both end. Idempotent."""
        self._process.terminate()
        self._process.wait(END_SECONDS)
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _resident(pid: int) -> int:
    try:
        rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmRSS"))
