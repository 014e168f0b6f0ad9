"""Organisations, who may speak for them, and what they were answered."""

from sqlalchemy import Boolean, Index, Integer, LargeBinary, Table, Text

from otaru.adapters.sql.tables.columns import Instant, col, key, metadata

tenant = Table(
    "tenant",
    metadata,
    key("tenant"),
    col("created_at", Instant),
    col("settings", Text),
    col("halted", Boolean),
    col("halt_reason", Text),
    col("edition", Integer),
    col("blackouts", Text, server_default="[]"),
)

token = Table(
    "token",
    metadata,
    key("tenant"),
    key("token"),
    col("digest", LargeBinary, unique=True),
    col("kind"),
    col("role"),
    col("label", Text),
    col("created_at", Instant),
    col("expires_at", Instant, nullable=True),
    col("revoked_at", Instant, nullable=True),
    col("parent", nullable=True),
)

idempotency = Table(
    "idempotency",
    metadata,
    key("tenant"),
    key("token"),
    key("key"),
    col("request", LargeBinary),
    col("status", Integer),
    col("body", LargeBinary),
    col("created_at", Instant),
    Index("ix_idempotency_created", "created_at"),
)
