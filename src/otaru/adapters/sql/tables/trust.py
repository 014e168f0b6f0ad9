"""What makes tampering visible: signed metadata and its keys, and transparency logs."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, SmallInteger, Table, Text

from otaru.adapters.sql.tables.columns import Instant, Serial, col, key, metadata

tuf_metadata = Table(
    "tuf_metadata",
    metadata,
    key("tenant"),
    key("repository"),
    key("role"),
    key("version", Integer),
    col("content", LargeBinary),
    col("expires_at", Instant),
    col("signed_at", Instant),
)

tuf_key = Table(
    "tuf_key",
    metadata,
    key("tenant"),
    key("key"),
    col("public", Text),
    col("role"),
    col("place"),
    col("development", Boolean),
    col("created_at", Instant),
    col("revoked_at", Instant, nullable=True),
    col("repository", server_default="image"),
)

trust_anchor = Table(
    "trust_anchor",
    metadata,
    key("tenant"),
    key("format"),
    key("anchor"),
    col("pem", Text),
    col("name", Text),
    col("ends_at", Instant, nullable=True),
    col("created_at", Instant),
)
"""Whom a tenant trusts to sign images of a format."""

direction = Table(
    "direction",
    metadata,
    key("tenant"),
    key("device"),
    col("version", Integer),
    col("root", Integer),
    # The share that it directs to; all 0 where to nothing.
    col("rollout", Integer),
    col("attempt", Integer),
    col("action", Integer),
    col("permit", LargeBinary),
    col("targets", LargeBinary),
    col("snapshot", LargeBinary),
    col("timestamp", LargeBinary),
    col("signed_at", Instant),
    col("expires_at", Instant),
    col("asked_at", Instant, nullable=True),
)
"""What the director has signed for each device that verifies it, the newest. `asked_at`: when it was fetched, to the hour."""

downgrade_permit = Table(
    "downgrade_permit",
    metadata,
    key("tenant"),
    key("device"),
    key("component"),
    col("counter", Integer),
    col("expires_at", Instant),
    col("content", LargeBinary),
    col("brought_at", Instant),
)
"""The newest permission of each component of a device."""

bundle = Table(
    "bundle",
    metadata,
    key("tenant"),
    key("bundle"),
    col("rollout", Integer),
    col("actor"),
    col("created_at", Instant),
    col("expires_at", Instant),
    col("devices", Integer),
    col("digest"),
    Index("ix_bundle_rollout", "tenant", "rollout", "created_at"),
)
"""Bundles for places without a network, as they were exported."""

bundle_device = Table(
    "bundle_device",
    metadata,
    key("tenant"),
    key("bundle"),
    key("device"),
    col("action", Integer),
    col("version", Integer),
    Index("ix_bundle_device", "tenant", "device", "action"),
)

log_waiting = Table(
    "log_waiting",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    col("tenant"),
    col("log"),
    col("at", Instant),
    col("kind"),
    col("subject"),
    col("entry", LargeBinary),
    col("salt", LargeBinary, nullable=True),
    col("text", LargeBinary, nullable=True),
    Index("ix_log_waiting", "tenant", "log", "number"),
)
"""Entries of committed actions that have no place in their log yet. A place given in the action's own transaction would have
workers wait for one another."""

log_entry = Table(
    "log_entry",
    metadata,
    key("tenant"),
    key("log"),
    key("place", BigInteger),
    col("at", Instant),
    col("kind"),
    col("subject"),
    col("entry", LargeBinary),
    col("salt", LargeBinary, nullable=True),
    col("text", LargeBinary, nullable=True),
    Index("ix_log_entry_subject", "tenant", "log", "subject", "place"),
)

log_tile = Table(
    "log_tile",
    metadata,
    key("tenant"),
    key("log"),
    key("level", SmallInteger),
    key("number", BigInteger),
    col("hashes", LargeBinary),
)

log_tree = Table(
    "log_tree",
    metadata,
    key("tenant"),
    key("log"),
    col("size", BigInteger),
    col("signed", BigInteger),
    col("verifier", Text, nullable=True),
)
"""How far each log has come: `size` entries have their place, the first `signed` of them have a checkpoint."""

log_checkpoint = Table(
    "log_checkpoint",
    metadata,
    key("tenant"),
    key("log"),
    key("size", BigInteger),
    col("note", Text),
    col("signed_at", Instant),
    col("witnessed", Boolean),
)
"""The newest of each log, and the newest that a witness has signed too."""
