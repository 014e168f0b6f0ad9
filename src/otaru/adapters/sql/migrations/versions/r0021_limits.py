"""Rollouts that limit how many they tell in a minute count them."""

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0019b"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "rollout_pace",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rollout", name=op.f("pk_rollout_pace")),
    )
