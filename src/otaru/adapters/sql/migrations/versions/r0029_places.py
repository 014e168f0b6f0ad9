"""Releases of several components: their order."""

import sqlalchemy as sa
from alembic import op

revision: str = "0029"
down_revision: str | None = "0028"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("artifact", sa.Column("place", sa.SmallInteger(), nullable=False, server_default=sa.text("0")))
