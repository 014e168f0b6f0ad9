"""How many devices were told of a rollout in each minute of its window."""

import sqlalchemy as sa
from alembic import op

revision: str = "0019c"
down_revision: str | None = "0019b"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "offer_slot",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("minute", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rollout", "minute", name=op.f("pk_offer_slot")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_offer_slot_minute", "offer_slot", ["minute"])
