"""What a home takes on disk, and clean-up by a policy.

Knows every file of a home by its purpose. Refuses to know what is in one.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import Field

from agent.home import BLOBS_FOLDER, LOG_FILE, Home
from memory_log.blobs import BlobStore
from memory_log.clock import Clock, utc_now
from memory_log.disk_use import DeltaUse, LogUse
from memory_log.fields import InputRecord, Record
from memory_log.files import UNFINISHED
from memory_log.records import VersionState
from memory_log.upkeep import LogUpkeep

YOUNG_SECONDS: Final = 3600
"""Longer than an update needs between a delta's file and the version that names it."""

Progress = Callable[[str, int, int], None]
"""(stage, done, total): how far it is."""


class FilesUse(Record):
    """Files of one purpose.

    Example: FilesUse(purpose="deltas, admitted", num_files=3, num_bytes=245760)
    """

    purpose: str
    num_files: int
    num_bytes: int


class HomeUse(Record):
    """What a home takes on disk: every file is in exactly one of `files`, and `num_bytes` is their sum.

    Example: home_use(Home.open("home")).num_bytes
    """

    home: str
    num_bytes: int
    files: tuple[FilesUse, ...]
    missing_deltas: tuple[str, ...]
    """Of admitted versions: such a version cannot be asked."""
    log: LogUse


class CleanPolicy(InputRecord):
    """What may go.

    Example: CleanPolicy(keep_rejected_days=0, targets_per_experience=24)
    """

    keep_rejected_days: int = Field(
        default=7, ge=0, le=36500, description="Deltas of rejected versions stay this many days."
    )
    keep_snapshots: int | None = Field(
        default=None, ge=0, description="Newest snapshots on the line of each head that stay; None keeps all."
    )
    targets_per_experience: int | None = Field(
        default=None, description="Most stored target sentences of a learned experience; None keeps all."
    )
    is_vacuum: bool = Field(default=False, description="Whether the room of deleted rows goes back to the disk.")
    is_dry_run: bool = Field(default=False, description="Whether everything stays and is only counted.")


class Cleaned(Record):
    """What went, or would go.

    Example: clean(home, CleanPolicy(is_dry_run=True)).num_files_bytes
    """

    files: tuple[str, ...]
    """Names in the blobs folder."""
    num_files_bytes: int
    num_snapshots: int
    """Struck off; their files are among `files` once they are an hour old."""
    num_targets: int
    num_targets_bytes: int
    is_wal_taken_up: bool
    bytes_before: int
    bytes_after: int


def home_use(home: Home) -> HomeUse:
    """Weigh a home that may be in use."""
    with home.open_upkeep() as upkeep:
        deltas, snapshots, log = upkeep.deltas(), upkeep.snapshots(), upkeep.use()
        found = _sizes(home.path)
    purposes = {f"{BLOBS_FOLDER}/{delta.path}": f"deltas, {delta.state.value}" for delta in deltas}
    purposes |= {f"{BLOBS_FOLDER}/{one.path}": "snapshots" for one in snapshots}
    num_files, num_bytes = Counter[str](), Counter[str]()
    for name, size in found.items():
        purpose = purposes.get(name) or _purpose(name)
        num_files[purpose] += 1
        num_bytes[purpose] += size
    return HomeUse(
        home=str(home.path),
        num_bytes=sum(found.values()),
        files=tuple(
            FilesUse(purpose=purpose, num_files=num_files[purpose], num_bytes=num_bytes[purpose])
            for purpose in sorted(num_files)
        ),
        missing_deltas=tuple(
            delta.path
            for delta in deltas
            if delta.state is VersionState.ADMITTED and f"{BLOBS_FOLDER}/{delta.path}" not in found
        ),
        log=log,
    )


def _sizes(folder: Path) -> dict[str, int]:
    sizes = {}
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # others work in it meanwhile
            if path.is_file() and not path.is_symlink():
                sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    return sizes


def _purpose(name: str) -> str:
    if name.endswith(UNFINISHED):
        return "unfinished"
    if name.startswith(f"{BLOBS_FOLDER}/"):
        return "deltas, orphaned"
    return {LOG_FILE: "log", f"{LOG_FILE}-wal": "log, WAL", f"{LOG_FILE}-shm": "log, WAL index"}.get(name, "other")


def clean(home: Home, policy: CleanPolicy, *, progress: Progress, clock: Clock = utc_now) -> Cleaned:
    """Remove what nothing needs any more, and what the policy gives up.

    Files go that no version or snapshot names, once they are an hour old; deltas of rejected versions, once they are as
    old as the policy says; then surplus target sentences. The WAL is taken up into the log.

    Args:
        home: may be in use.
        policy: what may go.
        progress: called with (stage, done, total).
        clock: decides what is old.

    Raises:
        BadInput: the policy leaves too few target sentences, or wants a vacuum of PostgreSQL.
    """
    bytes_before = sum(_sizes(home.path).values())
    with home.open_upkeep() as upkeep:
        num_targets, targets_bytes = 0, 0
        if policy.targets_per_experience is not None:
            num_targets, targets_bytes = upkeep.trim_targets(
                policy.targets_per_experience,
                dry_run=policy.is_dry_run,
                progress=lambda done, total: progress("trimming targets", done, total),
            )
        dropped = []
        if policy.keep_snapshots is not None:
            dropped = upkeep.drop_snapshots(policy.keep_snapshots, dry_run=policy.is_dry_run)
        named = {one.path for one in upkeep.snapshots()} - {one.path for one in dropped}
        files, files_bytes = _remove_files(home, upkeep.deltas(), named, policy, clock)
        is_taken_up = policy.is_dry_run or _shrink_log(upkeep, policy, progress)
    return Cleaned(
        files=files, num_files_bytes=files_bytes, num_snapshots=len(dropped), num_targets=num_targets,
        num_targets_bytes=targets_bytes,
        is_wal_taken_up=is_taken_up, bytes_before=bytes_before, bytes_after=sum(_sizes(home.path).values()),
    )  # fmt: skip


def _remove_files(
    home: Home, deltas: list[DeltaUse], snapshots: set[str], policy: CleanPolicy, clock: Clock
) -> tuple[tuple[str, ...], int]:
    oldest = clock() - timedelta(days=policy.keep_rejected_days)
    kept = {d.path for d in deltas if d.state is not VersionState.REJECTED or d.created_at > oldest} | snapshots
    blobs = BlobStore(home.path / BLOBS_FOLDER, clock=clock)
    sizes = blobs.sizes()
    names = blobs.orphans(kept, YOUNG_SECONDS) if policy.is_dry_run else blobs.remove_orphans(kept, YOUNG_SECONDS)
    return tuple(names), sum(sizes.get(name, 0) for name in names)


def _shrink_log(upkeep: LogUpkeep, policy: CleanPolicy, progress: Progress) -> bool:
    if policy.is_vacuum:
        progress("vacuum", 0, 1)
        upkeep.vacuum()
    return upkeep.take_up_wal()
