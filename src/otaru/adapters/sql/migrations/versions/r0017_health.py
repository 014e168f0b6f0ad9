"""Devices tell of their health: events are kept, counted by rollout and arm, and the last telemetry is known."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_HOUR = 3600 * 1_000_000

# Who stands where now; how they came there is not known any more, but for those whose last move that was.
EXPOSED = f"""
INSERT INTO exposure_count (tenant, rollout, segment, arm, hour, shard, devices)
SELECT tenant, rollout, segment, arm, hour, 0, count(*) FROM (
  SELECT d.tenant, d.rollout, d.segment,
    CASE WHEN d.state IN ('on_trial', 'succeeded') THEN 'updated' ELSE 'control' END AS arm,
    CASE WHEN d.state IN ('on_trial', 'succeeded') THEN d.changed_at ELSE r.created_at END / {_HOUR} AS hour
  FROM deployment d JOIN rollout r ON r.tenant = d.tenant AND r.rollout = d.rollout
  WHERE d.current AND d.state IN ('scheduled', 'offered', 'awaiting_consent', 'postponed', 'downloading', 'downloaded',
    'on_trial', 'succeeded')
) AS members GROUP BY tenant, rollout, segment, arm, hour"""


def _key(name: str, kind: sa.types.TypeEngine[Any] = Bytewise) -> sa.Column[Any]:
    return sa.Column(name, kind, autoincrement=False, nullable=False)


def _col(name: str, kind: sa.types.TypeEngine[Any] = Bytewise) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    op.create_table(
        "health_event",
        _key("tenant"),
        _key("device"),
        _key("event"),
        _col("kind"),
        _col("received_at", sa.BigInteger()),
        _col("text", sa.Text()),
        _col("name"),
        _col("value", sa.Double()),
        _col("device_time", sa.Text()),
        sa.PrimaryKeyConstraint("tenant", "device", "event", name=op.f("pk_health_event")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_health_event_received", "health_event", ["tenant", "received_at", "device"])
    op.create_index("ix_health_event_device", "health_event", ["tenant", "device", "received_at"])
    op.create_table(
        "health_count",
        _key("tenant"),
        _key("rollout", sa.Integer()),
        _key("segment", sa.SmallInteger()),
        _key("arm"),
        _key("hour", sa.Integer()),
        _key("age", sa.SmallInteger()),
        _key("kind"),
        _key("shard", sa.SmallInteger()),
        _col("events", sa.BigInteger()),
        _col("devices", sa.BigInteger()),
        sa.PrimaryKeyConstraint(
            "tenant", "rollout", "segment", "arm", "hour", "age", "kind", "shard", name=op.f("pk_health_count")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "exposure_count",
        _key("tenant"),
        _key("rollout", sa.Integer()),
        _key("segment", sa.SmallInteger()),
        _key("arm"),
        _key("hour", sa.Integer()),
        _key("shard", sa.SmallInteger()),
        _col("devices", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", "rollout", "segment", "arm", "hour", "shard", name=op.f("pk_exposure_count")),
        sqlite_with_rowid=False,
    )
    op.execute(EXPOSED)
    op.create_table(
        "telemetry_last",
        _key("tenant"),
        _key("device"),
        _key("name"),
        _col("value", sa.Double()),
        _col("since", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", "device", "name", name=op.f("pk_telemetry_last")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_telemetry_last_value", "telemetry_last", ["tenant", "name", "value", "device"])
