"""`/products` and `/releases`."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Path, Query, Response

from otaru.apps.server.api.call import Call, Edition, Once, Reading, ReleaseWork, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.deltas import DeltaIn, DeltaOut
from otaru.apps.server.api.models.fields import Name, ProductText, VersionText
from otaru.apps.server.api.models.releases import (
    ProductChange,
    ProductOrdered,
    ProductOut,
    ReleaseDetail,
    ReleaseIn,
    ReleaseOut,
)
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.domain import ids
from otaru.domain.delta import Delta, Pair
from otaru.domain.ids import ProductName, Version
from otaru.domain.release import Release, ReleaseEvent
from otaru.domain.terms import UpdateType
from otaru.ports.store import Tx
from otaru.services.control import deltas, inspection, products, releases
from otaru.services.control.release_record import record
from otaru.services.control.world import World

router = noun(tag="releases")

Product = Annotated[ProductText, Path(description="The product's name.")]
Number = Annotated[VersionText, Path(description="The release's version.")]


def _shown(call: Call) -> Callable[[Tx, Release], ReleaseDetail]:
    def show(tx: Tx, release: Release) -> ReleaseDetail:
        images = tx.inspections.of(call.tenant, {artifact.blob.sha256 for artifact in release.artifacts})
        missing = releases.lacking(call.world, tx, call.tenant, release)
        return ReleaseDetail.detailed(release, images, missing, record(tx, call.tenant, release))

    return show


@router.get("/products", responses=errors())
async def list_products(call: Reading, wanted: Wanted) -> Items[ProductOut]:
    """List products by name."""
    after = wanted.after(text(ids.product_name))
    found = await products.page(call.world, call.tenant, after[0] if after else None, wanted.limit + 1)
    items, following = wanted.page(found, ProductOut.of, lambda product: (product.name,))
    return Items(items=items, next=following)


@router.patch("/products/{product}", responses=errors(404, 507))
async def change_product(call: ReleaseWork, product: Product, body: ProductChange) -> ProductOrdered:
    """Set the order of a product's versions. All of them have to be of its form."""
    order = await products.set_order(call.world, call.tenant, call.actor, ProductName(product), body.order)
    return ProductOrdered(name=product, order=order)


@router.post("/releases", status_code=201, response_model=ReleaseDetail, responses=errors(404, 409, 413, 422, 507))
async def create_release(call: ReleaseWork, once: Once, body: ReleaseIn) -> Response:
    """Make a release of uploaded artifacts, and publish it unless told otherwise. The product is made on first use.

    Artifacts are read first, which takes seconds where they are large and nobody has read them before.
    """

    def work(world: World) -> Awaitable[Release]:
        return releases.create(world, call.tenant, call.actor, body.parsed())

    return await once(call, work, _shown(call), 201)


@router.get("/releases", responses=errors())
async def list_releases(
    call: Reading,
    wanted: Wanted,
    product: Annotated[ProductText | None, Query(description="Only this product's.")] = None,
    channel: Annotated[Name | None, Query(description="Only those in this channel.")] = None,
    type_: Annotated[UpdateType | None, Query(alias="type", description="Only those of this type.")] = None,
    newest: Annotated[bool, Query(description="Newest version first, in the order of each product.")] = False,
) -> Items[ReleaseOut]:
    """List releases by product and the text of their versions, or with `newest`, `channel` or `type` newest first."""
    after = wanted.after(text(ids.product_name), text(ids.version))
    name = None if product is None else ProductName(product)
    if newest or channel is not None or type_ is not None:
        found = await releases.ranked(call.world, call.tenant, name, after, wanted.limit + 1, channel, type_)
    else:
        found = await releases.page(call.world, call.tenant, name, after, wanted.limit + 1)
    images = await inspection.images(call.world, call.tenant, [a.blob.sha256 for r in found for a in r.artifacts])

    def show(release: Release) -> ReleaseOut:
        return ReleaseOut.of(release, images)

    items, following = wanted.page(found, show, lambda release: (release.product, release.version))
    return Items(items=items, next=following)


@router.get("/releases/{product}/{version}", response_model=ReleaseDetail, responses=errors(404))
async def show_release(call: Reading, product: Product, version: Number) -> Response:
    """Show a release and its artifacts."""
    found, missing, made = await releases.detailed(call.world, call.tenant, ProductName(product), Version(version))
    images = await inspection.images(call.world, call.tenant, [artifact.blob.sha256 for artifact in found.artifacts])
    return answered(ReleaseDetail.detailed(found, images, missing, made))


async def _move(
    call: Call, once: Once, product: str, version: str, edition: int | None, event: ReleaseEvent
) -> Response:
    def work(world: World) -> Awaitable[Release]:
        return releases.move(world, call.tenant, call.actor, ProductName(product), Version(version), event, edition)

    return await once(call, work, _shown(call))


@router.post(
    "/releases/{product}/{version}/publish", response_model=ReleaseDetail, responses=errors(404, 409, 412, 422, 507)
)
async def publish_release(
    call: ReleaseWork, once: Once, product: Product, version: Number, edition: Edition
) -> Response:
    """Publish a draft: from now on it may be rolled out."""
    return await _move(call, once, product, version, edition, ReleaseEvent.PUBLISH)


@router.post(
    "/releases/{product}/{version}/deprecate", response_model=ReleaseDetail, responses=errors(404, 409, 412, 507)
)
async def deprecate_release(
    call: ReleaseWork, once: Once, product: Product, version: Number, edition: Edition
) -> Response:
    """Say that nobody should begin to use a release any more."""
    return await _move(call, once, product, version, edition, ReleaseEvent.DEPRECATE)


@router.post(
    "/releases/{product}/{version}/withdraw", response_model=ReleaseDetail, responses=errors(404, 409, 412, 507)
)
async def withdraw_release(
    call: ReleaseWork, once: Once, product: Product, version: Number, edition: Edition
) -> Response:
    """Take a release back for good: it is offered to nobody any more."""
    return await _move(call, once, product, version, edition, ReleaseEvent.WITHDRAW)


@router.get("/releases/{product}/{version}/deltas", responses=errors(404))
async def list_deltas(call: Reading, wanted: Wanted, product: Product, version: Number) -> Items[DeltaOut]:
    """List the deltas that lead to a release, by the digests of their ends; also those that wait, and why there is none."""
    key = wanted.after(text(ids.sha256), text(ids.sha256), text(ids.name))
    after = None if key is None else Pair(key[1], key[0], key[2])
    found = await deltas.page(call.world, call.tenant, ProductName(product), Version(version), after, wanted.limit + 1)
    items, following = wanted.page(
        found, DeltaOut.of, lambda delta: (delta.pair.target, delta.pair.source, delta.pair.codec)
    )
    return Items(items=items, next=following)


@router.post(
    "/releases/{product}/{version}/deltas",
    status_code=202,
    response_model=Items[DeltaOut],
    responses=errors(404, 409, 507),
)
async def order_deltas(call: ReleaseWork, once: Once, product: Product, version: Number, body: DeltaIn) -> Response:
    """Order deltas from an earlier release by hand, also again where there was none; they are made one after the other."""

    def work(world: World) -> Awaitable[list[Delta]]:
        return deltas.order(world, call.tenant, call.actor, ProductName(product), Version(version), Version(body.from_))

    def show(_: Tx, found: list[Delta]) -> Items[DeltaOut]:
        return Items(items=[DeltaOut.of(delta) for delta in found], next=None)

    return await once(call, work, show, 202)
