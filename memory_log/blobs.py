"""Deltas and snapshots in a folder that every node can read. Knows bytes and checksums, not what is in them."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from memory_log.clock import Clock, utc_now
from memory_log.disk import naming_a_full_disk
from memory_log.errors import BadInput, DeltaCorrupt
from memory_log.files import UNFINISHED, aside_of, digest, publish, sync
from memory_log.records import DeltaRef, Snapshot

# A function that writes the whole content to the path that it is given.
Writer = Callable[[Path], object]


class BlobStore:
    """Files that appear whole or not at all, are never overwritten, and are checked before they are read.

    Args:
        root: a folder of its own; made by the first `put`. Nothing else may live in it: clean-up removes strangers.
        clock: decides the age of a file in clean-up.

    Example: BlobStore(home / "blobs").put("default/3.safetensors", content)
    """

    def __init__(self, root: Path, *, clock: Clock = utc_now) -> None:
        self.root = root
        self._clock = clock

    def put(self, name: str, content: bytes | Writer) -> tuple[str, int]:
        """Store content under a new name; on return it is on disk. The same content again is fine.

        Args:
            name: relative path with `/`, such as `default/3.safetensors`.
            content: the bytes, or a function that writes them to the path it is given.

        Returns:
            The sha256 as hex digits and the size in bytes.

        Raises:
            BadInput: the name leaves the root, or is taken by another content.
            DiskFull: there is no room; nothing is left behind.
        """
        path = self._path(name)
        if path is None or path.name.startswith(".") or path.name.endswith(UNFINISHED):
            raise BadInput(f"{name!r} is not a name for a blob; use a relative path such as 'default/3.safetensors'")
        with naming_a_full_disk(self.root):
            self._make_folder(path.parent)
        aside = aside_of(path)
        try:
            with naming_a_full_disk(self.root):
                if isinstance(content, bytes):
                    aside.write_bytes(content)
                else:
                    content(aside)
                sync(aside)
            sha256, num_bytes = digest(aside)
            if not publish(aside, path) and digest(path) != (sha256, num_bytes):
                raise BadInput(f"blob {name!r} exists with another content; use a new name")
            sync(path.parent)
        finally:
            aside.unlink(missing_ok=True)
        return sha256, num_bytes

    def path_verified(self, ref: DeltaRef | Snapshot) -> Path:
        """The path of a blob whose size and checksum are what the log recorded.

        Raises:
            DeltaCorrupt: it is missing, cut off, or another content.
        """
        path = self._path(ref.path)
        what, way_out = ("delta", "roll back to a version before it")
        if isinstance(ref, Snapshot):
            what, way_out = ("snapshot", f"make it anew: selfparam versions snapshot {ref.version} --anew")
        if path is None or not path.is_file():
            raise DeltaCorrupt(f"{what} {ref.path!r} is not in {self.root}; restore it, or {way_out}")
        sha256, num_bytes = digest(path)
        if (sha256, num_bytes) != (ref.sha256, ref.num_bytes):
            raise DeltaCorrupt(
                f"{what} {ref.path!r} has {num_bytes} bytes and sha256 {sha256[:12]}, the log recorded {ref.num_bytes} "
                f"bytes and {ref.sha256[:12]}; restore the file, or {way_out}"
            )
        return path

    def remove_orphans(self, referenced: set[str], older_than_seconds: float) -> list[str]:
        """Delete files that no version refers to, and unfinished ones, once they are old. The names deleted.

        A file from the future, written before the clock was set back, has no age; it is given one, counted from now.

        Args:
            referenced: from `MemoryLog.referenced_blobs()`, read before this call.
            older_than_seconds: longer than any update, so that files of a running one are spared.
        """
        removed = self.orphans(referenced, older_than_seconds)
        for name in removed:
            (self.root / name).unlink(missing_ok=True)
        self._date_back(referenced)
        return removed

    def _date_back(self, referenced: set[str]) -> None:
        """Give strangers from the future the present time: a clock that was set back would keep them for long."""
        now = self._clock().timestamp()
        for name, found in self._files():
            if name not in referenced and found.st_mtime > now:
                with suppress(FileNotFoundError):
                    os.utime(self.root / name, (now, now))

    def orphans(self, referenced: set[str], older_than_seconds: float) -> list[str]:
        """The names that `remove_orphans` would delete now."""
        youngest = self._clock().timestamp() - older_than_seconds
        return [name for name, found in self._files() if name not in referenced and found.st_mtime < youngest]

    def sizes(self) -> dict[str, int]:
        """Every file by name, with its size in bytes; unfinished ones too."""
        return {name: found.st_size for name, found in self._files()}

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        for path in sorted(self.root.rglob("*")):
            # Others write and clean up meanwhile: what is listed may be gone.
            with suppress(FileNotFoundError):
                found = path.stat()
                if stat.S_ISREG(found.st_mode):
                    yield path.relative_to(self.root).as_posix(), found

    def _path(self, name: str) -> Path | None:
        parts = PurePosixPath(name).parts
        inside = bool(parts) and not name.startswith("/") and not {"..", "\\", "\0"} & {*parts, *name}
        return self.root.joinpath(*parts) if inside else None

    def _make_folder(self, folder: Path) -> None:
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync(made.parent)
