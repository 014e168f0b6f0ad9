"""Backups that devices have sent: encrypted before they left, so to a server each is bytes with a name."""

import re
from dataclasses import dataclass
from datetime import datetime

from otaru.domain.ids import DeviceId, Sha256
from otaru.errors import InvalidInputError

KEPT = 3
"""Of a device: the newest."""
MAX_SIZE = 1 << 30
MAX_PART = 128 * 1024
QUOTA_SHARE = 2
"""All backups of a tenant take at most the half of its quota, whatever else is said."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup, whole or still coming. Its bytes are a blob of the tenant under `sha256` once it is whole."""

    device: DeviceId
    sha256: Sha256
    name: str
    """As the device calls it."""
    size: int
    upload: str
    """Where its bytes come together."""
    begun_at: datetime
    finished_at: datetime | None = None


def backup_name(text: str) -> str:
    """Parse a backup's name.

    Raises:
        InvalidInputError: it is none.
    """
    if not _NAME.fullmatch(text):
        raise InvalidInputError(f"{text[:64]!r} is no backup's name")
    return text
