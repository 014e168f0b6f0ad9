"""Backups that devices have sent, as the API shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from otaru.apps.server.api.models.fields import Out
from otaru.domain.backup import Backup


class BackupOut(Out):
    """A backup of a device, encrypted to keys that the server does not have."""

    name: Annotated[str, Field(description="As the device calls it.")]
    sha256: Annotated[str, Field(description="Its bytes: `GET /devices/{device}/backups/{sha256}/content`.")]
    size: int
    begun_at: Annotated[datetime, Field(description="When its first bytes came.")]
    finished_at: datetime | None

    @classmethod
    def of(cls, backup: Backup) -> "BackupOut":
        """As it is kept."""
        return cls(
            name=backup.name,
            sha256=backup.sha256,
            size=backup.size,
            begun_at=backup.begun_at,
            finished_at=backup.finished_at,
        )
