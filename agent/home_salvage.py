"""What can still be read of a home's damaged log, written as lines that `selfparam log import` takes.

Knows which file is the log, and the format of an export. Refuses to know the pages of a database, and writes nothing
into the home.
"""

import sqlite3
from pathlib import Path

from agent.home import CONFIG_FILE, LOG_FILE, Home, HomeConfig, read_config
from agent.home_import import source_of
from memory_log.clock import Clock, utc_now
from memory_log.errors import BadInput
from memory_log.fields import Record
from memory_log.files import new_file
from memory_log.jsonl import Header, written_lines
from memory_log.records import Experience, ExperienceState
from memory_log.salvage import salvage


class SalvagedHome(Record):
    """What came out of a damaged log.

    Example: salvage_home(Path("home"), Path("saved.jsonl")).num_written
    """

    num_written: int
    num_forgotten: int
    """Tombstones, which hold nothing to write."""
    num_lost: int | None
    """Experiences that once had an id and were not found; None where that cannot be told."""


def salvage_home(path: Path, file: Path, *, release: str | None = None, clock: Clock = utc_now) -> SalvagedHome:
    """Write every experience of a SQLite log that stands on a whole page, damaged or not, into a new file.

    The lines name the home as an export does, so that importing them into a home that was restored from a back-up of
    this one adds only what the back-up does not have.

    Args:
        path: the home folder; its config may be damaged as well.
        file: not there yet; it gets its name when it is whole.
        release: which release writes it, for people to read.
        clock: gives the time in the file.

    Raises:
        BadInput: the log is in PostgreSQL, is not there, or cannot be read at all; the file is there already.
        DiskFull: there is no room; nothing is left behind.
    """
    home = _home(path.expanduser().absolute(), clock)
    header = Header(release=release, exported_at=clock(), source=source_of(home))
    counts = {True: 0, False: 0}
    with new_file(file) as opened:
        (first,) = written_lines([], header)
        opened.write(first)

        def write(line: str) -> None:
            experience = Experience.model_validate_json(line)
            is_forgotten = experience.state is ExperienceState.FORGOTTEN
            counts[is_forgotten] += 1
            if not is_forgotten:
                opened.write(list(written_lines([experience], header))[-1])

        try:
            salvaged = salvage(home.path / LOG_FILE, write)
        except (OSError, sqlite3.Error) as exc:
            raise BadInput(f"{home.path / LOG_FILE} cannot be read at all: {exc}; restore a back-up") from exc
    return SalvagedHome(num_written=counts[False], num_forgotten=counts[True], num_lost=salvaged.num_lost)


def _home(folder: Path, clock: Clock) -> Home:
    if not (folder / LOG_FILE).is_file() and not (folder / CONFIG_FILE).is_file():
        raise BadInput(f"there is no log in {folder}; name the home with --home")
    try:
        home = Home(folder, read_config(folder / CONFIG_FILE))
    except BadInput:
        # Without the config the home's own name is gone with it; what is in the log is not.
        return Home(folder, HomeConfig(created=clock()))
    if home.config.log_url is not None:
        raise BadInput(
            f"the log of {folder} is in PostgreSQL, which keeps its own files: get out what can be read with pg_dump"
        )
    return home
