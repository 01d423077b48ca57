"""A model server that serves whatever version a lineage's log names, in one process and without Ray.

Knows: the log's head, versions' weights, loading beside serving, the two ways of a swap. Refuses to know: HTTP, who
updates.
"""

import copy
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from agent.serving import ModelServer, OverlayPending, ServerBusy
from memory_log.bells import Bell
from memory_log.closing import Closing
from memory_log.errors import DeltaCorrupt, DeltaMismatch, SelfParamError, UnknownVersion
from memory_log.log import MemoryLog
from memory_log.records import Version, VersionState
from updater.fold import VersionWeights
from updater.language_model import LanguageModel

LOOK_SECONDS = 1.0
MERGE_LOOK_SECONDS = 0.05
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0

_LOGGER = logging.getLogger(__name__)


class FollowingServer(Closing):
    """Answers with the version that a lineage's head names, and takes up the next one while it answers.

    A version that cannot be loaded leaves the old one serving; `error` then says why, and loading is tried again.

    A new version is made ready as a copy of the model, or, with `in_place`, in two phases: its factors lie beside the
    weights at once, and when the requests of the version before have ended, each layer is overwritten with its fold.
    What does not fit that (other changes than factors, a step back, the next version while old requests still hold the
    weights after `drain_seconds`) is made ready as a copy.

    Args:
        base: theta_0, which is version 0. It belongs to the server from here on.
        log: names the head. Its bell tells of a new one at once.
        weights: folds versions. With `in_place` not from the base's own tensors, which are overwritten.
        lineage: whose memory.
        in_place: whether versions follow one another in the same weights.
        drain_seconds: how long a new version waits for the one before to be merged.
        max_batch, max_waiting, max_versions: as for `ModelServer`.
    """

    def __init__(
        self,
        base: LanguageModel,
        log: MemoryLog,
        weights: VersionWeights,
        lineage: str,
        *,
        in_place: bool = False,
        drain_seconds: float = 10.0,
        max_batch: int = 32,
        max_waiting: int | None = 256,
        max_versions: int = 4,
    ) -> None:
        self.base, self.lineage = base, lineage
        self._log, self._weights = log, weights
        dialogue = base.dialogue
        # A fast tokenizer may not be changed by one thread while another uses it: the decoding thread has its own.
        self.decoder = copy.deepcopy(dialogue.tokenizer)
        self._in_place, self._drain_seconds = in_place, drain_seconds
        self._unmerged: int | None = None
        self._fold: Callable[[str], Tensor] | None = None  # of the unmerged version, once it has been verified
        first = log.head(lineage).number if in_place else 0
        if first:
            fold = self._verified_fold(first)
            with torch.no_grad():
                for name, parameter in base.model.named_parameters():
                    parameter.copy_(fold(name))
        self.server = ModelServer(
            base.model, eos_token_ids=dialogue.eos_token_ids, pad_token_id=dialogue.pad_token_id, max_batch=max_batch,
            max_waiting=max_waiting, max_versions=max_versions, version=first,
        )  # fmt: skip
        self._loading = threading.Lock()  # one version is read at a time: memory stays bounded
        self.loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        """Where `load` is called, so that those who wait for a version keep no threads from others."""
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
            if number != self.server.serving_version:
                if not self._laid_over(number):
                    self._prepare(number)
                self.server.activate(number)
            return number

    @property
    def is_merged(self) -> bool:
        """Whether what serves is in the weights, and nothing lies beside them."""
        return self._unmerged is None

    def load(self, number: int) -> Version:
        """Make sure that an admitted version can be asked; blocks while it is read.

        Raises:
            UnknownVersion: there is no such admitted version.
            ServerBusy: every version in memory is being asked.
        """
        version = self._log.version(self.lineage, number)
        if version.state is not VersionState.ADMITTED:
            raise UnknownVersion(f"version {number} was not admitted ({version.state.value}); ask an admitted one")
        with self._loading:
            if number not in self.server.stats().loaded_versions and not self.server.has_room:
                raise ServerBusy(
                    f"version {number} is not loaded, and as many versions as may be are being asked; ask again in a "
                    "moment, or a version that is loaded"
                )
            self._prepare(number)
        return version

    def _laid_over(self, number: int) -> bool:
        """Make a version ready beside the weights of its parent, where that serves and the version fits."""
        serving = self.server.serving_version
        is_next = self._log.version(self.lineage, number).parent == serving
        if not self._in_place or not is_next or number in self.server.stats().loaded_versions:
            return False
        try:
            if not self._merged(self._drain_seconds):
                return False
            self.server.lay_over(number, self._weights.changes(self.lineage, number), below=serving)
        except (DeltaCorrupt, DeltaMismatch, OverlayPending) as exc:  # a copy is made of what can be, or says why not
            _LOGGER.warning("version %d is made ready as a copy: %s", number, exc)
            return False
        self._unmerged = number
        return True

    def _merged(self, timeout_seconds: float) -> bool:
        """Put what lies beside the weights into them, or take it off where something else serves by now."""
        if self._unmerged is None:
            return True
        if self.server.serving_version != self._unmerged:
            is_done = self.server.discard(self._unmerged, timeout_seconds=timeout_seconds)
        else:
            self._fold = self._fold or self._verified_fold(self._unmerged)
            is_done = self.server.merge(self._unmerged, self._fold, timeout_seconds=timeout_seconds)
        if is_done:
            self._unmerged = self._fold = None
        return is_done

    def _verified_fold(self, number: int) -> Callable[[str], Tensor]:
        """Gives each weight of a version, of which all together have the recorded hash.

        Raises:
            DeltaCorrupt, DeltaMismatch: they do not, and another machine's rounding does not explain it.
        """
        recorded = self._log.version(self.lineage, number).weights_hash
        streamed = self._weights.streamed(self.lineage, number)
        if recorded is None or streamed.hash() == recorded:
            return streamed.weight
        return self._weights.weights(self.lineage, number).__getitem__  # finds out why, with all weights at once

    def _prepare(self, number: int) -> None:
        if number not in self.server.stats().loaded_versions:
            self.server.prepare(number, self._whole(number))

    def _whole(self, number: int) -> Mapping[str, Tensor]:
        """All weights of a version; in place without the sums that `VersionWeights` keeps for the next one."""
        if not self._in_place:
            return self._weights.weights(self.lineage, number)
        fold = self._verified_fold(number)
        return {name: fold(name) for name, _ in self.base.model.named_parameters()}

    def _follow(self, bell: Bell) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                self.take_up_head()
                with self._loading:
                    is_merged = self._merged(0.0)
                self.error, pause_seconds = None, FIRST_PAUSE_SECONDS
            except Exception as exc:  # a worker's edge: what serves goes on serving
                if not isinstance(exc, SelfParamError) or self.error is None:
                    _LOGGER.exception("the head of lineage %r cannot be taken up", self.lineage)
                # The output says more; this is shown to clients, who need not know where files lie.
                self.error = str(type(exc)()) if isinstance(exc, SelfParamError) else type(exc).__name__
                self._stop.wait(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
                continue
            bell.wait(LOOK_SECONDS if is_merged else MERGE_LOOK_SECONDS)

    def close(self) -> None:
        """Finish the answers that are being decoded, fail the ones that wait, and stop. Idempotent."""
        self._stop.set()
        self._bell.ring()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._bell.close()
        self.loader.shutdown(cancel_futures=True)
        self.server.close()
