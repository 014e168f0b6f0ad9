"""What holds for all releases of a product: the order of their versions, and the counters that they burn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ProductName, TenantId, Version
from otaru.domain.release import Artifact, Release, ReleaseState, admit
from otaru.domain.terms import Requirement, Terms
from otaru.domain.versions import FORMS, VersionOrder, key, reads
from otaru.errors import InvalidInputError, NotFoundError
from otaru.ports.store import Tx, one
from otaru.services.control.world import Actor, World

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Product:
    """A named line of releases."""

    name: ProductName
    order: VersionOrder
    created_at: datetime
    releases: int


async def page(world: World, tenant: TenantId, after: ProductName | None, limit: int) -> list[Product]:
    """Products by name."""

    def look(tx: Tx) -> list[Product]:
        found = tx.releases.products(tenant, after, limit)
        orders = tx.releases.orders(tenant, [name for name, _, _ in found])
        return [Product(name, orders[name], at, releases) for name, at, releases in found]

    return await world.store.read(look)


async def set_order(
    world: World, tenant: TenantId, actor: Actor, product: ProductName, order: VersionOrder
) -> VersionOrder:
    """Have the versions of a product follow an order from now on; the order that it has then.

    Counters that its releases inherited stay as they are.

    Raises:
        NotFoundError: there is no such product.
        InvalidInputError: it has a version that is not of the order's form.
    """
    return await world.store.write(_set_order, _Ordering(tenant, actor, product, order, world.clock.now()))


def drafted(
    tx: Tx,
    tenant: TenantId,
    name: tuple[ProductName, Version],
    made_of: tuple[Artifact, ...],
    terms: Terms,
    notes: str,
    at: datetime,
) -> Release:
    """A draft as it may be added: in its product's order, with the counter that it burns or inherits.

    Raises:
        InvalidInputError: what `domain.release.admit` says, or a requirement names a product where a component is meant.
    """
    product, version = name
    wanted = {requirement.component for requirement in terms.requires}
    orders = tx.releases.orders(tenant, {product, *wanted})
    if wanted:
        _refuse_products(tx, tenant, terms.requires)
        requires = tuple(replace(r, order=orders.get(r.component, r.order)) for r in terms.requires)
        terms = replace(terms, requires=requires)
    order = orders.get(product, VersionOrder.AUTO)
    release = Release(product, version, ReleaseState.DRAFT, made_of, at, notes=notes, terms=terms, order=order)
    if not made_of or not reads(order, version):
        admit(release)
    place = key(order, version)
    inherited = max(tx.releases.burnt_before(tenant, product, each, place) for each in release.components)
    admit(release, inherited)
    return replace(release, counter=inherited if terms.security_floor is None else terms.security_floor)


def _refuse_products(tx: Tx, tenant: TenantId, requires: Sequence[Requirement]) -> None:
    """A device has components: a product that updates one of another name is not what a rule can ask for."""
    newest = tx.releases.latest_of(tenant, {ProductName(wanted.component) for wanted in requires})
    for wanted in requires:
        known = newest.get(ProductName(wanted.component))
        components = known.components if known is not None and known.artifacts else (wanted.component,)
        if wanted.component not in components:
            raise InvalidInputError(
                f"the product {wanted.component} updates the component {' and '.join(components)}",
                hint=f"A device has components: write {components[0]}{wanted.relation}{wanted.version}.",
            )


@dataclass(frozen=True, slots=True)
class _Ordering:
    tenant: TenantId
    actor: Actor
    product: ProductName
    order: VersionOrder
    at: datetime


@one
def _set_order(tx: Tx, asked: _Ordering) -> VersionOrder:
    known = tx.releases.orders(asked.tenant, [asked.product]).get(asked.product)
    if known is None:
        raise NotFoundError(f"there is no product {asked.product}", hint="Its first release makes it.")
    if wrong := [v for v in sorted(tx.releases.versions(asked.tenant, asked.product)) if not reads(asked.order, v)]:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise InvalidInputError(
            f"{asked.product} has versions that are not of the {asked.order} order: {', '.join(wrong[:_NAMED])}{more}",
            hint=f"Of this order is {FORMS[asked.order]}.",
        )
    # Also where it has this order already: a place that is missing is given so.
    tx.releases.set_order(asked.tenant, asked.product, asked.order)
    if known is not asked.order:
        data = {"order": str(asked.order), "from": str(known)}
        tx.events.add([Happening(asked.tenant, asked.at, asked.actor.name, Kind.PRODUCT_CHANGED, asked.product, data)])
    return asked.order
