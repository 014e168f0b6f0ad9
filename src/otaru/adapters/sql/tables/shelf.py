"""Products, releases and the bytes that they are made of."""

from sqlalchemy import BigInteger, Boolean, Index, Integer, SmallInteger, Table, Text, false, text, true

from otaru.adapters.sql.tables.columns import Instant, col, key, metadata

product = Table(
    "product",
    metadata,
    key("tenant"),
    key("product"),
    col("created_at", Instant),
    col("version_order", server_default="auto"),
)

release = Table(
    "release",
    metadata,
    key("tenant"),
    key("product"),
    key("version"),
    col("state"),
    col("notes", Text),
    col("created_at", Instant),
    col("published_at", Instant, nullable=True),
    col("edition", Integer),
    col("type", server_default="software"),
    col("channel", server_default="stable"),
    col("support_until", nullable=True),  # a date, ISO 8601
    col("requires", Text, server_default="[]"),
    col("floor", nullable=True),
    col("security_floor", Integer, nullable=True),
    col("counter", Integer, server_default="0"),
    # `versions.key` in the product's order: bytewise, it sorts as versions do.
    col("sort_key", server_default=""),
    # Published before roles knew channels: stays listed in `stable` with the counter 0, as it was signed.
    col("listed_plainly", Boolean, server_default=false()),
    col("no_way_back", Boolean, server_default=false()),
    Index("ix_release_created", "tenant", "created_at"),
    Index("ix_release_sorted", "tenant", "product", "sort_key", "version"),
)

artifact = Table(
    "artifact",
    metadata,
    key("tenant"),
    key("product"),
    key("version"),
    key("component"),
    key("model"),
    key("hardware_revision"),
    col("filename", Text),
    col("sha256"),
    # Kept as it was when it was first signed: what is published never says something else.
    col("installer", server_default=""),
    # Of its component among those of the release.
    col("place", SmallInteger, server_default=text("0")),
    # As `installer`.
    col("installer_digest", server_default=""),
    Index("ix_artifact_sha256", "tenant", "sha256"),
)

release_document = Table(
    "release_document",
    metadata,
    key("tenant"),
    key("product"),
    key("version"),
    key("kind"),
    col("form", Text),
    col("sha256"),
    Index("ix_release_document_sha256", "tenant", "sha256"),
)
"""Bills of materials and the like: stored bytes that say something of a release."""

blob = Table(
    "blob",
    metadata,
    key("tenant"),
    key("sha256"),
    col("sha1"),
    col("md5"),
    col("size", BigInteger),
    col("created_at", Instant),
    col("uploaded", Boolean, server_default=true()),
    Index("ix_blob_sha256", "sha256"),
)
"""Which tenant has which bytes. Uploaded: somebody brought them as a file; others are here for what names them, and go with it."""

inspection = Table(
    "inspection",
    metadata,
    key("tenant"),
    key("sha256"),
    col("format", nullable=True),
    col("facts", Text, nullable=True),  # JSON
    col("broken", Text, nullable=True),
    col("reader", Integer),
    col("stale", Boolean),
    col("read_at", Instant),
    Index("ix_inspection_stale", "tenant", "sha256", sqlite_where=text("stale"), postgresql_where=text("stale")),
)
"""What bytes say of themselves: facts, or why they are broken. Stale: judged by other trust anchors than there are now."""

delta = Table(
    "delta",
    metadata,
    key("tenant"),
    key("to_sha256"),
    key("from_sha256"),
    key("codec"),
    col("product"),
    col("source_version"),
    col("target_version"),
    col("state"),
    col("due_at", Instant),
    col("created_at", Instant),
    col("window_size", Integer, nullable=True),
    col("attempts", Integer),
    col("patch", nullable=True),
    col("size", BigInteger, nullable=True),
    col("full_size", BigInteger, nullable=True),
    col("memory", BigInteger, nullable=True),
    col("reason", Text, nullable=True),
    col("ended_at", Instant, nullable=True),
    Index(
        "ix_delta_due",
        "due_at",
        sqlite_where=text("state IN ('waiting', 'making')"),
        postgresql_where=text("state IN ('waiting', 'making')"),
    ),
    Index("ix_delta_patch", "tenant", "patch"),
    sqlite_with_rowid=False,
)
"""Deltas, and the orders to make them: a queue that those in `waiting` and `making` are in."""

upload = Table(
    "upload",
    metadata,
    key("tenant"),
    key("upload"),
    col("size_limit", BigInteger),
    col("size", BigInteger, nullable=True),
    col("filename", Text),
    col("created_at", Instant),
)
