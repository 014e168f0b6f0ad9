"""Groups of devices: saved queries, and lists."""

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "device_group",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("name", Bytewise, autoincrement=False, nullable=False),
        sa.Column("query", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_device_group")),
    )
    op.create_table(
        "group_member",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("name", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", "device", name=op.f("pk_group_member")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_group_member_device", "group_member", ["tenant", "device", "name"])
