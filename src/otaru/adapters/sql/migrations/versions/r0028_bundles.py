"""Bundles for places without a network."""

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "bundle",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("bundle", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("actor", Bytewise, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("devices", sa.Integer(), nullable=False),
        sa.Column("digest", Bytewise, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "bundle", name=op.f("pk_bundle")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_bundle_rollout", "bundle", ["tenant", "rollout", "created_at"])
    op.create_table(
        "bundle_device",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("bundle", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("action", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "bundle", "device", name=op.f("pk_bundle_device")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_bundle_device", "bundle_device", ["tenant", "device", "action"])
