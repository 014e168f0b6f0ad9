"""Releases are listed newest first, and the rollouts of one are found by it."""

from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_index("ix_release_created", "release", ["tenant", "created_at"])
    op.create_index("ix_rollout_release", "rollout", ["tenant", "product", "version", "rollout"])
