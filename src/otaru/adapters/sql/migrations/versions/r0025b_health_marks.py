"""Whether what was counted of a rollout's health has moved is told by one number, not by reading it all."""

import sqlalchemy as sa
from alembic import op

revision: str = "0025b"
down_revision: str | None = "0025"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "health_mark",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("moves", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rollout", "shard", name=op.f("pk_health_mark")),
        sqlite_with_rowid=False,
    )
