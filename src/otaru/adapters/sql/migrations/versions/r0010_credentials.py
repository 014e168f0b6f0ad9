"""Credentials of devices beside their target tokens, and tenants' certificate authorities."""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, Bytewise, autoincrement=False, nullable=False)


def upgrade() -> None:
    op.create_table(
        "credential",
        _key("tenant"),
        _key("device"),
        _key("credential"),
        sa.Column("kind", Bytewise, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("issuer", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "device", "credential", name=op.f("pk_credential")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_credential_digest", "credential", ["tenant", "digest", "kind", "issuer"], unique=True)
    op.create_table(
        "authority",
        _key("tenant"),
        _key("authority"),
        sa.Column("key", Bytewise, nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=True),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "authority", name=op.f("pk_authority")),
    )
