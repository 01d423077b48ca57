"""Bringing a log of an earlier schema up to date, in the caller's transaction. Knows alembic, and no rows' meaning.

A new log is made from `tables.metadata` and never comes here; tests hold that both ways end in the same schema. The
number in `schema_version` is what every release reads, and its only owner: alembic's own table is there while it works.
"""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

# Others may use alembic in the same database of PostgreSQL, under the name that it takes by default.
_VERSION_TABLE = "selfparam_alembic_version"

# alembic keeps what it works on in globals of the process.
_ONE_AT_A_TIME = threading.Lock()


def upgrade(connection: Connection, found: int) -> None:
    """Change the tables of schema version `found` into this release's. Rows stay as they are.

    Args:
        connection: in a transaction that the caller commits; with SQLite, foreign keys are off and checked by the
            caller, because a table that is made anew is gone for a moment.
        found: what `schema_version` says.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["options"] = {"connection": connection, "version_table": _VERSION_TABLE}
    with _ONE_AT_A_TIME:
        command.stamp(config, f"{found:04d}")
        command.upgrade(config, "head")
    connection.exec_driver_sql(f"DROP TABLE {_VERSION_TABLE}")
