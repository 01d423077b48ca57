"""What a long benchmark has measured already, in a folder, so that the same command goes on after an interruption.

Knows: one JSON file for each value, and the plan that they belong to. Refuses to know: what is measured.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memory_log.errors import BadInput


def settle_in(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write the plan down in a folder, which is made, or see that it is the one that is written there.

    Args:
        folder: of the run.
        plan: names and values as JSON gives them back.

    Raises:
        BadInput: the folder holds a run of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "plan.json"
    if not path.is_file():
        path.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise BadInput(f"{path} is no plan of a run ({exc}); choose another --work, or remove it") from exc
    differing = [name for name in plan if found.get(name) != plan[name]]
    if differing:
        said = "; ".join(f"{name} is {found.get(name)!r} there, {plan[name]!r} here" for name in differing)
        raise BadInput(f"{folder} holds a run of other settings ({said}); choose another --work, or remove it")


class Kept:
    """Values by name, each measured once.

    Args:
        folder: where they lie; it is made. None keeps nothing.
        plan: what they were measured with; values of JSON.

    Raises:
        BadInput: the folder holds a run of other settings.
    """

    def __init__(self, folder: Path | None, plan: Mapping[str, Any]) -> None:
        self._folder = folder
        if folder is not None:
            settle_in(folder, json.loads(json.dumps(plan)))

    def value(self, name: str, measure: Callable[[], Any]) -> Any:  # noqa: ANN401 - a value of JSON
        """What is kept under this name, or what is measured now, which is kept."""
        if self._folder is None:
            return json.loads(json.dumps(measure()))
        path = self._folder / f"{name}.json"
        if not path.is_file():
            beside = path.with_suffix(".part")
            beside.write_text(json.dumps(measure()), encoding="utf-8")
            beside.replace(path)
        return json.loads(path.read_text(encoding="utf-8"))
