"""The versions that a server holds: which one serves, which are in use, which one goes first.

Knows counts and order of use. Refuses to know decoding, and locks: the server's lock guards it.
"""

from collections import OrderedDict
from dataclasses import dataclass

from transformers import PreTrainedModel

from agent.overlay import Overlay
from memory_log.errors import UnknownVersion


@dataclass
class LoadedVersion:
    """A model with the weights of one version, and how many unfinished requests are bound to it.

    With an overlay the model has the weights of another version, to which the overlay adds what this one changes.
    """

    model: PreTrainedModel
    overlay: Overlay | None = None
    prepare_seconds: float = 0.0
    num_in_flight: int = 0


class LoadedVersions:
    """At most `max_versions` models, or as many as serve unfinished requests.

    Args:
        version, model: What serves at first.
        max_versions: At least 2: the version that serves and the one that is made ready.
    """

    def __init__(self, version: int, model: PreTrainedModel, *, max_versions: int) -> None:
        self._loaded = OrderedDict({version: LoadedVersion(model)})  # least recently used first
        self._max_versions = max_versions
        self.serving = version

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(sorted(self._loaded))

    @property
    def num_in_flight(self) -> int:
        return sum(loaded.num_in_flight for loaded in self._loaded.values())

    def get(self, version: int) -> LoadedVersion:
        """Return a loaded version and mark it as used.

        Raises:
            UnknownVersion: It is not loaded.
        """
        if version not in self._loaded:
            names = ", ".join(map(str, self.numbers))
            raise UnknownVersion(f"version {version} is not loaded, loaded are: {names}; prepare it first")
        self._loaded.move_to_end(version)
        return self._loaded[version]

    def look(self, version: int) -> LoadedVersion:
        """A loaded version, without marking it as used."""
        return self._loaded[version]

    @property
    def has_room(self) -> bool:
        """Whether fewer than `max_versions` are held that cannot be released now."""
        held = [
            number
            for number, one in self._loaded.items()
            if number == self.serving or one.num_in_flight or one.overlay is not None
        ]
        return len(held) < self._max_versions

    def add(self, version: int, loaded: LoadedVersion) -> LoadedVersion:
        """Take a version in and return what is held under its number, which another thread may have added first."""
        held = self._loaded.setdefault(version, loaded)
        self._loaded.move_to_end(version)
        self.release_unused()
        return held

    def sharing(self, version: int) -> list[int]:
        """The other versions that are held by the same model."""
        model = self._loaded[version].model
        return [number for number, one in self._loaded.items() if one.model is model and number != version]

    def take_out(self, version: int) -> None:
        """Drop a version that nothing is bound to, so that nothing can be."""
        assert version != self.serving and not self._loaded[version].num_in_flight, "it is in use"
        del self._loaded[version]

    def unbind(self, version: int) -> None:
        """One request of this version has ended."""
        self._loaded[version].num_in_flight -= 1
        self.release_unused()

    def release_unused(self) -> None:
        """Drop versions above the limit, least recently used first; never one that serves or has requests.

        The most recently used one stays too: it has just been made ready and serves next. So does one with an overlay,
        which has to be removed from its model first.
        """
        newest = next(reversed(self._loaded))
        for version in list(self._loaded):
            if len(self._loaded) <= self._max_versions:
                return
            loaded = self._loaded[version]
            if version not in (self.serving, newest) and not loaded.num_in_flight and loaded.overlay is None:
                del self._loaded[version]
