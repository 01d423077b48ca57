"""Whether a PostgreSQL server is there: its ping, which needs no password, and its sockets. Knows no tables."""

import select
from enum import Enum
from typing import Any, Final

from sqlalchemy import Engine

RETRY_PAUSE_SECONDS: Final = 0.05


class Answer(Enum):
    """What a server says to somebody who knocks."""

    READY = "ready"
    STARTING = "starting"
    """It is there and lets nobody in yet, or any more: it starts, recovers or shuts down."""
    NONE = "none"


def answer_of(engine: Engine) -> Answer:
    """Ask the server of an engine. The error of a connection that failed has no code that would tell."""
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    if engine.dialect.name != "postgresql":
        return Answer.READY
    _, words = engine.dialect.create_connect_args(engine.url)
    conninfo = make_conninfo(**{name: word for name, word in words.items() if name != "context"})
    answers = {pq.Ping.OK: Answer.READY, pq.Ping.REJECT: Answer.STARTING}
    return answers.get(pq.Ping(pq.PGconn.ping(conninfo.encode())), Answer.NONE)


def has_hung_up(connection: Any) -> bool:  # noqa: ANN401 - psycopg's, as SQLAlchemy hands it over
    """Whether a connection that waits for nothing is over. Looks at the socket only, which costs no round trip.

    A server that goes away sends its last words, or the system the end of the stream. Anything else that a server says
    unasked is rare, and a new connection instead does no harm.
    """
    if connection.closed:
        return True
    ears = select.poll()
    ears.register(connection.fileno(), select.POLLIN)
    return bool(ears.poll(0))
