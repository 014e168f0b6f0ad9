"""Deltas between artifacts, and the orders to make them."""

import sqlalchemy as sa
from alembic import op

revision: str = "0027"
down_revision: str | None = "0023"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
DUE = sa.text("state IN ('waiting', 'making')")


def upgrade() -> None:
    op.create_table(
        "delta",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("to_sha256", Bytewise, autoincrement=False, nullable=False),
        sa.Column("from_sha256", Bytewise, autoincrement=False, nullable=False),
        sa.Column("codec", Bytewise, autoincrement=False, nullable=False),
        sa.Column("product", Bytewise, nullable=False),
        sa.Column("source_version", Bytewise, nullable=False),
        sa.Column("target_version", Bytewise, nullable=False),
        sa.Column("state", Bytewise, nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("window_size", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("patch", Bytewise, nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("full_size", sa.BigInteger(), nullable=True),
        sa.Column("memory", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "to_sha256", "from_sha256", "codec", name=op.f("pk_delta")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_delta_due", "delta", ["due_at"], sqlite_where=DUE, postgresql_where=DUE)
    op.create_index("ix_delta_patch", "delta", ["tenant", "patch"])
