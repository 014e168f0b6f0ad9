"""What happened, in the order in which it became true."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from otaru.adapters.sql.tables.columns import Instant, Serial, col, metadata

event = Table(
    "event",
    metadata,
    Column("sequence", Serial, primary_key=True, autoincrement=True),
    # The transaction that wrote it: on PostgreSQL sequences commit out of order, readers follow (transaction, sequence)
    # up to the oldest transaction still running. On SQLite, which has one writer, it is 0.
    col("transaction", BigInteger),
    col("tenant"),
    col("at", Instant),
    col("actor"),
    col("kind"),
    col("subject"),
    col("data", Text),
    Index("ix_event_position", "transaction", "sequence"),
    Index("ix_event_tenant", "tenant", "transaction", "sequence"),
    Index("ix_event_subject", "tenant", "subject", "transaction", "sequence"),
    Index("ix_event_kind", "tenant", "kind", "transaction", "sequence"),
    sqlite_autoincrement=True,
)
