"""Many writers of one process, one commit: whoever comes while a transaction is under way goes into the next one.

Knows turns, and whose result is whose. Refuses to know what is written.
"""

import copy
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from memory_log.errors import OutcomeUnknown

Request = TypeVar("Request")
Result = TypeVar("Result")


class _Waiting(Generic[Request, Result]):
    """One request, and what became of it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.result: Result | None = None
        self.error: Exception | None = None
        self.is_done = False


class GroupCommit(Generic[Request, Result]):
    """Gathers requests of several threads into one call. There is no thread of its own, and nobody waits for company.

    A writer that finds nobody at work leads: it takes all that wait, its own request among them. Those that come
    meanwhile wait for it, and one of them leads next.

    Args:
        write: makes one transaction of several requests; a result, or the error of that request alone, for each. What
            it raises is the error of all.
        most: requests of one transaction.

    Example:
        appends = GroupCommit(write)
        appended = appends.submit(news)
    """

    def __init__(
        self, write: Callable[[Sequence[Request]], Sequence[Result | Exception]], *, most: int = 1000
    ) -> None:
        self._write = write
        self._most = most
        self._waiting: deque[_Waiting[Request, Result]] = deque()
        self._turn = threading.Lock()

    def submit(self, request: Request) -> Result:
        """The result of this request, once it is written. Raises what became of it otherwise."""
        mine: _Waiting[Request, Result] = _Waiting(request)
        self._waiting.append(mine)
        with self._turn:
            while not mine.is_done:
                self._lead([self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))])
        if mine.error is not None:
            # Each thread raises an error of its own: a traceback grows where it is raised.
            raise copy.copy(mine.error) from mine.error
        assert mine.result is not None
        return mine.result

    def _lead(self, group: Sequence[_Waiting[Request, Result]]) -> None:
        try:
            for waiting, result in zip(group, self._write([one.request for one in group]), strict=True):
                if isinstance(result, Exception):
                    waiting.error = result
                else:
                    waiting.result = result
        except Exception as error:  # noqa: BLE001 - every writer raises it
            for waiting in group:
                waiting.error = error
        except BaseException:
            for waiting in group:  # the leader was interrupted, perhaps while it committed
                waiting.error = OutcomeUnknown()
            raise
        finally:
            for waiting in group:
                waiting.is_done = True
