"""Groups, as the API shows and takes them."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import Body, DeviceName, Line, Name, Out, Target
from otaru.domain.group import Group, group_name
from otaru.domain.ids import DeviceId
from otaru.services.control.groups import MAX_BATCH, Change, Listed, NewGroup, Sized


class GroupIn(Body):
    """A group to make."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "lab-eu", "query": "tag==lab;attr.region==eu-*"}]}
    )

    name: Name
    query: Annotated[Target | None, Field(description="Who is in it. Without one, devices are listed.")] = None
    description: Line = ""

    def parsed(self) -> NewGroup:
        """As the service takes it."""
        return NewGroup(group_name(self.name), self.query, self.description)


class GroupChange(Body):
    """What to change of a group; what is left out or null stays."""

    query: Target | None = None
    description: Line | None = None

    def parsed(self) -> Change:
        """As the service takes it."""
        return Change(self.query, self.description)


class MembersIn(Body):
    """Devices to put on a list, or to take off it."""

    devices: Annotated[list[DeviceName], Field(max_length=MAX_BATCH)]

    def parsed(self) -> list[DeviceId]:
        """As the service takes it."""
        return [DeviceId(device) for device in self.devices]


class ListedOut(Out):
    """What became of them."""

    changed: Annotated[int, Field(description="Devices that were put on the list, or taken off it.")]
    unchanged: Annotated[int, Field(description="Devices that were on it already, or were not.")]
    unknown: Annotated[list[str], Field(description="There are none of these.")]

    @classmethod
    def of(cls, listed: Listed) -> "ListedOut":
        """As the service says it."""
        return cls(changed=listed.changed, unchanged=listed.unchanged, unknown=list(listed.unknown))


class GroupOut(Out):
    """A group."""

    name: str
    query: Annotated[str | None, Field(description="Null: its devices are listed.")]
    description: str
    created_at: datetime
    updated_at: datetime
    edition: int

    @classmethod
    def of(cls, group: Group) -> "GroupOut":
        """As it is stored."""
        return cls(
            name=group.name,
            query=group.query,
            description=group.description,
            created_at=group.created_at,
            updated_at=group.updated_at,
            edition=group.edition,
        )


class SizedGroup(GroupOut):
    """A group, its devices counted."""

    devices: Annotated[int, Field(description="How many are in it now.")]

    @classmethod
    def sized(cls, sized: Sized) -> "SizedGroup":
        """As it was counted."""
        return cls(**GroupOut.of(sized.group).model_dump(), devices=sized.devices)
