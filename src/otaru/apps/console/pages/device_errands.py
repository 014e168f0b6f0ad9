"""What one asks of a device beside updates: its diagnostics, a command of its own list, a reboot, a backup put back."""

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.pages.device import device_of, page_of, show_refused
from otaru.apps.console.rendering import HEADERS
from otaru.domain.errand import MAX_NUMBER, What, wanted
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, RefusedError, TooLargeError
from otaru.services.control import errands


async def ask(call: Call) -> Response:
    """Ask something of a device."""
    name, sent = device_of(call), await call.fields()
    what = sent.get("what", "")
    if what not in set(What):
        raise InvalidInputError("the form asks for nothing that a device does")
    try:
        asked = wanted(What(what), sent.get("name", "") if what in {What.RUN, What.RESTORE} else "")
        await errands.ask(call.world, call.tenant, call.actor, name, asked)
    except (InvalidInputError, InvalidStateError, RefusedError, TooLargeError) as error:
        return await show_refused(call, name, error)
    return call.lead(page_of(name))


async def recall(call: Call) -> Response:
    """Call an errand off."""
    name = device_of(call)
    try:
        await errands.cancel(call.world, call.tenant, call.actor, name, _number(call))
    except InvalidStateError as error:  # the device was faster
        return await show_refused(call, name, error)
    return call.lead(page_of(name))


async def fetch(call: Call) -> Response:
    """The diagnostics that a device sent. Who fetches them stands in the record."""
    name, number = device_of(call), _number(call)
    found = await errands.bundle(call.world, call.tenant, call.actor, name, number)
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="diagnostics-{number}.tar.gz"'}
    return Response(found, media_type="application/gzip", headers=headers)


def _number(call: Call) -> int:
    text = call.step("errand")
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_NUMBER):
        raise NotFoundError("there is no such errand")
    return int(text)
