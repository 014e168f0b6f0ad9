"""Standing orders."""

from sqlalchemy import Boolean, Integer, Table, Text, false

from otaru.adapters.sql.tables.columns import Instant, col, key, metadata

following = Table(
    "following",
    metadata,
    key("tenant"),
    key("name"),
    key("product"),
    key("channel"),
    col("policy", Text),
    col("growth", Text, nullable=True),
    col("reason", Text),
    col("created_at", Instant),
    col("updated_at", Instant),
    col("created_by", Text),
    col("edition", Integer),
    col("waits", Text, server_default=""),
    col("stuck", Boolean, server_default=false()),
    # What was dealt with last (`followings.SIGHT`): where it is something else, there may be something to do.
    col("dealt", Text, server_default=""),
)
"""Groups, by name, and the channels that they follow."""
