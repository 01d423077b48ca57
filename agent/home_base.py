"""What the base model was when a lineage first used it, kept in the home and compared at every load.

Knows: `bases/LINEAGE.json` in the home folder. Refuses to know: models; it imports no torch.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from agent.home import BASES_FOLDER
from memory_log.errors import BadInput, BaseModelChanged
from memory_log.fields import Record
from memory_log.files import write_once

WEIGHTS = "weights"


class BaseRecord(Record):
    """The base model of one lineage. Written once, by `check_base`, and read by it.

    Example: BaseRecord(model="/models/small", parts={"weights": "1f0c...", "tokenizer": "9b1d..."})
    """

    model: str = Field(description="Folder or Hugging Face id that it was loaded from.")
    parts: dict[str, str] = Field(description="A hash by the name of each part.")


def check_base(home: Path, lineage: str, source: str, parts: Mapping[str, str]) -> None:
    """Keep the parts of a base model that the lineage uses for the first time; later, check that they are the same.

    Where the home cannot be written and nothing is kept yet, there is nothing to compare with.

    Args:
        home: the home folder.
        lineage: whose base model it is.
        source: folder or Hugging Face id, as a message names it.
        parts: a hash by the name of each part.

    Raises:
        BaseModelChanged: a part differs from what was kept; the message names it.
        BadInput: what was kept cannot be read.
        DiskFull: there is no room for it.
    """
    path = home / BASES_FOLDER / f"{lineage}.json"
    if not path.exists():
        if not os.access(home, os.W_OK):
            return
        path.parent.mkdir(exist_ok=True)
        write_once(path, BaseRecord(model=source, parts=dict(parts)).model_dump_json(indent=2) + "\n")
    kept = read_base_record(path)
    changed = [name for name, value in parts.items() if kept.parts.get(name, value) != value]
    if changed:
        way_out = "" if WEIGHTS in changed else f" (if you know the change to be harmless, delete {path})"
        raise BaseModelChanged(
            f"the base model {source} has changed since lineage {lineage!r} of {home} began ({', '.join(changed)}): "
            f"what it has learned fits the former files only; put them back, or start another home with --home{way_out}"
        )


def read_base_record(path: Path) -> BaseRecord:
    """What was kept of a lineage's base model.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        return BaseRecord.model_validate(json.loads(path.read_bytes()))
    except (ValueError, ValidationError) as exc:
        raise BadInput(f"{path} is damaged; delete it if the base model is the same as before") from exc
