"""Rollouts that bring devices back: what ran before, releases that nobody goes back from, and which rollout rolls back which."""

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021b"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("release", sa.Column("no_way_back", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("deployment", sa.Column("base", Bytewise, nullable=True))
    op.add_column("rollout", sa.Column("rolls_back", sa.Integer(), nullable=True))
    op.create_index(
        "ix_rollout_rolls_back",
        "rollout",
        ["tenant", "rolls_back", "rollout"],
        sqlite_where=sa.text("rolls_back IS NOT NULL"),
        postgresql_where=sa.text("rolls_back IS NOT NULL"),
    )
