"""Where each device stands is listed, and found and counted by an index.

What devices stand at is listed here from their deployments. Workers of before go on with the list of failed devices,
which stays; who is moved by them meanwhile stands where it stood until it is moved again. Stop them first where lists
by `state` must not be wrong for so long.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

STANDING = """
INSERT INTO device_standing (tenant, device, state)
SELECT tenant, device, state FROM (
  SELECT p.tenant, p.device, p.state, row_number() OVER (PARTITION BY p.tenant, p.device
    ORDER BY CASE WHEN p.ended_at IS NULL THEN 0 ELSE 1 END, p.ended_at DESC, p.rollout DESC, p.attempt DESC) AS place
  FROM deployment p
  JOIN device d ON d.tenant = p.tenant AND d.device = p.device AND d.lifecycle <> 'decommissioned'
  WHERE p.state <> 'scheduled'
) AS newest WHERE place = 1"""


def upgrade() -> None:
    op.create_table(
        "device_standing",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("state", Bytewise, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", name=op.f("pk_device_standing")),
        sqlite_with_rowid=False,
    )
    op.execute(STANDING)
    op.create_index("ix_device_standing_state", "device_standing", ["tenant", "state", "device"])
