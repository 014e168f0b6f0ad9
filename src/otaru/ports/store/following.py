"""Standing orders: groups that follow channels."""

from typing import Protocol

from otaru.domain.following import Following, Look, Stream
from otaru.domain.group import GroupName
from otaru.domain.ids import ProductName, TenantId


class Followings(Protocol):
    """Standing orders, and what was last found of them.

    What an order comes to changes with the newest published release of its channel, and with the last rollout that it
    made and that one's state. These make its *sight*. An order whose sight is not the one that was dealt with is *stirred*.
    """

    def get(self, tenant: TenantId, stream: Stream) -> Following | None: ...
    def put(self, tenant: TenantId, following: Following) -> None:
        """Keep an order, in place of what was known of it; it is stirred then."""
        ...

    def remove(self, tenant: TenantId, stream: Stream) -> bool:
        """False where there is none."""
        ...

    def deal(self, tenant: TenantId, stream: Stream, found: Look) -> None:
        """Keep what was found of an order, and that its sight, as it is in this transaction, was dealt with."""
        ...

    def page(
        self,
        tenant: TenantId,
        after: Stream | None,
        limit: int,
        *,
        group: GroupName | None = None,
        product: ProductName | None = None,
        channel: str | None = None,
        stuck: bool = False,
    ) -> list[Following]:
        """By group, product and channel; only those of a group, a product, a channel, that need a person."""
        ...

    def count(self, tenant: TenantId, *, stuck: bool = False) -> int:
        """How many there are; with `stuck`, how many need a person."""
        ...

    def every_stirred(self, limit: int, *, again: bool = False) -> list[tuple[TenantId, Stream]]:
        """Orders that are stirred, of tenants without a halt; with `again` also those that wait for something else."""
        ...
