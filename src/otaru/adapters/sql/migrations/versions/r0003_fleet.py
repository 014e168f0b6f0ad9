"""The fleet counted: devices by lifecycle, version and last contact, the failed ones, and events by kind.

What is there already is counted here. When which version came is known only from the versions that still run.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

LIFECYCLES = """
INSERT INTO device_count (tenant, lifecycle, shard, devices)
SELECT tenant, lifecycle, 0, count(*) FROM device GROUP BY tenant, lifecycle"""

COMPONENTS = """
INSERT INTO component_count (tenant, hour, component, version, shard, devices)
SELECT c.tenant, {hour}, c.component, c.version, 0, count(*) FROM device_component c
JOIN device d ON d.tenant = c.tenant AND d.device = c.device AND d.lifecycle <> 'decommissioned'
GROUP BY 1, 2, 3, 4"""

CONTACTS = """
INSERT INTO contact_count (tenant, hour, shard, devices)
SELECT c.tenant, c.last_contact / 3600000000, 0, count(*) FROM device_contact c
JOIN device d ON d.tenant = c.tenant AND d.device = c.device AND d.lifecycle <> 'decommissioned'
GROUP BY 1, 2"""

FAILED = """
INSERT INTO device_failed (tenant, device)
SELECT tenant, device FROM (
  SELECT p.tenant, p.device, p.state, row_number() OVER (PARTITION BY p.tenant, p.device
    ORDER BY CASE WHEN p.ended_at IS NULL THEN 1 ELSE 0 END DESC, p.ended_at DESC, p.rollout DESC, p.attempt DESC) AS place
  FROM deployment p
  JOIN device d ON d.tenant = p.tenant AND d.device = p.device AND d.lifecycle <> 'decommissioned'
  WHERE p.state <> 'scheduled'
) AS newest WHERE place = 1 AND state IN ('failed', 'reverted', 'silent')"""


def upgrade() -> None:
    op.create_table(
        "device_failed",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", name=op.f("pk_device_failed")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "device_count",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("lifecycle", Bytewise, autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "lifecycle", "shard", name=op.f("pk_device_count")),
    )
    op.create_table(
        "component_count",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("component", Bytewise, autoincrement=False, nullable=False),
        sa.Column("version", Bytewise, autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "hour", "component", "version", "shard", name=op.f("pk_component_count")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "contact_count",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "hour", "shard", name=op.f("pk_contact_count")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_event_kind", "event", ["tenant", "kind", "transaction", "sequence"], unique=False)
    for statement in (
        LIFECYCLES,
        COMPONENTS.format(hour="0"),
        COMPONENTS.format(hour="c.at / 3600000000"),
        CONTACTS,
        FAILED,
    ):
        op.execute(statement)
