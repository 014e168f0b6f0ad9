"""Segments are held and released with a reason. Workers of before know no held ones: they go on with all of them."""

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0014"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("rollout_segment", sa.Column("reason", sa.Text(), nullable=False, server_default=""))
    op.add_column("rollout_segment", sa.Column("overruled", sa.Boolean(), nullable=False, server_default=sa.false()))
