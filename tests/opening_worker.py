"""A process that opens a log and counts what is in it: `python -m tests.opening_worker URL [DIE_BEFORE]`.

It kills itself before the first statement that begins with DIE_BEFORE.
"""

import os
import signal
import sys

from sqlalchemy import Connection, Engine, event

from memory_log.log import MemoryLog


def die_before(beginning: str) -> None:
    @event.listens_for(Engine, "before_cursor_execute")
    def look(_connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if " ".join(statement.split()).startswith(beginning):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    url, beginning = sys.argv[1:]
    if beginning:
        die_before(beginning)
    with MemoryLog(url) as log:
        print(len(log.experiences("default")), log.head("default").number, flush=True)
