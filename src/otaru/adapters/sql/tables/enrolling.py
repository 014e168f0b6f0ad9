"""How devices come by themselves: claims, who came by them, and what they signed."""

from sqlalchemy import Boolean, Index, Integer, LargeBinary, Table, Text, text

from otaru.adapters.sql.tables.columns import Instant, col, key, metadata

enrollment = Table(
    "enrollment",
    metadata,
    key("tenant"),
    key("enrollment"),
    col("label", Text),
    # The claim: of a token its digest, of a certificate those of its authority's key and its own.
    col("by_certificate", Boolean),
    col("issuer", LargeBinary),
    col("digest", LargeBinary),
    col("quota", Integer),
    col("used", Integer),
    col("approval"),
    col("hardware", nullable=True),
    col("tags", Text),
    col("listed", Boolean),
    col("serials", Integer),
    col("created_at", Instant),
    col("expires_at", Instant),
    col("revoked_at", Instant, nullable=True),
    # A claim opens one at a time.
    Index(
        "ix_enrollment_claim",
        "digest",
        "issuer",
        "tenant",
        unique=True,
        sqlite_where=text("revoked_at IS NULL"),
        postgresql_where=text("revoked_at IS NULL"),
    ),
    Index("ix_enrollment_digest", "digest"),
)

enrollment_serial = Table(
    "enrollment_serial",
    metadata,
    key("tenant"),
    key("enrollment"),
    key("serial"),
    sqlite_with_rowid=False,
)

enrolled = Table(
    "enrolled",
    metadata,
    key("tenant"),
    key("device"),
    col("enrollment"),
    col("public_digest", LargeBinary),
    col("at", Instant),
    Index("ix_enrolled_public", "tenant", "public_digest"),
    sqlite_with_rowid=False,
)

device_dispute = Table(
    "device_dispute",
    metadata,
    key("tenant"),
    key("device"),
    col("public_digest", LargeBinary),
    col("at", Instant),
    Index("ix_device_dispute_at", "tenant", "at"),
)

spent_proof = Table(
    "spent_proof",
    metadata,
    key("tenant"),
    key("proof", LargeBinary),
    col("until", Instant),
    Index("ix_spent_proof_until", "until"),
    sqlite_with_rowid=False,
)

grant_key = Table(
    "grant_key",
    metadata,
    key("tenant"),
    key("key"),
    col("public", LargeBinary),
    col("created_at", Instant),
)
