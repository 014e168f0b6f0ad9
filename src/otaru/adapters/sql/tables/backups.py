"""Backups that devices have sent."""

from sqlalchemy import BigInteger, Index, Table

from otaru.adapters.sql.tables.columns import Instant, col, key, metadata

device_backup = Table(
    "device_backup",
    metadata,
    key("tenant"),
    key("device"),
    key("sha256"),
    col("name"),
    col("size", BigInteger),
    col("upload"),
    col("begun_at", Instant),
    col("finished_at", Instant, nullable=True),
    Index("ix_device_backup_sha256", "tenant", "sha256"),
    sqlite_with_rowid=False,
)
