"""Releases have terms and a place in their product's version order; components have security counters.

A release that was there is software in the channel `stable`, without terms, and is given its place here. One that the
program before this one adds meanwhile has no place until its product's order is set.
"""

import sqlalchemy as sa
from alembic import op

from otaru.domain.ids import Version
from otaru.domain.versions import VersionOrder, key

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

RELEASE = sa.table("release", *map(sa.column, ("tenant", "product", "version", "sort_key")))


def upgrade() -> None:
    op.add_column("device_component", sa.Column("counter", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("product", sa.Column("version_order", Bytewise, nullable=False, server_default="auto"))
    for column in (
        sa.Column("type", Bytewise, nullable=False, server_default="software"),
        sa.Column("channel", Bytewise, nullable=False, server_default="stable"),
        sa.Column("support_until", Bytewise, nullable=True),
        sa.Column("requires", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("floor", Bytewise, nullable=True),
        sa.Column("security_floor", sa.Integer(), nullable=True),
        sa.Column("counter", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("sort_key", Bytewise, nullable=False, server_default=""),
    ):
        op.add_column("release", column)
    connection = op.get_bind()
    for (version,) in connection.execute(sa.select(RELEASE.c.version).distinct()).all():
        place = key(VersionOrder.AUTO, Version(version))
        connection.execute(sa.update(RELEASE).where(RELEASE.c.version == version).values(sort_key=place))
    op.create_index("ix_release_sorted", "release", ["tenant", "product", "sort_key", "version"])
