"""Components of devices are pinned: they stay at what they run."""

import sqlalchemy as sa
from alembic import op

revision: str = "0021b"
down_revision: str | None = "0021"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("device", sa.Column("pins", sa.Text(), nullable=False, server_default=""))
