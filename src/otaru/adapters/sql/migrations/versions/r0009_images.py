"""What images say of themselves is kept, with the tenant's trust anchors; an artifact keeps what installs it.

An artifact that was there has no installer: its metadata goes on saying what the end of its file's name says.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, Bytewise, autoincrement=False, nullable=False)


def upgrade() -> None:
    op.add_column("artifact", sa.Column("installer", Bytewise, nullable=False, server_default=""))
    op.create_table(
        "inspection",
        _key("tenant"),
        _key("sha256"),
        sa.Column("format", Bytewise, nullable=True),
        sa.Column("facts", sa.Text(), nullable=True),
        sa.Column("broken", sa.Text(), nullable=True),
        sa.Column("reader", sa.Integer(), nullable=False),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sha256", name=op.f("pk_inspection")),
    )
    op.create_index(
        "ix_inspection_stale",
        "inspection",
        ["tenant", "sha256"],
        sqlite_where=sa.text("stale"),
        postgresql_where=sa.text("stale"),
    )
    op.create_table(
        "trust_anchor",
        _key("tenant"),
        _key("format"),
        _key("anchor"),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "format", "anchor", name=op.f("pk_trust_anchor")),
    )
