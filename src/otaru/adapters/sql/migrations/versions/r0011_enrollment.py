"""How devices come by themselves: claims, who came by them, and what they signed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _key(name: str, kind: Any = Bytewise) -> sa.Column[Any]:
    return sa.Column(name, kind, autoincrement=False, nullable=False)


def _col(name: str, kind: Any = Bytewise, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "enrollment",
        _key("tenant"),
        _key("enrollment"),
        _col("label", sa.Text()),
        _col("by_certificate", sa.Boolean()),
        _col("issuer", sa.LargeBinary()),
        _col("digest", sa.LargeBinary()),
        _col("quota", sa.Integer()),
        _col("used", sa.Integer()),
        _col("approval"),
        _col("hardware", nullable=True),
        _col("tags", sa.Text()),
        _col("listed", sa.Boolean()),
        _col("serials", sa.Integer()),
        _col("created_at", sa.BigInteger()),
        _col("expires_at", sa.BigInteger()),
        _col("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "enrollment", name=op.f("pk_enrollment")),
    )
    unrevoked = sa.text("revoked_at IS NULL")
    op.create_index(
        "ix_enrollment_claim",
        "enrollment",
        ["digest", "issuer", "tenant"],
        unique=True,
        sqlite_where=unrevoked,
        postgresql_where=unrevoked,
    )
    op.create_index("ix_enrollment_digest", "enrollment", ["digest"])
    op.create_table(
        "enrollment_serial",
        _key("tenant"),
        _key("enrollment"),
        _key("serial"),
        sa.PrimaryKeyConstraint("tenant", "enrollment", "serial", name=op.f("pk_enrollment_serial")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "enrolled",
        _key("tenant"),
        _key("device"),
        _col("enrollment"),
        _col("public_digest", sa.LargeBinary()),
        _col("at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", "device", name=op.f("pk_enrolled")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_enrolled_public", "enrolled", ["tenant", "public_digest"])
    op.create_table(
        "device_dispute",
        _key("tenant"),
        _key("device"),
        _col("public_digest", sa.LargeBinary()),
        _col("at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", "device", name=op.f("pk_device_dispute")),
    )
    op.create_index("ix_device_dispute_at", "device_dispute", ["tenant", "at"])
    op.create_table(
        "spent_proof",
        _key("tenant"),
        _key("proof", sa.LargeBinary()),
        _col("until", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", "proof", name=op.f("pk_spent_proof")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_spent_proof_until", "spent_proof", ["until"])
    op.create_table(
        "grant_key",
        _key("tenant"),
        _key("key"),
        _col("public", sa.LargeBinary()),
        _col("created_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_grant_key")),
    )
