"""Telemetry of updated devices is compared with control's: the scores, counted, and who has been compared."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _key(name: str, kind: sa.types.TypeEngine[Any] = Bytewise) -> sa.Column[Any]:
    return sa.Column(name, kind, autoincrement=False, nullable=False)


def upgrade() -> None:
    op.create_table(
        "telemetry_score",
        _key("tenant"),
        _key("rollout", sa.Integer()),
        _key("segment", sa.SmallInteger()),
        _key("name"),
        _key("look", sa.SmallInteger()),
        _key("score", sa.SmallInteger()),
        _key("shard", sa.SmallInteger()),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "rollout", "segment", "name", "look", "score", "shard", name=op.f("pk_telemetry_score")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "telemetry_witness",
        _key("tenant"),
        _key("rollout", sa.Integer()),
        _key("name"),
        _key("look", sa.SmallInteger()),
        _key("device"),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "rollout", "name", "look", "device", name=op.f("pk_telemetry_witness")),
        sqlite_with_rowid=False,
    )
