"""The overview."""

from starlette.responses import Response

from otaru.apps.console.call import Call


async def show(call: Call) -> Response:
    """What needs a hand, what is running, how the fleet is."""
    return await call.show("overview.html")
