"""The embedded language model: its recipe (documents, tokenizer, training) and its shipped weights.

Knows: how the small household model is made, and where its files lie.
Refuses to know: updates, serving, the log.
"""

from pathlib import Path
from typing import Final

WEIGHTS_FOLDER: Final = Path(__file__).parent / "weights"
