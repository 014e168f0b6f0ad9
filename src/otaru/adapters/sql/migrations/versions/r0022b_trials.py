"""Whose trial is over is found by when it began."""

import sqlalchemy as sa
from alembic import op

revision: str = "0022b"
down_revision: str | None = "0022"
branch_labels: str | None = None
depends_on: str | None = None

ON_TRIAL = sa.text("state = 'on_trial'")


def upgrade() -> None:
    op.create_index(
        "ix_deployment_trial",
        "deployment",
        ["tenant", "rollout", "changed_at", "device"],
        sqlite_where=ON_TRIAL,
        postgresql_where=ON_TRIAL,
    )
