"""What devices are asked to do beside updates, what they sent of it, and alerts."""

from sqlalchemy import BigInteger, Boolean, Double, Index, Integer, LargeBinary, Table, Text, text

from otaru.adapters.sql.tables.columns import Instant, col, key, metadata

OPEN = text("state IN ('waiting', 'taken')")

errand = Table(
    "errand",
    metadata,
    key("tenant"),
    key("device"),
    key("number", Integer),
    col("what"),
    col("name"),
    col("state"),
    col("asked_by", Text),
    col("created_at", Instant),
    col("expires_at", Instant),
    col("changed_at", Instant),
    col("ended_at", Instant, nullable=True),
    col("code"),
    col("text", Text),
    col("size", BigInteger, nullable=True),
    col("sha256"),
    Index("ix_errand_open", "tenant", "expires_at", "device", sqlite_where=OPEN, postgresql_where=OPEN),
    Index("ix_errand_ended", "ended_at"),
    sqlite_with_rowid=False,
)

errand_part = Table(
    "errand_part",
    metadata,
    key("tenant"),
    key("device"),
    key("number", Integer),
    key("first", BigInteger),
    col("content", LargeBinary),
)
"""Diagnostics as they came, part by part: small, few, and gone after some days; so they are here and no blobs."""

alert = Table(
    "alert",
    metadata,
    key("tenant"),
    key("alert"),
    col("matching", Text),
    col("among", Text),
    col("least", BigInteger),
    col("share", Double),
    col("mail", Text),
    col("created_at", Instant),
    col("raised_at", Instant, nullable=True),
    col("changed_at", Instant, nullable=True),
    col("looked_at", Instant, nullable=True),
    col("devices", BigInteger),
    col("among_devices", BigInteger),
    col("untold", Boolean),
    col("trouble", Text),
)
