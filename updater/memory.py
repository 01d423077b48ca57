"""Work that does not fit into memory at once, done in smaller pieces.

Knows: how libraries say that memory is out, and the largest piece that has fitted a model. Refuses to know: what is
computed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from memory_log.errors import OutOfMemory

Item = TypeVar("Item")
Result = TypeVar("Result")

# What torch and its libraries say in a bare RuntimeError; on CPUs there is no type of its own. oneDNN does not tell a
# product that it has no room for from one that it does not know, and it knows all of ours.
_SIGNS: Final = (
    "DefaultCPUAllocator", "std::bad_alloc", "could not create a primitive", "could not create a memory",
    "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
)  # fmt: skip

_WAY_OUT: Final = (
    "nothing is lost, and what served serves on: free some memory, choose a smaller model, or another --device"
)

# By model and kind of work. It lives as long as the model, so that the next step and the next update begin with what
# fitted.
_largest: WeakKeyDictionary[nn.Module, dict[str, int]] = WeakKeyDictionary()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, torch or a library below it says that memory is out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def largest_piece(model: nn.Module, work: str, most: int) -> int:
    """The number of sentences to try at once: `most`, or fewer where that many did not fit this model before."""
    return max(1, min(most, _largest.get(model, {}).get(work, most)))


def halving(attempt: Callable[[int], Result], *, most: int, model: nn.Module, work: str) -> Result:
    """What `attempt(size)` returns, for the largest size that fits: `most`, else half of it, and so on down to 1.

    Args:
        attempt: does the work with at most `size` sentences at once; it may be called again after it ran out of memory,
            and undoes then what it had begun.
        most: the size to start with, unless less is known to fit.
        model: whose memory it is; what fitted is remembered with it.
        work: what is done, as a message says it; one name has one memory.

    Raises:
        OutOfMemory: not even one sentence fits.
    """
    while True:
        size = largest_piece(model, work, most)
        try:
            return attempt(size)
        except (MemoryError, RuntimeError) as exc:
            if not is_out_of_memory(exc):
                raise
            said = _first_line(exc)
        # Here the traceback is gone, and with it the tensors of the attempt that failed.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if size == 1:
            raise OutOfMemory(f"memory is out in {work}, even with one sentence at a time ({said}); {_WAY_OUT}")
        _largest.setdefault(model, {})[work] = size // 2


def in_pieces(
    items: Sequence[Item], do: Callable[[Sequence[Item]], Result], *, most: int, model: nn.Module, work: str
) -> Iterator[tuple[Sequence[Item], Result]]:
    """Consecutive pieces of the items, each with what `do` made of it; none is larger than fits.

    Raises:
        OutOfMemory: see `halving`.
    """
    start = 0
    while start < len(items):

        def attempt(size: int, start: int = start) -> tuple[Sequence[Item], Result]:
            piece = items[start : start + size]
            return piece, do(piece)

        piece, result = halving(attempt, most=most, model=model, work=work)
        yield piece, result
        start += len(piece)


@contextmanager
def naming_out_of_memory(work: str) -> Iterator[None]:
    """Whatever says in the body that memory is out leaves it as `OutOfMemory`, with the way out.

    Args:
        work: what is done, as the message says it.
    """
    try:
        yield
    except OutOfMemory:
        raise
    except (MemoryError, RuntimeError) as exc:
        if not is_out_of_memory(exc):
            raise
        raise OutOfMemory(f"memory is out in {work} ({_first_line(exc)}); {_WAY_OUT}") from exc


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
