"""Errands of devices, their diagnostics, and alerts."""

import sqlalchemy as sa
from alembic import op

revision: str = "0030"
down_revision: str | None = "0029"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
OPEN = sa.text("state IN ('waiting', 'taken')")


def upgrade() -> None:
    op.create_table(
        "errand",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("what", Bytewise, nullable=False),
        sa.Column("name", Bytewise, nullable=False),
        sa.Column("state", Bytewise, nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("code", Bytewise, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", Bytewise, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", "number", name=op.f("pk_errand")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_errand_open", "errand", ["tenant", "expires_at", "device"], sqlite_where=OPEN, postgresql_where=OPEN
    )
    op.create_index("ix_errand_ended", "errand", ["ended_at"])
    op.create_table(
        "errand_part",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", "number", "first", name=op.f("pk_errand_part")),
    )
    op.create_table(
        "alert",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("alert", Bytewise, autoincrement=False, nullable=False),
        sa.Column("matching", sa.Text(), nullable=False),
        sa.Column("among", sa.Text(), nullable=False),
        sa.Column("least", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("mail", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.Column("looked_at", sa.BigInteger(), nullable=True),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.Column("among_devices", sa.BigInteger(), nullable=False),
        sa.Column("untold", sa.Boolean(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "alert", name=op.f("pk_alert")),
    )
