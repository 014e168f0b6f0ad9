"""A new release: files come up in parts (js/release_new.js), then the REST API makes a release of them.

The page itself changes nothing. Uploads and the release go to the REST API with the session's cookie: an upload goes on
after a break, and the release has an Idempotency-Key, so a second click makes no second one.
"""

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.domain import ids
from otaru.domain.release import MAX_ARTIFACTS, MAX_NOTES
from otaru.domain.terms import UpdateType
from otaru.errors import InvalidInputError
from otaru.services.control import releases

SUGGESTED = 200


async def show(call: Call) -> Response:
    """The form, with the products there are and the hardware that their newest releases are for as suggestions."""
    lines = await releases.lines(call.world, call.tenant, None, SUGGESTED)
    hardware = {str(artifact.hardware) for _, _, newest in lines for artifact in newest.artifacts}
    return await call.show(
        "release_new.html",
        product=_product(call.asked("product")),
        products=[name for name, _, _ in lines],
        hardware=sorted(hardware)[:SUGGESTED],
        types=list(UpdateType),
        max_files=MAX_ARTIFACTS,
        max_notes=MAX_NOTES,
    )


def _product(asked: str) -> str:
    """The product that the link before named; nothing where it is none."""
    try:
        return ids.product_name(asked)
    except InvalidInputError:
        return ""
