"""A model server that serves whatever version a lineage's log names, in one process and without Ray.

Knows: the log's head, versions' weights, loading beside serving. Refuses to know: HTTP, who updates.
"""

import copy
import logging
import threading
import time
from collections.abc import Callable

from agent.serving import ModelServer
from memory_log.bells import Bell
from memory_log.closing import Closing
from memory_log.errors import SelfParamError, UnknownVersion
from memory_log.log import MemoryLog
from memory_log.records import Version, VersionState
from updater.fold import VersionWeights
from updater.language_model import LanguageModel

LOOK_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0

_LOGGER = logging.getLogger(__name__)


class FollowingServer(Closing):
    """Answers with the version that a lineage's head names, and takes up the next one while it answers.

    A version that cannot be loaded leaves the old one serving; `error` then says why, and loading is tried again.

    Args:
        base: theta_0, which is version 0. It belongs to the server from here on.
        log: names the head. Its bell tells of a new one at once.
        weights: folds versions.
        lineage: whose memory.
        max_batch, max_waiting, max_versions: as for `ModelServer`.
        monotonic: seconds for measuring spans.
    """

    def __init__(
        self,
        base: LanguageModel,
        log: MemoryLog,
        weights: VersionWeights,
        lineage: str,
        *,
        max_batch: int = 32,
        max_waiting: int | None = 256,
        max_versions: int = 4,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base, self.lineage = base, lineage
        self._log, self._weights, self._monotonic = log, weights, monotonic
        dialogue = base.dialogue
        # A fast tokenizer may not be changed by one thread while another uses it: the decoding thread has its own.
        self.decoder = copy.deepcopy(dialogue.tokenizer)
        self.server = ModelServer(
            base.model, eos_token_ids=dialogue.eos_token_ids, pad_token_id=dialogue.pad_token_id, max_batch=max_batch,
            max_waiting=max_waiting, max_versions=max_versions,
        )  # fmt: skip
        self._loading = threading.Lock()  # one version is read at a time: memory stays bounded
        self._stop = threading.Event()
        self.error: str | None = None
        """Why the head does not serve; None while it does."""
        self._bell = log.bell(lineage)
        try:
            self.take_up_head()
        except BaseException:
            self.server.close()
            self._bell.close()
            raise
        self._thread = threading.Thread(target=self._follow, args=(self._bell,), name="follow-the-head", daemon=True)
        self._thread.start()

    def take_up_head(self) -> int:
        """Serve what the log names now, forwards or back; its number. Does nothing where that serves already.

        Raises:
            DeltaCorrupt, DeltaMismatch: it cannot be loaded; what serves goes on serving.
        """
        with self._loading:
            number = self._log.head(self.lineage).number
            self._prepare(number)
            self.server.activate(number)
            return number

    def load(self, number: int) -> Version:
        """Make sure that an admitted version can be asked; blocks while it is read.

        Raises:
            UnknownVersion: there is no such admitted version.
        """
        version = self._log.version(self.lineage, number)
        if version.state is not VersionState.ADMITTED:
            raise UnknownVersion(f"version {number} was not admitted ({version.state.value}); ask an admitted one")
        with self._loading:
            self._prepare(number)
        return version

    def _prepare(self, number: int) -> None:
        if number not in self.server.stats().loaded_versions:
            self.server.prepare(number, self._weights.weights(self.lineage, number))

    def _follow(self, bell: Bell) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                self.take_up_head()
                self.error, pause_seconds = None, FIRST_PAUSE_SECONDS
            except Exception as exc:  # a worker's edge: what serves goes on serving
                if not isinstance(exc, SelfParamError) or self.error is None:
                    _LOGGER.exception("the head of lineage %r cannot be taken up", self.lineage)
                # The output says more; this is shown to clients, who need not know where files lie.
                self.error = str(type(exc)()) if isinstance(exc, SelfParamError) else type(exc).__name__
                self._stop.wait(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
                continue
            bell.wait(LOOK_SECONDS)

    def close(self) -> None:
        """Finish the answers that are being decoded, fail the ones that wait, and stop. Idempotent."""
        self._stop.set()
        self._bell.ring()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._bell.close()
        self.server.close()
