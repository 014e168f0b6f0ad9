"""`/products` and `/releases`."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Path, Query, Response

from otaru.apps.server.api.call import Call, Edition, Once, Reading, ReleaseWork, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import ProductText, VersionText
from otaru.apps.server.api.models.releases import ProductOut, ReleaseDetail, ReleaseIn, ReleaseOut
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.domain import ids
from otaru.domain.ids import ProductName, Version
from otaru.domain.release import Release, ReleaseEvent
from otaru.ports.store import Tx
from otaru.services.control import releases
from otaru.services.control.world import World

router = noun(tag="releases")

Product = Annotated[ProductText, Path(description="The product's name.")]
Number = Annotated[VersionText, Path(description="The release's version.")]


def _shown(call: Call) -> Callable[[Tx, Release], ReleaseDetail]:
    def show(tx: Tx, release: Release) -> ReleaseDetail:
        return ReleaseDetail.detailed(release, releases.lacking(call.world, tx, call.tenant, release))

    return show


@router.get("/products", responses=errors())
async def list_products(call: Reading, wanted: Wanted) -> Items[ProductOut]:
    """List products by name."""
    after = wanted.after(text(ids.product_name))
    found = await releases.products(call.world, call.tenant, after[0] if after else None, wanted.limit + 1)
    items, following = wanted.page(
        found, lambda p: ProductOut(name=p[0], created_at=p[1], releases=p[2]), lambda p: (p[0],)
    )
    return Items(items=items, next=following)


@router.post("/releases", status_code=201, response_model=ReleaseDetail, responses=errors(404, 409, 413, 507))
async def create_release(call: ReleaseWork, once: Once, body: ReleaseIn) -> Response:
    """Make a release of uploaded artifacts, and publish it unless told otherwise. The product is made on first use."""

    def work(world: World) -> Awaitable[Release]:
        return releases.create(world, call.tenant, call.actor, body.parsed())

    return await once(call, work, _shown(call), 201)


@router.get("/releases", responses=errors())
async def list_releases(
    call: Reading,
    wanted: Wanted,
    product: Annotated[ProductText | None, Query(description="Only this product's.")] = None,
) -> Items[ReleaseOut]:
    """List releases by product and version."""
    after = wanted.after(text(ids.product_name), text(ids.version))
    name = None if product is None else ProductName(product)
    found = await releases.page(call.world, call.tenant, name, after, wanted.limit + 1)
    items, following = wanted.page(found, ReleaseOut.of, lambda release: (release.product, release.version))
    return Items(items=items, next=following)


@router.get("/releases/{product}/{version}", response_model=ReleaseDetail, responses=errors(404))
async def show_release(call: Reading, product: Product, version: Number) -> Response:
    """Show a release and its artifacts."""
    found, missing = await releases.detailed(call.world, call.tenant, ProductName(product), Version(version))
    return answered(ReleaseDetail.detailed(found, missing))


async def _move(
    call: Call, once: Once, product: str, version: str, edition: int | None, event: ReleaseEvent
) -> Response:
    def work(world: World) -> Awaitable[Release]:
        return releases.move(world, call.tenant, call.actor, ProductName(product), Version(version), event, edition)

    return await once(call, work, _shown(call))


@router.post(
    "/releases/{product}/{version}/publish", response_model=ReleaseDetail, responses=errors(404, 409, 412, 507)
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
