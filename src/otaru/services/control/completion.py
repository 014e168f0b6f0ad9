"""What a fleet can be asked for: the fields of the target language with the values that there are. Only reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from otaru.domain.attribute import AttributeKind
from otaru.domain.ids import TenantId
from otaru.domain.targeting import FIELDS, About, Field
from otaru.ports.store import Tx
from otaru.services.control.world import World

MAX_VALUES = 100
MAX_VALUE = 128
"""Longer values are nobody's to type."""
_COUNTED = frozenset({Field.HARDWARE, Field.REVISION, Field.TAG})
_NAMED = frozenset({Field.ATTRIBUTE, Field.INSTALLED, Field.TELEMETRY})


@dataclass(frozen=True, slots=True)
class Known:
    """A field, and its first values in this fleet, sorted."""

    about: About
    name: str
    """The attribute's or component's; empty where the field is none, or where the fleet has none."""
    values: Sequence[str]
    complete: bool
    """Whether these are all that there are."""
    declared: AttributeKind | None = None
    """The attribute's type, where one is declared."""

    @property
    def selector(self) -> str:
        """As it is written in a query."""
        return f"{self.about.field}.{self.name}" if self.name else self.about.selector


async def fields(world: World, tenant: TenantId, limit: int) -> list[Known]:
    """Every field, with at most `limit` values of each; attributes and components one by one, at most `limit` of them."""
    return await world.store.read(lambda tx: [known for about in FIELDS for known in _known(tx, tenant, about, limit)])


def _known(tx: Tx, tenant: TenantId, about: About, limit: int) -> Iterator[Known]:
    if about.field in _NAMED:
        kinds = {d.name: d.kind for d in tx.attributes.declared(tenant)} if about.field is Field.ATTRIBUTE else {}
        names = sorted({*tx.devices.words(tenant, about.field, limit), *kinds})
        for name in names:
            if about.field is Field.TELEMETRY:
                yield Known(about, name, (), complete=False)
            else:
                values = tx.devices.words(tenant, about.field, limit + 1, name)
                yield _valued(about, name, values, limit, kinds.get(name))
        if not names:
            yield Known(about, "", (), complete=True)
    elif about.field is Field.GROUP:
        yield _valued(about, "", [group.name for group in tx.groups.page(tenant, None, limit + 1)], limit)
    elif about.field in _COUNTED:
        yield _valued(about, "", tx.devices.words(tenant, about.field, limit + 1), limit)
    else:
        yield Known(about, "", about.words, complete=bool(about.words))


def _valued(about: About, name: str, values: Sequence[str], limit: int, declared: AttributeKind | None = None) -> Known:
    shown = [value for value in values[:limit] if len(value) <= MAX_VALUE]
    return Known(about, name, shown, len(shown) == len(values), declared)
