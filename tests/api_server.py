"""The HTTP interface of a real log and a tiny model, on a loopback port of its own, for tests of it."""

import copy
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn

from agent.api.app import make_app
from agent.api.door import Door
from agent.api.keys import ApiKeys
from agent.api.service import Service
from agent.following import FollowingServer
from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from memory_log.records import Version
from tests.model_fixtures import grow, random_factors, tiny_base
from updater.fold import VersionWeights
from updater.language_model import LanguageModel

FACTOR_SIZE = 0.5  # large enough that every version answers otherwise


@dataclass(frozen=True)
class ApiServer:
    """A service that listens, with what a test may want to do behind its back."""

    url: str
    service: Service
    keys: ApiKeys
    blobs: BlobStore

    def grow(self, seed: int) -> Version:
        """A new version in the log, as an update makes one."""
        return grow(self.service.log, self.blobs, random_factors(seed, size=FACTOR_SIZE))


def own_base() -> LanguageModel:
    """The tiny base model with weights of its own, since a server keeps its model to itself."""
    shared = tiny_base()
    return replace(shared, model=copy.deepcopy(shared.model))


@contextmanager
def api_server(
    folder: Path,
    *,
    is_local: bool = True,
    requests_per_minute: float | None = None,
    max_waiting: int | None = 256,
    answer_seconds: float = 60.0,
) -> Iterator[ApiServer]:
    """Serve the default lineage of a new log."""
    base, blobs, keys = own_base(), BlobStore(folder / "blobs"), ApiKeys(folder)
    with MemoryLog(f"sqlite:///{folder}/log.db") as log:
        log.ensure_lineage("default", base_fingerprint=base.fingerprint)
        weights = VersionWeights(base, log, blobs)
        with FollowingServer(base, log, weights, "default", max_waiting=max_waiting) as following:
            door = Door(keys, is_local=is_local, requests_per_minute=requests_per_minute)
            service = Service(following, log, door, root="tiny", answer_seconds=answer_seconds)
            with listening(service, is_local=is_local) as url:
                yield ApiServer(url, service, keys, blobs)


@contextmanager
def listening(service: Service, *, is_local: bool) -> Iterator[str]:
    """The service on a free port; its address."""
    place = socket.socket()
    place.bind(("127.0.0.1", 0))
    place.listen()  # whoever connects before the server runs waits for it
    config = uvicorn.Config(make_app(service, is_local=is_local), log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        place.close()
