"""A quick look at whether a home's model can read, once before its first update.

Knows: a handful of questions with a note each, and the file in the home that remembers what came of them. Refuses to
know: updates, displays.
"""

from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from agent.reading_check import WEAK_SHARE, num_right, reading_items
from memory_log.fields import Record
from memory_log.files import written_aside
from updater.language_model import LanguageModel

NUM_NOTES: Final = 8
FILE: Final = "reading_probe.json"


class ReadingProbe(Record):
    """How many questions a model answered from the note in its prompt. Kept in the home; deleting it is harmless.

    Example: ReadingProbe(fingerprint=base.fingerprint, num_right=8, num_asked=8)
    """

    fingerprint: str = Field(description="Of the model that was asked.")
    num_right: int
    num_asked: int

    @property
    def reads(self) -> bool:
        """Whether an update has something to learn from."""
        return self.num_right >= WEAK_SHARE * self.num_asked


def remembered_probe(home: Path, base: LanguageModel) -> ReadingProbe | None:
    """What came of this model's probe in this home; None where there was none, or its file cannot be read."""
    try:
        probe = ReadingProbe.model_validate_json((home / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return probe if probe.fingerprint == base.fingerprint else None


def probe_reading(home: Path, base: LanguageModel) -> ReadingProbe:
    """Ask the model about a few notes, in a second or two for a small one, and remember the result in the home."""
    items = reading_items(NUM_NOTES, num_notes=1, seed=0)
    probe = ReadingProbe(fingerprint=base.fingerprint, num_right=num_right(base, items), num_asked=len(items))
    # Two processes may do this at once; each writes the same.
    with written_aside(home / FILE, probe.model_dump_json() + "\n") as aside:
        aside.replace(home / FILE)
    return probe
