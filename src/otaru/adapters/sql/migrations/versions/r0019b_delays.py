"""Owners postpone updates until a moment, and so often."""

import sqlalchemy as sa
from alembic import op

revision: str = "0019b"
down_revision: str | None = "0019"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "deployment_delay",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("attempt", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rollout", "device", "attempt", name=op.f("pk_deployment_delay")),
        sqlite_with_rowid=False,
    )
