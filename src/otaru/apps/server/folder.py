"""The data folder: made when missing, private, and used by one server at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otaru.errors import DataFolderError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the data folder for this process.

    Raises:
        DataFolderError: it cannot be made or written, or another process holds it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataFolderError(f"the data folder {folder.resolve()} cannot be used: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            by = f" (process {holder})" if holder else ""
            raise DataFolderError(
                f"the data folder {folder.resolve()} is in use by another server{by}",
                hint="Stop it first, or give this one a folder of its own with --data.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
