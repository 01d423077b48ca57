"""A process without rights, or with a small limit, for a moment: what a full or locked disk is like, without mounts."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """Writes beyond this size fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder and its files may be read and not written, also when the superuser runs the tests."""
    paths = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in paths]
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and parent.name.startswith(("pytest-", "popen-", "test_")):
            parent.chmod(0o755)  # pytest's own folders are for their owner alone
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    is_root = os.geteuid() == 0
    if is_root:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        if is_root:
            os.setresuid(0, 0, 0)
        for path, mode in zip(paths, modes, strict=True):
            if path.exists():
                path.chmod(mode)
