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
        self.leads = False
        # Taken from the start: whoever has news for this request's thread releases it.
        self.asleep = threading.Lock()
        self.asleep.acquire()


class GroupCommit(Generic[Request, Result]):
    """Gathers requests of several threads into one call. There is no thread of its own, and nobody waits for company.

    A writer that finds nobody at work leads: it takes all that wait, its own request among them. Those that come
    meanwhile sleep; the one that came first leads next. Each is woken by itself, so that nobody whose request is done
    has to wait for the next group's disk.

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
        self._guard = threading.Lock()
        self._waiting: deque[_Waiting[Request, Result]] = deque()
        self._is_led = False

    def submit(self, request: Request) -> Result:
        """The result of this request, once it is written. Raises what became of it otherwise."""
        mine: _Waiting[Request, Result] = _Waiting(request)
        with self._guard:
            self._waiting.append(mine)
            if not self._is_led:
                self._let_lead(mine)
        try:
            mine.asleep.acquire()
            if mine.leads:
                self._lead(mine)
        finally:
            if mine.leads or not mine.is_done:
                self._leave(mine)
        if mine.error is not None:
            # Each thread raises an error of its own: a traceback grows where it is raised.
            raise copy.copy(mine.error) from mine.error
        assert mine.result is not None
        return mine.result

    def _let_lead(self, waiting: _Waiting[Request, Result]) -> None:
        self._is_led = waiting.leads = True
        waiting.asleep.release()

    def _leave(self, mine: _Waiting[Request, Result]) -> None:
        with self._guard:
            if mine in self._waiting:  # the thread was interrupted before its request was taken
                self._waiting.remove(mine)
            if mine.leads:
                mine.leads = self._is_led = False
                if self._waiting:
                    self._let_lead(self._waiting[0])

    def _lead(self, mine: _Waiting[Request, Result]) -> None:
        with self._guard:
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
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
                if waiting is not mine:
                    waiting.asleep.release()
