"""Which backup is put back on request, of a person at the device or by an errand of the server."""

from otaru.errors import BackupError, NothingToDoError
from otaru.ports.board import Safe


def chosen(safe: Safe, name: str) -> str:
    """The backup of this name; the newest without one.

    Raises:
        NothingToDoError: there is none at all.
        BackupError: there is none of this name.
        OSError: the disk fails.
    """
    names = safe.names()
    if not names:
        raise NothingToDoError("there is no backup on this device")
    if name and name not in names:
        raise BackupError(f"there is no backup {name[:20]}", hint="otaru agent backups lists them.")
    return name or names[-1]
