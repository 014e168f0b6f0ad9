"""What the director signs for each device, whose key is whose, and how far a device verifies."""

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "direction",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("version", "root", "rollout", "attempt", "action")
        ),
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in ("permit", "targets", "snapshot", "timestamp")),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "device", name=op.f("pk_direction")),
    )
    op.create_table(
        "downgrade_permit",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("component", Bytewise, autoincrement=False, nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("brought_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", "component", name=op.f("pk_downgrade_permit")),
    )
    op.add_column("tuf_key", sa.Column("repository", Bytewise, nullable=False, server_default="image"))
    op.add_column("device", sa.Column("assurance", Bytewise, nullable=False, server_default="L1"))
    others = sa.text("assurance <> 'L1'")
    op.create_index(
        "ix_device_assurance",
        "device",
        ["tenant", "assurance", "device"],
        sqlite_where=others,
        postgresql_where=others,
    )
