"""What a long benchmark has measured already, in a folder, so that the same command goes on after an interruption.

Knows: one JSON file for each value, and the plan that they belong to. Refuses to know: what is measured.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memory_log.errors import BadInput


class Kept:
    """Values by name, each measured once.

    Args:
        folder: where they lie; it is made. None keeps nothing.
        plan: what they were measured with; values of JSON.

    Raises:
        BadInput: the folder holds values of another plan.
    """

    def __init__(self, folder: Path | None, plan: Mapping[str, Any]) -> None:
        self._folder = folder
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        wanted: Any = json.loads(json.dumps(plan))
        if self.value("plan", lambda: wanted) != wanted:
            raise BadInput(f"{folder} holds what was measured with other settings; choose another --work, or remove it")

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
