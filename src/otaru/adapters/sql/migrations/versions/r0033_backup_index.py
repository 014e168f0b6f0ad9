"""Backups by their bytes: whoever fetches or deletes such bytes is asked for as a backup's reader."""

from alembic import op

revision: str = "0033"
down_revision: str | None = "0031"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_index("ix_device_backup_sha256", "device_backup", ["tenant", "sha256"])
