"""What judges found is kept, with the counts behind it."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019c"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _key(name: str, kind: sa.types.TypeEngine[Any] = Bytewise) -> sa.Column[Any]:
    return sa.Column(name, kind, autoincrement=False, nullable=False)


def _col(name: str, kind: sa.types.TypeEngine[Any] = Bytewise) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    op.create_table(
        "verdict",
        _key("tenant"),
        _key("rollout", sa.Integer()),
        _key("number", sa.Integer()),
        _col("at", sa.BigInteger()),
        _col("segment", sa.SmallInteger()),
        _col("call"),
        _col("log_e", sa.Double()),
        _col("log_threshold", sa.Double()),
        _col("failed", sa.Integer()),
        _col("tried", sa.Integer()),
        _col("words", sa.Text()),
        sa.PrimaryKeyConstraint("tenant", "rollout", "number", name=op.f("pk_verdict")),
    )
    op.create_index("ix_verdict_segment", "verdict", ["tenant", "rollout", "segment", "number"])
