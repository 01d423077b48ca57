"""`selfparam serve` as a user starts it: told over HTTP, learned, answered, killed, started again."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import openai

from tests.cli_fixtures import command

MUG = "I put the red mug in the kitchen drawer."
RIGHT = "the red mug is in the kitchen drawer"
WAIT_SECONDS = 500


class Served(NamedTuple):
    """A running service."""

    process: "subprocess.Popen[str]"
    client: openai.OpenAI
    lines: list[str]


@contextmanager
def _serving(home: Path, *arguments: str) -> Iterator[Served]:
    process = subprocess.Popen(
        command(home, "serve", "--port", "0", *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=home.parent,
    )  # fmt: skip
    assert process.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda stream: lines.extend(stream), args=(process.stdout,))
    reader.start()
    try:
        _wait_until(lambda: any("http://" in line for line in lines) or process.poll() is not None)
        found = re.search(r"http://\S+", "".join(lines))
        assert found, "".join(lines)
        with openai.OpenAI(base_url=found.group(), api_key="none", max_retries=0) as client:
            yield Served(process, client, lines)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)
        reader.join()
        process.stdout.close()


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.1)


def _ask(served: Served, model: str = "default") -> tuple[str, str]:
    answer = served.client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Where can I find the red mug?"}]
    )
    return answer.model, answer.choices[0].message.content or ""


def _children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_what_a_client_says_is_learned_and_survives_kills_and_a_restart(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with _serving(home, "--batch", "1", "--max-wait", "0") as served:
        assert _ask(served) == ("default@0", "the red mug is somewhere unknown")
        (learner,) = _children_of(served.process.pid)
        said = served.client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": MUG}], store=True
        )
        assert said.model == "default@0"
        _wait_until(lambda: any("writing sentences" in line for line in served.lines))
        os.kill(learner, signal.SIGKILL)  # in the middle of the update
        assert _ask(served) == ("default@0", "the red mug is somewhere unknown")
        _wait_until(lambda: _ask(served)[0] == "default@1")
        assert _ask(served) == ("default@1", RIGHT)
        assert _ask(served, "default@0") == ("default@0", "the red mug is somewhere unknown")
        (again,) = _children_of(served.process.pid)
        assert again != learner
    assert served.process.returncode == 0, "".join(served.lines)
    _wait_until(lambda: not Path(f"/proc/{again}").exists())

    with _serving(home, "--no-learn") as served:
        assert _children_of(served.process.pid) == []
        assert _ask(served) == ("default@1", RIGHT)
        served.process.kill()


def test_what_cannot_be_served_says_why(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def refused(*arguments: str) -> str:
        ended = subprocess.run(
            command(home, *arguments), capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path
        )
        assert ended.returncode == 2, ended.stderr
        return ended.stderr

    assert "keys add NAME" in refused("serve", "--host", "0.0.0.0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "choose another with --port" in refused("serve", "--port", str(taken.getsockname()[1]))
    assert "there is no key" in refused("keys", "remove", "nobody")
