"""Rollouts, each device's share in them, and what devices said of it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from otaru.adapters.sql.tables.columns import Instant, col, key, metadata

rollout = Table(
    "rollout",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    col("name", Text),
    col("product"),
    col("version"),
    col("target", Text),
    col("state"),
    col("reason", Text),
    col("policy", Text),
    col("seed", BigInteger),
    col("size", Integer),
    col("created_at", Instant),
    col("start_at", Instant, nullable=True),
    col("started_at", Instant, nullable=True),
    col("ended_at", Instant, nullable=True),
    col("edition", Integer),
    col("created_by", Text, server_default=""),
    col("rolls_back", Integer, nullable=True),
    col("install_at", Instant, nullable=True),
    col("install_in_window", Boolean, server_default=false()),
    # The standing order that made it.
    col("follows_group", nullable=True),
    col("follows_channel", nullable=True),
    col("superseded_by", Integer, nullable=True),
    Index("ix_rollout_state", "state"),
    Index(
        "ix_rollout_follows",
        "tenant",
        "follows_group",
        "product",
        "follows_channel",
        "rollout",
        sqlite_where=text("follows_group IS NOT NULL"),
        postgresql_where=text("follows_group IS NOT NULL"),
    ),
    Index(
        "ix_rollout_rolls_back",
        "tenant",
        "rolls_back",
        "rollout",
        sqlite_where=text("rolls_back IS NOT NULL"),
        postgresql_where=text("rolls_back IS NOT NULL"),
    ),
    Index("ix_rollout_release", "tenant", "product", "version", "rollout"),
)

rollout_wave = Table(
    "rollout_wave",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("wave", SmallInteger),
    col("start", Integer),
    col("height", Integer),
    col("state"),
    col("opened_at", Instant, nullable=True),
    col("complete_at", Instant, nullable=True),
    col("reason", Text),
)

rollout_segment = Table(
    "rollout_segment",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("segment", SmallInteger),
    col("name", Text),
    col("size", Integer),
    col("held", Boolean),
    col("watermark", Integer),
    col("reason", Text, server_default=""),
    col("overruled", Boolean, server_default=false()),
)

OPEN_STATES = "'offered','awaiting_consent','postponed','downloading','downloaded','installing','rebooting','on_trial','cancelling'"

deployment = Table(
    "deployment",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("device"),
    key("attempt", SmallInteger),
    col("current", Boolean),
    col("state"),
    col("segment", SmallInteger),
    col("wave", SmallInteger),
    col("rank", Integer),
    # NULL until it is offered: NULLs are distinct, so the key below binds offered ones only.
    col("action", Integer, nullable=True),
    col("changed_at", Instant),
    col("offered_at", Instant, nullable=True),
    col("ended_at", Instant, nullable=True),
    # What ran before it was offered; NULL where nothing was known, or nobody was told.
    col("base", nullable=True),
    UniqueConstraint("tenant", "device", "action"),
    # A device has at most one open deployment (DOMAIN, Invariants): the schema says so too.
    Index(
        "uq_deployment_open",
        "tenant",
        "device",
        unique=True,
        sqlite_where=text(f"state IN ({OPEN_STATES})"),
        postgresql_where=text(f"state IN ({OPEN_STATES})"),
    ),
    Index(
        "ix_deployment_scheduled",
        "tenant",
        "device",
        "rollout",
        sqlite_where=text("state = 'scheduled'"),
        postgresql_where=text("state = 'scheduled'"),
    ),
    # The worker asks each second whose trial is over.
    Index(
        "ix_deployment_trial",
        "tenant",
        "rollout",
        "changed_at",
        "device",
        sqlite_where=text("state = 'on_trial'"),
        postgresql_where=text("state = 'on_trial'"),
    ),
    Index("ix_deployment_state", "tenant", "rollout", "state", "device"),
    sqlite_with_rowid=False,
)

deployment_reason = Table(
    "deployment_reason",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("device"),
    key("attempt", SmallInteger),
    col("reason", Text),
)
"""Last words, apart from the hot row: only deployments that ended badly have one."""

deployment_delay = Table(
    "deployment_delay",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("device"),
    key("attempt", SmallInteger),
    col("until", Instant),
    col("times", Integer),
    sqlite_with_rowid=False,
)
"""Until when owners have postponed their updates: only of those that were."""

offer_slot = Table(
    "offer_slot",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("minute", Integer),
    col("taken", Integer),
    Index("ix_offer_slot_minute", "minute"),
    sqlite_with_rowid=False,
)
"""How many devices were told of a rollout in each minute of its window."""

deployment_count = Table(
    "deployment_count",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("segment", SmallInteger),
    key("wave", SmallInteger),
    key("state"),
    # Each worker counts in a shard of its own, so that workers do not wait for one another; readers sum them.
    key("shard", SmallInteger),
    col("members", BigInteger),
)

verdict = Table(
    "verdict",
    metadata,
    key("tenant"),
    key("rollout", Integer),
    key("number", Integer),
    col("at", Instant),
    col("segment", SmallInteger),  # -1: all members
    col("call"),
    col("log_e", Double),
    col("log_threshold", Double),
    col("failed", Integer),
    col("tried", Integer),
    col("words", Text),
    Index("ix_verdict_segment", "tenant", "rollout", "segment", "number"),
)
"""What judges found, over time: kept where it says something new."""

report = Table(
    "report",
    metadata,
    key("tenant"),
    key("device"),
    key("action", Integer),
    key("digest"),  # in hexadecimal: bytes could not be looked up by the many (`lean.fetch_keyed`)
    col("received_at", Instant),
    col("event", nullable=True),
    col("execution"),
    col("result"),
    col("messages", Text),
    col("device_time"),
)
