"""Files and folders that are still there after a power cut. Everything here blocks: for worker threads."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otaru.errors import StorageFullError

# EFBIG: the largest file of a small file system (FAT, RLIMIT_FSIZE); for the sender it is the same as a full one.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def full_disk_named() -> Iterator[None]:
    """Say `StorageFullError` for what the system calls by several names."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFullError(
            "the disk that keeps artifacts is full",
            hint="Make room (`otaru blobs sweep` removes abandoned uploads), then go on with the upload.",
        ) from error


def sync_folder(folder: Path) -> None:
    """Make names durable: those that came into `folder` or left it before this call."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, group: int = 0) -> None:
    """Make a folder where it is missing, private but for the permission bits `group`, and make its name durable.

    The parent is synced also when the folder is there: another process may have made it this moment.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if group:
        folder.chmod(folder.stat().st_mode | group)
    sync_folder(folder.parent)
