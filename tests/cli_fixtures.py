"""What the command line's tests share: running the real command as a user does."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
MUG = "I put the red mug in the kitchen drawer."


def command(home: Path, *arguments: str | bytes) -> list[str | bytes]:
    return [sys.executable, "-m", "agent.cli", "--home", str(home), *arguments]


def run(home: Path, *arguments: str | bytes, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run the real command to its end."""
    result = subprocess.run(
        command(home, *arguments), input=stdin, capture_output=True, cwd=REPOSITORY, timeout=240, check=False
    )
    return subprocess.CompletedProcess(
        result.args, result.returncode, result.stdout.decode(), result.stderr.decode("utf-8", "backslashreplace")
    )
