"""Backups that devices have sent."""

import sqlalchemy as sa
from alembic import op

revision: str = "0031"
down_revision: str | None = "0030"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "device_backup",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("sha256", Bytewise, autoincrement=False, nullable=False),
        sa.Column("name", Bytewise, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("upload", Bytewise, nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "device", "sha256", name=op.f("pk_device_backup")),
        sqlite_with_rowid=False,
    )
