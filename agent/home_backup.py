"""Back-up of a home that is in use, and restoring one: a tar file in which every member has a checksum.

Knows the archive's layout: `manifest.json`, `config.json`, `log.sqlite3`, `bases/...`, `blobs/...`. Refuses to know
what the log and the deltas mean, and the base model, which is not in the archive.

The log is copied first and the deltas that this copy names afterwards: deltas never change and are never removed while
an admitted version names them, so what the copy names is there, whatever happens meanwhile.
"""

import io
import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from pydantic import AwareDatetime, ValidationError

from agent.home import BASES_FOLDER, BLOBS_FOLDER, CONFIG_FILE, LOG_FILE, Home, HomeConfig, read_config
from memory_log.backup import LogContents, copy_log, examine_log
from memory_log.blobs import BlobStore
from memory_log.clock import Clock, utc_now
from memory_log.errors import BackupCorrupt, BadInput, SchemaTooNew
from memory_log.fields import Record
from memory_log.files import READ_BYTES, aside_of, digest, new_folder, publish, sync
from memory_log.records import DeltaRef, Snapshot

BACKUP_SCHEMA_VERSION: Final = 1
_BASE: Final = re.compile(rf"{BASES_FOLDER}/\w[\w.-]*\.json")
_DELTA: Final = re.compile(rf"{BLOBS_FOLDER}/(?!.*/snapshot-\d+-[^/]*$).*")
MANIFEST: Final = "manifest.json"
MAX_MANIFEST_BYTES: Final = 1 << 26

Progress = Callable[[str, int, int], None]
"""(stage, done, total): how far it is."""


class BackupMember(Record):
    """One file of an archive.

    Example: BackupMember(name="config.json", num_bytes=93, sha256="9f86")
    """

    name: str
    num_bytes: int
    sha256: str


class BackupManifest(Record):
    """What an archive holds; its first member.

    Example: restore_backup(Path("monday.tar"), Path("home"), progress=print).num_experiences
    """

    schema_version: int = BACKUP_SCHEMA_VERSION
    created: AwareDatetime
    model: str | None
    """Path or Hugging Face id of the base model; None is the embedded one."""
    base_fingerprints: dict[str, str]
    """The fingerprint of the base model of each lineage."""
    num_experiences: int
    members: tuple[BackupMember, ...]

    @property
    def num_deltas(self) -> int:
        """Delta files among the members; snapshots, which follow from them, are not counted."""
        return sum(bool(_DELTA.fullmatch(member.name)) for member in self.members)


def write_backup(home: Home, file: Path, *, progress: Progress, clock: Clock = utc_now) -> BackupManifest:
    """Write the home as it is at one instant into a new tar file, on disk when this returns.

    Args:
        home: may be in use by any number of processes.
        file: not there yet, in a folder that is; the log is copied beside it first, which needs its size twice.
        progress: called with (stage, done, total).
        clock: gives the time in the manifest.

    Raises:
        BadInput: the file exists, or the log is in PostgreSQL.
        DeltaCorrupt: a delta of an admitted version is missing or damaged.
    """
    goal = _checked_goal(home, file)
    home.open_log().close()  # a home that was never used has no log yet; a damaged one is named
    archive, log_copy = aside_of(goal), aside_of(goal)
    try:
        copy_log(home.path / LOG_FILE, log_copy, lambda done, total: progress("copying the log", done, total))
        contents = examine_log(log_copy)
        paths = {CONFIG_FILE: home.path / CONFIG_FILE, LOG_FILE: log_copy}
        for base in sorted((home.path / BASES_FOLDER).glob("*.json")):
            paths[f"{BASES_FOLDER}/{base.name}"] = base
        blobs = home.blob_store()
        named: list[DeltaRef | Snapshot] = [*contents.deltas, *contents.snapshots]
        for number, one in enumerate(named, 1):
            paths[f"{BLOBS_FOLDER}/{one.path}"] = blobs.path_verified(one)
            progress("verifying deltas", number, len(named))
        manifest = _manifest(home.config, contents, paths, clock)
        with archive.open("xb") as opened:
            _write_archive(opened, manifest, paths, progress)
        sync(archive)
        if not publish(archive, goal):
            raise BadInput(f"{goal} is there already; give the back-up another name")
        sync(goal.parent)
    finally:
        archive.unlink(missing_ok=True)
        log_copy.unlink(missing_ok=True)
    return manifest


def _checked_goal(home: Home, file: Path) -> Path:
    goal = file.expanduser().absolute()
    if home.config.log_url is not None:
        raise BadInput(
            f"the log of {home.path} is in PostgreSQL, which makes its own back-ups: run pg_dump on that database "
            f"first and copy the folder {home.path} afterwards"
        )
    if goal.exists() or goal.is_symlink():
        raise BadInput(f"{goal} is there already; give the back-up another name")
    if not goal.parent.is_dir():
        raise BadInput(f"there is no folder {goal.parent}; make it, or name a file in another one")
    if (home.path / BLOBS_FOLDER).resolve() in goal.resolve().parents:
        raise BadInput(f"{goal} lies among the deltas, where clean-up deletes strangers; name a file somewhere else")
    return goal


def _manifest(config: HomeConfig, contents: LogContents, paths: dict[str, Path], clock: Clock) -> BackupManifest:
    members = []
    for name, path in paths.items():
        sha256, num_bytes = digest(path)
        members.append(BackupMember(name=name, num_bytes=num_bytes, sha256=sha256))
    return BackupManifest(
        created=clock(), model=config.model, base_fingerprints=contents.base_fingerprints,
        num_experiences=contents.num_experiences, members=tuple(members),
    )  # fmt: skip


def _write_archive(
    opened: IO[bytes], manifest: BackupManifest, paths: dict[str, Path], progress: Progress
) -> None:
    with tarfile.open(fileobj=opened, mode="w", format=tarfile.PAX_FORMAT) as archive:
        head = manifest.model_dump_json(indent=1).encode()
        archive.addfile(_tar_info(MANIFEST, len(head), manifest), io.BytesIO(head))
        for number, member in enumerate(manifest.members, 1):
            with paths[member.name].open("rb") as source:
                archive.addfile(_tar_info(member.name, member.num_bytes, manifest), source)
            progress("writing the archive", number, len(manifest.members))


def _tar_info(name: str, num_bytes: int, manifest: BackupManifest) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = num_bytes, 0o600, int(manifest.created.timestamp())
    return info


def restore_backup(file: Path, home: Path, *, progress: Progress) -> BackupManifest:
    """Make a home from a back-up: verified whole, then put in its place in one step.

    Args:
        file: what `write_backup` wrote.
        home: a folder that is empty or not there yet.
        progress: called with (stage, done, total).

    Raises:
        BackupCorrupt: the file is damaged, cut off, or holds anything that it should not.
        SchemaTooNew: a newer release wrote it.
        BadInput: the file is missing, or the folder has something in it.
    """
    with new_folder(home) as aside:
        manifest = _extracted(file, aside, with_deltas=True, progress=progress)
        progress("checking the log", 0, 1)
        _check_agreement(file, aside, manifest)
    return manifest


@contextmanager
def opened_backup(file: Path, *, progress: Progress) -> Iterator[Home]:
    """The home in a back-up without its deltas, verified, in a folder that goes when the body ends.

    Raises:
        BackupCorrupt, SchemaTooNew, BadInput: see `restore_backup`.
    """
    with tempfile.TemporaryDirectory(prefix="selfparam-") as name:
        manifest = _extracted(file, Path(name), with_deltas=False, progress=progress)
        _check_agreement(file, Path(name), manifest)
        yield Home(Path(name), read_config(Path(name) / CONFIG_FILE))


def _extracted(file: Path, folder: Path, *, with_deltas: bool, progress: Progress) -> BackupManifest:
    if not file.is_file():
        raise BadInput(f"there is no back-up file {file}; check the path")
    try:
        with tarfile.open(file, "r:") as archive:
            manifest = _read_manifest(file, archive)
            _extract_members(file, archive, manifest, folder, with_deltas, progress)
            return manifest
    except (tarfile.TarError, EOFError) as exc:
        raise BackupCorrupt(f"{file} is no back-up that can be read ({exc}); use another one") from exc


def _read_manifest(file: Path, archive: tarfile.TarFile) -> BackupManifest:
    info = archive.next()
    if info is None or info.name != MANIFEST or not _is_plain(info) or info.size > MAX_MANIFEST_BYTES:
        raise BackupCorrupt(f"{file} is no back-up: it does not begin with {MANIFEST}; use one by `selfparam backup`")
    try:
        fields = json.loads(_opened(archive, info).read())
        found = fields["schema_version"]
        if isinstance(found, int) and found > BACKUP_SCHEMA_VERSION:
            raise SchemaTooNew(
                f"{file} has schema version {found}, this release reads up to {BACKUP_SCHEMA_VERSION}; install the "
                "newer release that wrote it"
            )
        manifest = BackupManifest.model_validate(fields)
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise BackupCorrupt(f"{file} is no back-up that can be read: its {MANIFEST} is damaged") from exc
    names = [member.name for member in manifest.members]
    if len(set(names)) < len(names) or not {CONFIG_FILE, LOG_FILE} <= set(names):
        raise BackupCorrupt(f"{file} is damaged: its {MANIFEST} does not name config and log once each")
    return manifest


def _is_plain(info: tarfile.TarInfo) -> bool:
    return info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.issparse()


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    opened = archive.extractfile(info)
    assert opened is not None, "a plain member has content"
    return opened


def _extract_members(
    file: Path, archive: tarfile.TarFile, manifest: BackupManifest, folder: Path, with_deltas: bool, progress: Progress
) -> None:
    expected = {member.name: member for member in manifest.members}
    while (info := archive.next()) is not None:
        member = expected.pop(info.name, None)
        if member is None:
            raise BackupCorrupt(f"{file} holds {info.name!r}, which its {MANIFEST} does not name; use another back-up")
        if not _is_plain(info) or info.size != member.num_bytes:
            raise BackupCorrupt(f"{file} is damaged: {info.name!r} is not the file that its {MANIFEST} names")
        if with_deltas or info.name in (CONFIG_FILE, LOG_FILE):
            _extract(file, _opened(archive, info), member, folder)
        progress("reading the archive", len(manifest.members) - len(expected), len(manifest.members))
    if expected:
        raise BackupCorrupt(f"{file} is cut off: {len(expected)} of its files are missing; use another back-up")


def _extract(file: Path, source: IO[bytes], member: BackupMember, folder: Path) -> None:
    if member.name in (CONFIG_FILE, LOG_FILE) or _BASE.fullmatch(member.name):
        path = folder / member.name
        path.parent.mkdir(exist_ok=True)
        _write(source, path)
        found = digest(path)
    else:
        blob = member.name.removeprefix(f"{BLOBS_FOLDER}/")
        try:
            if blob == member.name:
                raise BadInput("it is neither config, log, base record nor a delta")
            found = BlobStore(folder / BLOBS_FOLDER).put(blob, lambda path: _write(source, path))
        except BadInput as exc:
            raise BackupCorrupt(f"{file} holds a file that has no place in a home: {member.name!r}") from exc
    if found != (member.sha256, member.num_bytes):
        raise BackupCorrupt(f"{file} is damaged: {member.name!r} has another checksum than it was written with")


def _write(source: IO[bytes], path: Path) -> None:
    with path.open("xb") as goal:
        while piece := source.read(READ_BYTES):
            goal.write(piece)


def _check_agreement(file: Path, folder: Path, manifest: BackupManifest) -> None:
    """Config, log and deltas are sound, and those that the manifest tells of."""
    try:
        config = read_config(folder / CONFIG_FILE)
        contents = examine_log(folder / LOG_FILE)
    except (BadInput, BackupCorrupt) as exc:
        raise BackupCorrupt(f"{file} is damaged: {exc}") from exc
    # A log elsewhere would get everything that this home is told from now on.
    if config.log_url is not None or config.model != manifest.model:
        raise BackupCorrupt(f"{file} is damaged: its {CONFIG_FILE} is not the one that its {MANIFEST} tells of")
    held = {member.name: member for member in manifest.members}
    named: list[DeltaRef | Snapshot] = [*contents.deltas, *contents.snapshots]
    for one in named:
        if not _holds(held, one):
            what = "snapshot" if isinstance(one, Snapshot) else "delta"
            raise BackupCorrupt(f"{file} is damaged: it lacks the {what} {one.path!r} that its log names")
    if contents.base_fingerprints != manifest.base_fingerprints:
        raise BackupCorrupt(f"{file} is damaged: log and {MANIFEST} name different base models")


def _holds(held: dict[str, BackupMember], named: DeltaRef | Snapshot) -> bool:
    member = held.get(f"{BLOBS_FOLDER}/{named.path}")
    return member is not None and (member.sha256, member.num_bytes) == (named.sha256, named.num_bytes)
