"""Releases are signed by the role of their channel, with their security counter, and have documents.

What was published before is listed in `stable` with the counter 0, and stays so: what is signed does not change. So is a
draft whose channel cannot stand in a role's name; other drafts go to the role of their channel.
"""

import re

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

RELEASE = sa.table("release", sa.column("channel"), sa.column("published_at"), sa.column("listed_plainly", sa.Boolean))
KEY = ("tenant", "product", "version", "kind")


def upgrade() -> None:
    plainly: sa.Column[bool] = sa.Column("listed_plainly", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("release", plainly)
    connection = op.get_bind()
    channels = connection.execute(sa.select(RELEASE.c.channel).distinct()).scalars().all()
    odd = [channel for channel in channels if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", channel)]
    before = sa.or_(RELEASE.c.published_at.is_not(None), RELEASE.c.channel.in_(odd))
    connection.execute(sa.update(RELEASE).where(before).values(listed_plainly=True))
    op.create_table(
        "release_document",
        *(sa.Column(name, Bytewise, autoincrement=False, nullable=False) for name in KEY),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("sha256", Bytewise, nullable=False),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_release_document")),
    )
    op.create_index("ix_release_document_sha256", "release_document", ["tenant", "sha256"])
