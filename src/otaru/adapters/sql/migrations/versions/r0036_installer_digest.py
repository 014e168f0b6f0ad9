"""An artifact keeps the digest of what its installer finds in it, which is signed with the release.

An artifact that was there has none: its metadata goes on saying what was signed.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0036"
down_revision: str | None = "0035"
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("artifact", sa.Column("installer_digest", Bytewise, nullable=False, server_default=""))
