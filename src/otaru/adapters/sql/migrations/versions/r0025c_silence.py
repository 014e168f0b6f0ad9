"""Devices that stopped being heard are counted hour by hour, by rollout, segment and arm."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0025c"
down_revision: str | None = "0025b"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _key(name: str, kind: sa.types.TypeEngine[Any] = Bytewise) -> sa.Column[Any]:
    return sa.Column(name, kind, autoincrement=False, nullable=False)


def upgrade() -> None:
    op.create_table(
        "silence_count",
        _key("tenant"),
        _key("rollout", sa.Integer()),
        _key("hour", sa.Integer()),
        _key("segment", sa.SmallInteger()),
        _key("sign"),
        _key("arm"),
        _key("fresh", sa.Boolean()),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.Column("at_risk", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "rollout", "hour", "segment", "sign", "arm", "fresh", name=op.f("pk_silence_count")
        ),
        sqlite_with_rowid=False,
    )
