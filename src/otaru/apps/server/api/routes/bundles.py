"""`/bundles` and `/receipts`: places without a network."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import Query, Response

from otaru.apps.server.api.call import Call, DeviceWork, Once, Reading, RolloutWork, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.bundles import (
    BundleIn,
    BundleOut,
    MadeOut,
    ReceiptOut,
    ReceiptsIn,
    ReceiptsOut,
)
from otaru.apps.server.api.models.fields import WholeNumber
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Limit
from otaru.domain.ids import RolloutId
from otaru.errors import ReceiptError
from otaru.protocols import receipt as form
from otaru.services.control import bundles, receipts
from otaru.services.control.bundles import Made
from otaru.services.control.world import World

router = noun(tag="bundles")


@router.post("/bundles", status_code=201, response_model=MadeOut, responses=errors(404, 409, 422, 507))
async def export_bundle(call: RolloutWork, once: Once, body: BundleIn) -> Response:
    """Tell devices of a rollout what to install, for somebody to carry it to them: at most 500, see `next`."""
    wanted = body.parsed(call.world.clock.now())

    def work(world: World) -> Awaitable[Made]:
        return bundles.export(world, call.tenant, call.actor, wanted)

    return await once(call, work, lambda _, made: MadeOut.made(made), 201)


@router.get("/bundles", responses=errors())
async def list_bundles(
    call: Reading,
    rollout: Annotated[WholeNumber | None, Query(ge=1, lt=2**31, description="Only of this rollout.")] = None,
    limit: Limit = 100,
) -> Items[BundleOut]:
    """List bundles that were exported, the newest first."""
    of = None if rollout is None else RolloutId(rollout)
    found = await bundles.page(call.world, call.tenant, of, limit)
    return Items(items=[BundleOut.of(one) for one in found], next=None)


@router.post("/receipts", response_model=ReceiptsOut, responses=errors(413, 507))
async def import_receipts(call: DeviceWork, body: ReceiptsIn) -> Response:
    """Take in what devices without a network have signed. Each is judged alone; brought twice it changes nothing."""
    return answered(ReceiptsOut(items=[await _taken(call, text.encode(errors="replace")) for text in body.receipts]))


async def _taken(call: Call, data: bytes) -> ReceiptOut:
    device = ""
    try:
        receipt = form.read(data)
        device = receipt.device
        said = form.notes(receipt)
        return ReceiptOut.of(await receipts.take(call.world, call.tenant, call.actor, receipt, said))
    except ReceiptError as error:
        return ReceiptOut.refused(device, error.code, error.message)
