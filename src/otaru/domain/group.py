"""Groups: a saved query that names whoever matches it now, or a list of devices that people keep."""

from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from otaru.domain import ids

GroupName = NewType("GroupName", str)

MAX_GROUPS = 1000
"""In a tenant."""
MAX_MEMBERS = 100_000
"""On a list."""
MAX_DESCRIPTION = 500


@dataclass(frozen=True, slots=True)
class Group:
    """A group of devices. With a query it is *dynamic*; without one it is *static*, and its members are listed."""

    name: GroupName
    query: str | None
    description: str
    created_at: datetime
    updated_at: datetime
    edition: int = 1


def group_name(text: str) -> GroupName:
    """Parse a group's name.

    Raises:
        InvalidInputError: it is none.
    """
    return GroupName(ids.name(text))
