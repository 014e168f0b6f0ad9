"""Tenants have a calendar of blackouts."""

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018b"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("tenant", sa.Column("blackouts", sa.Text(), nullable=False, server_default="[]"))
