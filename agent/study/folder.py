"""A study's folder: what was asked for, under which circumstances, and all that came of it. It is complete on its own,
but for a file that experiences are read from.

Knows: which files lie where, and that a study is taken up with what it was begun with. Refuses to know: methods,
figures.

    study.toml         the configuration
    environment.json   versions, commit, hardware; the model's and the streams' hashes
    parts/             of every seed and method: its finished updates (items.jsonl), and the memory of what trains
    items.jsonl        every single probe: the ground truth of everything below
    matrix.csv, summary.json, summary.csv, table.tex, figures/, report.html
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from agent.circumstances import current_commit, describe_hardware, installed_versions, utc_now
from agent.study.config import StudyConfig, as_toml, read_config
from agent.study.lines import ITEMS_FILE, locked
from agent.study.running import finished_lines
from agent.study.scores import Outcome
from memory_log.disk import naming_a_full_disk
from memory_log.errors import BadInput
from memory_log.files import check_is_new, new_file

Part = tuple[str, int]
"""A method and a seed."""


class StudyFolder:
    """One study's folder. `create` begins one, `open` takes one up.

    Attributes:
        path: the folder.
        config: what the study is made of.
    """

    def __init__(self, path: Path, config: StudyConfig) -> None:
        self.path, self.config = path, config
        self._counted: dict[Part, tuple[int, int]] = {}

    @classmethod
    def create(cls, path: Path, config: StudyConfig) -> Self:
        """A new folder with the configuration in it.

        Raises:
            BadInput: the folder holds something already.
        """
        if path.is_dir() and (path / "study.toml").is_file():
            raise BadInput(f"{path} holds a study already; go on with it by: selfparam study resume {path}")
        check_is_new(path)
        with naming_a_full_disk(path):
            path.mkdir(parents=True, exist_ok=True)
        write_whole(path / "study.toml", as_toml(config))
        return cls(path, config)

    @classmethod
    def open(cls, path: Path) -> Self:
        """A folder that `create` made.

        Raises:
            BadInput: it is none.
        """
        if not (path / "study.toml").is_file():
            raise BadInput(f"{path} holds no study (no study.toml); begin one with: selfparam study run FILE")
        return cls(path, read_config(path / "study.toml"))

    @property
    def parts(self) -> list[Part]:
        """Every method of every seed, seed by seed."""
        return [(method, seed) for seed in self.config.seeds for method in self.config.methods]

    def part(self, method: str, seed: int) -> Path:
        """The folder of one method and seed."""
        return self.path / "parts" / f"seed-{seed}" / method

    def num_finished(self, method: str, seed: int) -> int:
        """How many updates of a part have ended; asked often, it reads what was added only."""
        path = self.part(method, seed) / ITEMS_FILE
        if not path.is_file():
            return 0
        num_bytes, num_lines = self._counted.get((method, seed), (0, 0))
        with path.open("rb") as file:
            file.seek(num_bytes)
            added = file.read()
        whole = added.rfind(b"\n") + 1
        self._counted[method, seed] = num_bytes + whole, num_lines + added[:whole].count(b"\n")
        return self._counted[method, seed][1]

    def unfinished(self) -> list[Part]:
        """The parts that have updates left to make."""
        return [part for part in self.parts if self.num_finished(*part) < self.config.num_lines(part[0])]

    def outcomes(self) -> dict[str, dict[int, Outcome]]:
        """By method and seed, the updates that have ended; parts with none are left out.

        Raises:
            BadInput: a line is damaged.
        """
        found: dict[str, dict[int, Outcome]] = {}
        for method, seed in self.parts:
            lines = finished_lines(self.part(method, seed) / ITEMS_FILE)
            if lines:
                found.setdefault(method, {})[seed] = Outcome(lines, fresh=False)
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the study for this process.

        Raises:
            BadInput: another process holds it.
        """
        with locked(self.path):
            yield

    # ------------------------------------------------------------------------------------------------ circumstances

    @property
    def environment(self) -> dict[str, Any]:
        """What `settle` wrote down; empty before."""
        path = self.path / "environment.json"
        if not path.is_file():
            return {}
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as exc:
            raise BadInput(f"{path} is damaged ({exc}); put it back, or begin a new study in another folder") from exc
        return found

    def settle(self, *, model_fingerprint: str) -> None:
        """Write down under which circumstances the study runs, or that it went on under these.

        Args:
            model_fingerprint: hash of theta_0.

        Raises:
            BadInput: the study was begun with another model or other experiences.
        """
        now = {
            "date": utc_now().isoformat(timespec="seconds"),
            "commit": current_commit(Path(__file__).parent),
            "hardware": describe_hardware(),
            "versions": installed_versions(),
        }
        made_of = {
            "model": model_fingerprint,
            "settings": _hash_of(_what_counts(self.config)),
            "streams": {str(seed): _hash_of(self.config.stream(seed).model_dump_json()) for seed in self.config.seeds},
        }
        before = self.environment
        if before:
            differing = [name for name in made_of if before["hashes"].get(name, made_of[name]) != made_of[name]]
            if differing:
                raise BadInput(
                    f"{self.path} was begun with other {' and '.join(differing)} (their hashes differ); put back what "
                    "it was begun with, or begin a new study in another folder"
                )
        runs = [*before.get("runs", []), now]
        write_whole(self.path / "environment.json", json.dumps({"hashes": made_of, "runs": runs}, indent=2) + "\n")


def _what_counts(config: StudyConfig) -> str:
    """All that a part's results depend on; methods and seeds may be added to a study later."""
    return config.model_dump_json(exclude={"name", "methods", "seeds"})


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_whole(path: Path, text: str) -> None:
    """A file with new content, never half of it, and on disk when this returns."""
    with new_file(path, replaces=True) as file:
        file.write(text.encode())
