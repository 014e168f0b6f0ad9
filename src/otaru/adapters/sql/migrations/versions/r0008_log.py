"""The transparency log: entries, tiles, checkpoints."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key(name: str, kind: Any = Bytewise) -> sa.Column[Any]:
    return sa.Column(name, kind, autoincrement=False, nullable=False)


def _entry() -> list[sa.Column[Any]]:
    return [
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", Bytewise, nullable=False),
        sa.Column("subject", Bytewise, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("text", sa.LargeBinary(), nullable=True),
    ]


def upgrade() -> None:
    op.create_table(
        "log_waiting",
        sa.Column("number", Serial, autoincrement=True, nullable=False),
        sa.Column("tenant", Bytewise, nullable=False),
        sa.Column("log", Bytewise, nullable=False),
        *_entry(),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_log_waiting")),
    )
    op.create_index("ix_log_waiting", "log_waiting", ["tenant", "log", "number"])
    op.create_table(
        "log_entry",
        _key("tenant"),
        _key("log"),
        _key("place", sa.BigInteger()),
        *_entry(),
        sa.PrimaryKeyConstraint("tenant", "log", "place", name=op.f("pk_log_entry")),
    )
    op.create_index("ix_log_entry_subject", "log_entry", ["tenant", "log", "subject", "place"])
    op.create_table(
        "log_tile",
        _key("tenant"),
        _key("log"),
        _key("level", sa.SmallInteger()),
        _key("number", sa.BigInteger()),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "log", "level", "number", name=op.f("pk_log_tile")),
    )
    op.create_table(
        "log_tree",
        _key("tenant"),
        _key("log"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("signed", sa.BigInteger(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "log", name=op.f("pk_log_tree")),
    )
    op.create_table(
        "log_checkpoint",
        _key("tenant"),
        _key("log"),
        _key("size", sa.BigInteger()),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("witnessed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "log", "size", name=op.f("pk_log_checkpoint")),
    )
