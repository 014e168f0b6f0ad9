"""TUF metadata and keys."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tuf_key",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("key", Bytewise, autoincrement=False, nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("role", Bytewise, nullable=False),
        sa.Column("place", Bytewise, nullable=False),
        sa.Column("development", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_tuf_key")),
    )
    op.create_table(
        "tuf_metadata",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("repository", Bytewise, autoincrement=False, nullable=False),
        sa.Column("role", Bytewise, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "repository", "role", "version", name=op.f("pk_tuf_metadata")),
    )
