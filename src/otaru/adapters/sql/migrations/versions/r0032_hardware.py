"""Devices counted by their hardware and what runs in their components; what is there already is counted here."""

import sqlalchemy as sa
from alembic import op

revision: str = "0032"
down_revision: str | None = "0031"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

HARDWARE = """
INSERT INTO hardware_count (tenant, component, version, model, hardware_revision, shard, devices)
SELECT c.tenant, c.component, c.version, d.model, d.hardware_revision, 0, count(*) FROM device_component c
JOIN device d ON d.tenant = c.tenant AND d.device = c.device AND d.lifecycle <> 'decommissioned'
GROUP BY 1, 2, 3, 4, 5"""


def upgrade() -> None:
    op.create_table(
        "hardware_count",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("component", Bytewise, autoincrement=False, nullable=False),
        sa.Column("version", Bytewise, autoincrement=False, nullable=False),
        sa.Column("model", Bytewise, autoincrement=False, nullable=False),
        sa.Column("hardware_revision", Bytewise, autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "component", "version", "model", "hardware_revision", "shard", name=op.f("pk_hardware_count")
        ),
        sqlite_with_rowid=False,
    )
    op.execute(HARDWARE)
