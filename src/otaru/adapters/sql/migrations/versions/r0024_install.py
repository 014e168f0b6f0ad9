"""Rollouts that only download: the order to install, from when on and whether by the window."""

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0022b"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    instant = sa.BigInteger()
    op.add_column("rollout", sa.Column("install_at", instant, nullable=True))
    op.add_column("rollout", sa.Column("install_in_window", sa.Boolean(), nullable=False, server_default=sa.false()))
