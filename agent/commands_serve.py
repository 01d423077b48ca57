"""What `selfparam serve` and `selfparam keys` do: a home's memory as one HTTP service.

Knows: which parts a service has, and in which order they begin and end. Refuses to know: routes, updates.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from agent.chat_endpoint import is_loopback_host
from agent.cli_display import print_table
from agent.commands import Options
from agent.home import Home
from memory_log.errors import BadInput

DRAIN_SECONDS: Final = 30
SMALL_MODEL: Final = 20_000_000
KEY_HEADINGS: Final = ("name", "scopes", "made (UTC)")


def serve(options: Options) -> int:
    """Serve a home over HTTP, and learn what comes, until stopped."""
    try:
        import uvicorn

        from agent.api.app import make_app
        from agent.api.door import Door
        from agent.api.keys import ApiKeys
        from agent.api.service import Service
    except ModuleNotFoundError as exc:
        raise BadInput(f"serving over HTTP needs {exc.name}; install it with: pip install 'selfparam[serve]'") from exc
    import torch

    from agent.following import FollowingServer
    from agent.learner_process import LearnerProcess
    from agent.memory import AgentMemory
    from updater.fold import VersionWeights
    from updater.language_model import weights_of
    from updater.streaming import WeightsOnDisk

    is_local = is_loopback_host(options.host)
    home = Home.open(options.home, model=options.model)
    keys = ApiKeys(home.path)
    if not is_local and not keys.all():
        raise BadInput(
            f"{options.host} can be reached from other computers, so a key is needed; make one with: selfparam keys "
            "add NAME. Or leave --host out, to be reached from this computer only"
        )
    with _bound(options.host, options.port) as listening, AgentMemory.open(
        home.path, lineage=options.lineage, device=options.device
    ) as memory:
        base = memory.base
        num_weights = sum(parameter.numel() for parameter in base.model.parameters())
        torch.set_num_threads(options.threads or (1 if num_weights < SMALL_MODEL else os.cpu_count() or 1))
        in_place = options.swap == "in-place" or (options.swap == "auto" and num_weights >= SMALL_MODEL)
        stored = WeightsOnDisk(weights_of(base.model), home.path) if in_place else None
        weights = VersionWeights(base, memory.log, home.blob_store(), base_weights=stored)
        with FollowingServer(
            base, memory.log, weights, options.lineage, in_place=in_place, max_batch=options.max_batch,
            max_waiting=options.max_waiting, max_versions=options.max_versions,
        ) as following:  # fmt: skip
            learner = None if options.is_without_learning else LearnerProcess(_learning(options))
            service = Service(
                following, memory.log, Door(keys, is_local=is_local, requests_per_minute=options.requests_per_minute),
                root="embedded" if home.config.model is None else Path(home.config.model).name,
                learner_error=lambda: learner.error if learner is not None else None,
            )  # fmt: skip
            config = uvicorn.Config(
                make_app(service, is_local=is_local, host=options.host), log_level="warning", access_log=False,
                lifespan="off", ws="none",
                server_header=False, proxy_headers=False, timeout_graceful_shutdown=DRAIN_SECONDS,
            )  # fmt: skip
            _say_where(options, listening, following.server.serving_version, has_keys=keys.are_used)
            try:
                with _signals_end_the_server():
                    uvicorn.Server(config).run(sockets=[listening])
            finally:
                print("stopping; what was told is on disk", flush=True)
                if learner is not None:
                    learner.close()
    return 0


def _say_where(options: Options, listening: socket.socket, version: int, *, has_keys: bool) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"serving lineage {options.lineage!r}, version {version}, on http://{shown}:{port}/v1", flush=True)
    print(f"  model: {options.lineage!r} or {options.lineage}@N   keys: {'needed' if has_keys else 'none'}", flush=True)
    print("  stop with Ctrl-C or SIGTERM: answers that have begun are finished", flush=True)


@contextmanager
def _signals_end_the_server() -> Iterator[None]:
    """uvicorn drains at SIGTERM and SIGINT, and then raises the signal once more, which is not to end the process."""

    def heard(_number: int, _frame: FrameType | None) -> None:
        return None

    before = {number: signal.signal(number, heard) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _learning(options: Options) -> list[str]:
    """The arguments of the child that learns."""
    home = str(options.home.expanduser().absolute())
    found = ["--home", home, "--lineage", options.lineage, "--device", options.device, "learn", "--until-eof"]
    found += ["--plain", "--batch", str(options.batch_size), "--max-wait", str(options.max_wait_seconds)]
    found += ["--order", options.order]
    if options.surprise_nats is not None:
        found += ["--surprise", str(options.surprise_nats)]
    if options.settings_file is not None:
        found += ["--settings", options.settings_file]
    for name, value in options.changes:
        found += ["--set", f"{name}={value if isinstance(value, str) else repr(value).lower()}"]
    for name, share in options.writers:
        found += ["--writer", f"{name}={share}"]
    return found


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        BadInput: the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen()  # whoever connects before the server runs waits for it
    except OSError as exc:
        raise BadInput(
            f"{host} port {port} cannot be used ({exc.strerror}); choose another with --port, or 0 for any that is free"
        ) from exc
    return made


def add_key(options: Options) -> int:
    """Make an API key and print it, this once."""
    from agent.api.keys import ApiKeys

    home = Home.open(options.home, model=options.model)
    print(ApiKeys(home.path).add(options.key_name, options.scopes or ["ask", "tell"]))
    print("this key is not shown again; only its hash is kept", file=sys.stderr)
    return 0


def remove_key(options: Options) -> int:
    """Let a key open nothing any more."""
    from agent.api.keys import ApiKeys

    ApiKeys(Home.open(options.home, create=False).path).remove(options.key_name)
    print(f"key {options.key_name!r} is removed")
    return 0


def list_keys(options: Options) -> int:
    """Print the names of all keys, and what each may do."""
    from agent.api.keys import ApiKeys

    rows: Sequence[tuple[str, ...]] = [
        (key.name, ", ".join(key.scopes), f"{key.created:%Y-%m-%d %H:%M:%S}")
        for key in ApiKeys(Home.open(options.home, create=False).path).all()
    ]
    print_table(KEY_HEADINGS, rows)
    return 0
