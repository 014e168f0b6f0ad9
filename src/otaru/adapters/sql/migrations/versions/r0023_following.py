"""Groups follow channels: standing orders, and the rollouts that they make."""

import sqlalchemy as sa
from alembic import op

revision: str = "0023"
down_revision: str | None = "0025c"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "following",
        *(sa.Column(name, Bytewise, autoincrement=False, nullable=False) for name in ("tenant", "name")),
        *(sa.Column(name, Bytewise, autoincrement=False, nullable=False) for name in ("product", "channel")),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("growth", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("waits", sa.Text(), nullable=False, server_default=""),
        sa.Column("stuck", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("dealt", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("tenant", "name", "product", "channel", name=op.f("pk_following")),
    )
    op.add_column("rollout", sa.Column("follows_group", Bytewise, nullable=True))
    op.add_column("rollout", sa.Column("follows_channel", Bytewise, nullable=True))
    op.add_column("rollout", sa.Column("superseded_by", sa.Integer(), nullable=True))
    op.create_index(
        "ix_rollout_follows",
        "rollout",
        ["tenant", "follows_group", "product", "follows_channel", "rollout"],
        sqlite_where=sa.text("follows_group IS NOT NULL"),
        postgresql_where=sa.text("follows_group IS NOT NULL"),
    )
