"""Who brought bytes: somebody who uploaded a file, or what made them (deltas) or sent them (backups), and they go with it."""

import sqlalchemy as sa
from alembic import op

revision: str = "0035"
down_revision: str | None = "0032"
branch_labels: str | None = None
depends_on: str | None = None

# Nobody knows any more which of these were uploaded as well: they are taken for what they are named as, as before.
_NAMED = """
UPDATE blob SET uploaded = false
WHERE EXISTS (SELECT 1 FROM device_backup b WHERE b.tenant = blob.tenant AND b.sha256 = blob.sha256)
   OR EXISTS (SELECT 1 FROM delta d WHERE d.tenant = blob.tenant AND d.patch = blob.sha256)"""


def upgrade() -> None:
    op.add_column("blob", sa.Column("uploaded", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_index("ix_device_backup_sha256", "device_backup", ["tenant", "sha256"], unique=False)
    op.execute(_NAMED)
