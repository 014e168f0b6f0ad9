"""Locks by which applications keep updates away: a file that is there, or one that somebody holds by flock(2).

The second needs nobody to clean up: the kernel lets it go with whoever held it.
"""

import fcntl
import os


class FileLock:
    """`ports.board.Lock`: held while there is such a file, whatever it is."""

    def __init__(self, path: str) -> None:
        self._path = path

    def held(self) -> str:
        return f"{self._path} is there" if os.path.lexists(self._path) else ""


class Flock:
    """`ports.board.Lock`: held while somebody has a lock on the file, shared or not.

    To find out it is locked for a moment: who takes it waits (`flock FILE`), or tries again.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def held(self) -> str:
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"whether {self._path} is locked cannot be seen: {error.strerror}"
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return f"{self._path} is locked"
        finally:
            os.close(file)
        return ""
