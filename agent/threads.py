"""How the threads of one matrix product wait for one another.

GNU's OpenMP lets a waiting thread spin, by default so long that two programs on the same cores bring each other to a
crawl, and when told to sleep at once so short that small models gain nothing from a second thread. Read when torch is
loaded, so it is set before.
"""

import os
from typing import Final

_SPIN_COUNT: Final = "20000"  # some tens of microseconds


def spin_briefly() -> None:
    """Let waiting threads spin for a moment and then sleep, unless the user has said otherwise."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)
