"""What devices told of their health: the events themselves, their counts for the judge, the last telemetry."""

from sqlalchemy import BigInteger, Boolean, Double, Index, Integer, SmallInteger, Table, Text

from otaru.adapters.sql.tables.columns import Instant, col, key, metadata

health_event = Table(
    "health_event",
    metadata,
    key("tenant"),
    key("device"),
    key("event"),
    col("kind"),
    col("received_at", Instant),
    col("text", Text),
    col("name"),
    col("value", Double),
    col("device_time", Text),
    Index("ix_health_event_received", "tenant", "received_at", "device"),
    Index("ix_health_event_device", "tenant", "device", "received_at"),
    sqlite_with_rowid=False,
)

health_count = Table(
    "health_count",
    metadata,
    key("tenant"),
    key("rollout", Integer),  # 0: of devices in no active rollout
    key("segment", SmallInteger),
    key("arm"),
    key("hour", Integer),
    key("age", SmallInteger),
    key("kind"),
    key("shard", SmallInteger),
    col("events", BigInteger),
    col("devices", BigInteger),
    sqlite_with_rowid=False,
)
"""Events counted where the device stood when we heard of them. The sum over shards is what is true."""

exposure_count = Table(
    "exposure_count",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("segment", SmallInteger),
    key("arm"),
    key("hour", Integer),
    key("shard", SmallInteger),
    col("devices", BigInteger),
    sqlite_with_rowid=False,
)
"""Members that came into an arm in an hour, less those that left it: the sum up to an hour is who was at risk."""

health_mark = Table(
    "health_mark",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("shard", SmallInteger),
    col("moves", BigInteger),
    sqlite_with_rowid=False,
)
"""How often what was counted of a rollout's health has moved: whoever saw the sum need not look again."""

silence_count = Table(
    "silence_count",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("hour", Integer),
    key("segment", SmallInteger),
    key("sign"),
    key("arm"),
    key("fresh", Boolean),
    col("devices", BigInteger),
    col("at_risk", BigInteger),
    sqlite_with_rowid=False,
)
"""Devices that stopped being heard in an hour, of those that could have: looked at once when the hour is over."""

telemetry_score = Table(
    "telemetry_score",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("segment", SmallInteger),
    key("name"),
    key("look", SmallInteger),
    key("score", SmallInteger),
    key("shard", SmallInteger),
    col("devices", BigInteger),
    sqlite_with_rowid=False,
)
"""Updated devices by how their telemetry changed, compared with control's at the same time."""

telemetry_witness = Table(
    "telemetry_witness",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("name"),
    key("look", SmallInteger),
    key("device"),
    col("score", SmallInteger, nullable=True),
    sqlite_with_rowid=False,
)
"""Devices that a comparison has used, each once: updated ones with their score, those of control without."""

telemetry_last = Table(
    "telemetry_last",
    metadata,
    key("tenant"),
    key("device"),
    key("name"),
    col("value", Double),
    col("since", Instant),
    Index("ix_telemetry_last_value", "tenant", "name", "value", "device"),
    sqlite_with_rowid=False,
)
