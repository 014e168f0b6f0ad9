"""Attributes whose type is declared, in order; and what became of attributes."""

import sqlalchemy as sa
from alembic import op

revision: str = "0018b"
down_revision: str | None = "0018"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "attribute_declared",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("name", Bytewise, autoincrement=False, nullable=False),
        sa.Column("kind", Bytewise, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_attribute_declared")),
    )
    op.create_table(
        "attribute_sort",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("name", Bytewise, autoincrement=False, nullable=False),
        sa.Column("sort", Bytewise, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "device", "name", name=op.f("pk_attribute_sort")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_attribute_sort_sort", "attribute_sort", ["tenant", "name", "sort", "device"])
    op.create_table(
        "attribute_change",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", Bytewise, autoincrement=False, nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "device", "at", "name", name=op.f("pk_attribute_change")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_attribute_change_at", "attribute_change", ["at"])
