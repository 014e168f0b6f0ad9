"""A device's backups at the server: fetched and deleted. Who does stands in the record."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

from starlette.responses import Response, StreamingResponse

from otaru.apps.console.call import Call
from otaru.apps.console.pages.device import device_of, page_of
from otaru.apps.console.rendering import HEADERS
from otaru.domain import ids
from otaru.domain.ids import Sha256
from otaru.errors import InvalidInputError, NotFoundError
from otaru.ports.blobs import OpenBlob
from otaru.services.control import backups

_CHUNK = 256 * 1024


async def fetch(call: Call) -> Response:
    """The bytes: encrypted, as the device sent them."""
    found = await backups.fetched(call.world, call.tenant, call.actor, device_of(call), _digest(call))
    opened = ExitStack()
    blob = opened.enter_context(call.world.blobs.open(found.sha256))
    headers = {
        **HEADERS,
        "Content-Length": str(blob.size),
        "Content-Disposition": f'attachment; filename="{found.name}.age"',
    }
    return StreamingResponse(_chunks(blob, opened), media_type="application/octet-stream", headers=headers)


async def delete(call: Call) -> Response:
    """Delete it here; what the device has stays there."""
    name = device_of(call)
    await backups.delete(call.world, call.tenant, call.actor, name, _digest(call))
    return call.lead(page_of(name))


async def _chunks(blob: OpenBlob, opened: ExitStack) -> AsyncIterator[bytes]:
    with opened:
        at = 0
        while chunk := await blob.read_at(at, _CHUNK):
            yield chunk
            at += len(chunk)


def _digest(call: Call) -> Sha256:
    try:
        return ids.sha256(call.step("backup"))
    except InvalidInputError:
        raise NotFoundError("there is no such backup") from None
