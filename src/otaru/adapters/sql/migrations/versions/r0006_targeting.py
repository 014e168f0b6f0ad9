"""What a target asks for is found by an index: lifecycle, revision, time of making, hour of the last contact."""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

_HOUR = 3600 * 1_000_000


def upgrade() -> None:
    op.create_index("ix_device_created", "device", ["tenant", "created_at", "device"])
    for name, column, common in (
        ("ix_device_lifecycle", "lifecycle", "active"),
        ("ix_device_revision", "hardware_revision", ""),
    ):
        others = sa.text(f"{column} <> '{common}'")
        op.create_index(name, "device", ["tenant", column, "device"], sqlite_where=others, postgresql_where=others)
    op.add_column("device_contact", sa.Column("hour", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.execute(f"UPDATE device_contact SET hour = last_contact / {_HOUR}")
    op.create_index("ix_device_contact_hour", "device_contact", ["tenant", "hour", "device"])
