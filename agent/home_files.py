"""Checks of a home's files: base records, deltas, strangers, rights and room.

Knows what each file of a home is for, and the head of a safetensors file. Refuses to know the log's rows and what is in
a tensor.
"""

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from agent.home import BASES_FOLDER, BLOBS_FOLDER, CONFIG_FILE, LOG_FILE, Home
from agent.home_base import WEIGHTS, read_base_record
from agent.home_disk import YOUNG_SECONDS
from agent.home_settings import SETTINGS_FILE
from memory_log.blobs import BlobStore
from memory_log.errors import BadInput, DeltaCorrupt
from memory_log.files import UNFINISHED
from memory_log.findings import MEND, RESTORE, Finding, Severity
from memory_log.records import DeltaRef, Snapshot, Version, VersionState

LARGE_WAL_BYTES: Final = 64 << 20
LITTLE_ROOM_BYTES: Final = 256 << 20
_MOST_HEAD_BYTES: Final = 100 << 20
_NUM_NAMED: Final = 5
_LOG_FILES: Final = (LOG_FILE, f"{LOG_FILE}-wal", f"{LOG_FILE}-shm", f"{LOG_FILE}-journal")
_BELLS_FOLDER: Final = f"{LOG_FILE}-bells"


def check_base_records(home: Home, fingerprints: Mapping[str, str]) -> Iterator[Finding]:
    """The base model is there, and what the home keeps of it agrees with the lineages.

    Args:
        home: may be in use.
        fingerprints: of the base model of each lineage in the log.
    """
    for lineage, fingerprint in fingerprints.items():
        path = home.path / BASES_FOLDER / f"{lineage}.json"
        if not path.exists():
            continue  # written when a model is next loaded for it
        try:
            kept = read_base_record(path)
        except BadInput as exc:
            yield _found("base", "error", str(exc), f"move {path} away if the base model is the same as before")
            continue
        if kept.parts.get(WEIGHTS, fingerprint) != fingerprint:
            yield _found(
                "base", "error",
                f"{path} names weights {kept.parts[WEIGHTS][:12]}, lineage {lineage!r} has {fingerprint[:12]}",
                f"move {path} away; the next command that loads the model compares it with the lineage and writes it",
            )  # fmt: skip
    yield from _check_model(home)


def _check_model(home: Home) -> Iterator[Finding]:
    source = home.model_source
    folder = Path(source)
    if folder.is_absolute():
        has_weights = any(folder.glob("*.safetensors"))
        if not (folder / "config.json").is_file() or not has_weights:
            lacks = "its folder" if not folder.is_dir() else "a config.json or weights as safetensors"
            yield _found(
                "base", "error", f"the base model {source} lacks {lacks}",
                "put its files back: what was learned fits no other model",
            )  # fmt: skip
        return
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(source, "config.json"), str):
        yield _found(
            "base", "note", f"the base model {source} is not in the cache of Hugging Face on this computer",
            "the next command that needs it loads it from the hub, unless HF_HUB_OFFLINE is set",
        )  # fmt: skip


def _found(check: str, severity: Severity, what: str, mend: str) -> Finding:
    return Finding(check=check, severity=severity, what=what, mend=mend)


def check_deltas(
    folder: Path, versions: Sequence[Version], is_quick: bool, progress: Callable[[int, int], None]
) -> Iterator[Finding]:
    """Every delta of a candidate or an admitted version is there, with its size, its checksum and a head to read.

    Args:
        folder: the home.
        versions: of all lineages.
        is_quick: leave the checksums out.
        progress: called with (deltas done, all).
    """
    blobs = BlobStore(folder / BLOBS_FOLDER)
    needed = [one for one in versions if one.delta is not None and one.state is not VersionState.REJECTED]
    num_faults = 0
    for number, version in enumerate(needed):
        progress(number, len(needed))
        fault = _fault_of(blobs, version.delta, is_quick) if version.delta is not None else None
        num_faults += fault is not None
        if fault is not None and num_faults <= _NUM_NAMED:
            yield _found(
                "deltas", "error", f"version {version.number} of lineage {version.lineage!r}: {fault}",
                f"{RESTORE}, and copy the file from there; or: "
                f"selfparam --lineage {version.lineage} rollback {version.parent}",
            )  # fmt: skip
    if num_faults > _NUM_NAMED:
        yield _found("deltas", "error", f"{num_faults - _NUM_NAMED} more deltas are missing or damaged", RESTORE)
    progress(len(needed), len(needed))


def check_snapshots(folder: Path, snapshots: Sequence[Snapshot], is_quick: bool) -> Iterator[Finding]:
    """Every snapshot is there as recorded. Without one a version opens more slowly, from its deltas, and as exactly.

    Args:
        folder: the home.
        snapshots: of all lineages.
        is_quick: leave the checksums out.
    """
    blobs = BlobStore(folder / BLOBS_FOLDER)
    for one in snapshots:
        fault = _fault_of(blobs, one, is_quick)
        if fault is not None:
            yield _found(
                "snapshots", "warning", f"version {one.version} of lineage {one.lineage!r}: {fault}",
                f"selfparam --lineage {one.lineage} versions snapshot {one.version} --anew",
            )  # fmt: skip


def _fault_of(blobs: BlobStore, blob: DeltaRef | Snapshot, is_quick: bool) -> str | None:
    what = "snapshot" if isinstance(blob, Snapshot) else "delta"
    try:
        path = blobs.root / blob.path if is_quick else blobs.path_verified(blob)
        if is_quick and (not path.is_file() or path.stat().st_size != blob.num_bytes):
            return f"{what} {blob.path!r} is not there with its {blob.num_bytes} bytes"
        return _fault_of_head(path)
    except DeltaCorrupt as exc:
        return str(exc)
    except OSError as exc:
        return f"{what} {blob.path!r} cannot be read: {exc.strerror}"


def _fault_of_head(path: Path) -> str | None:
    """Why a file is no safetensors file: 8 bytes of length, so much JSON, then the bytes that it tells of."""
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if num_bytes < 8 or not 0 < length <= min(_MOST_HEAD_BYTES, num_bytes - 8):
            return f"{path.name} is no safetensors file: its head has no sensible length"
        try:
            tensors = json.loads(file.read(length))
            ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return f"{path.name} is no safetensors file: its head cannot be read"
    told = 8 + length + max(ends, default=0)
    return None if told == num_bytes else f"{path.name} has {num_bytes} bytes, its head tells of {told}"


def check_files(
    folder: Path, versions: Sequence[Version] | None, snapshots: Sequence[Snapshot], now: datetime
) -> Iterator[Finding]:
    """Every file has a purpose, and nothing old lies about unfinished or unnamed.

    Args:
        folder: the home.
        versions: of all lineages; None where the log cannot say.
        snapshots: of all lineages.
        now: decides what is old.
    """
    named = {f"{BLOBS_FOLDER}/{one.delta.path}" for one in versions or () if one.delta is not None}
    named |= {f"{BLOBS_FOLDER}/{one.path}" for one in snapshots}
    youngest = now.timestamp() - YOUNG_SECONDS
    unfinished, bells, orphans, strangers = list[str](), list[str](), list[str](), list[str]()
    orphan_bytes = 0
    for name, status in _files(folder):
        is_old = status.st_mtime < youngest
        if name.endswith(UNFINISHED):
            unfinished += [name] if is_old else []
        elif is_old and _is_stale_bell(folder / name, status):
            bells.append(name)
        elif name.startswith(f"{BLOBS_FOLDER}/"):
            if versions is not None and name not in named and is_old:
                orphans, orphan_bytes = [*orphans, name], orphan_bytes + status.st_size
        elif not _is_known(name):
            strangers.append(name)
    if unfinished:
        what = f"files that a process left unfinished: {_listed(unfinished)}"
        yield _found("files", "warning", what, MEND)
    if bells:
        yield _found("files", "note", f"bells at which nobody waits any more: {_listed(bells)}", MEND)
    if orphans:
        what = f"deltas or snapshots that no version names, {orphan_bytes} bytes: {_listed(orphans)}"
        yield _found("files", "warning", what, "selfparam clean")
    if strangers:
        what = f"files that are none of ours: {_listed(strangers)}"
        yield _found("files", "note", what, "they are left alone; move them away if you do not know them")


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # others work in it meanwhile
            if not path.is_dir() or path.is_symlink():
                yield path.relative_to(folder).as_posix(), path.lstat()


def _is_known(name: str) -> bool:
    if name in (CONFIG_FILE, SETTINGS_FILE, *_LOG_FILES) or name.startswith(f"{_BELLS_FOLDER}/"):
        return True
    return name.startswith(f"{BASES_FOLDER}/") and name.endswith(".json")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return f"{', '.join(names[:_NUM_NAMED])}{more}"


def check_rights(folder: Path) -> Iterator[Finding]:
    """This process may read and write what it needs to."""
    unreadable = [name for name, _ in _files(folder) if not os.access(folder / name, os.R_OK)]
    if unreadable:
        what = f"files that you may not read: {_listed(unreadable)}"
        yield _found("rights", "error", what, f"give yourself the right: chmod -R u+rwX {folder}")
    places = [".", BASES_FOLDER, BLOBS_FOLDER, *_LOG_FILES]
    locked = [name for name in places if (folder / name).exists() and not os.access(folder / name, os.W_OK)]
    if locked:
        what = f"places that you may not write, so that the home can only be read: {_listed(locked)}"
        yield _found("rights", "warning", what, f"give yourself the right: chmod -R u+rwX {folder}")


def check_disk(folder: Path) -> Iterator[Finding]:
    """There is room for what comes next, and the WAL is taken up into the log now and then."""
    free = shutil.disk_usage(folder).free
    if free < LITTLE_ROOM_BYTES:
        yield _found(
            "disk", "warning", f"the disk of {folder} has {free >> 20} MiB left",
            "free some room; `selfparam disk` shows what the home takes, `selfparam clean --dry-run` what may go",
        )  # fmt: skip
    wal = folder / f"{LOG_FILE}-wal"
    with suppress(FileNotFoundError):
        if wal.stat().st_size > LARGE_WAL_BYTES:
            yield _found(
                "disk", "warning",
                f"{wal.name} has grown to {wal.stat().st_size >> 20} MiB: a reader has kept it from being taken up",
                "end programs that have kept the log open for long, then: selfparam clean",
            )  # fmt: skip


def remove_leftovers(folder: Path, now: datetime) -> list[str]:
    """Remove what a dead process left more than an hour ago: unfinished files, and bells. Their names."""
    youngest = now.timestamp() - YOUNG_SECONDS
    old = [
        name
        for name, status in _files(folder)
        if status.st_mtime < youngest and (name.endswith(UNFINISHED) or _is_stale_bell(folder / name, status))
    ]
    for name in old:
        (folder / name).unlink(missing_ok=True)
    return old


def _is_stale_bell(path: Path, status: os.stat_result) -> bool:
    """Whether a file is a bell, a named pipe, at which nobody waits any more."""
    if path.parent.name != _BELLS_FOLDER or not stat.S_ISFIFO(status.st_mode):
        return False
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
    except OSError as exc:
        return exc.errno == errno.ENXIO
    return False
