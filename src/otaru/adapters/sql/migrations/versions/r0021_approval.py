"""Rollouts say who planned them: nobody approves their own."""

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("rollout", sa.Column("created_by", sa.Text(), nullable=False, server_default=""))
