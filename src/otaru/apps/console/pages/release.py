"""One release: what it is made of, where it is rolled out, and what may be done with it."""

from collections.abc import Mapping

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.happening import actor
from otaru.apps.console.pages.releases import files_of
from otaru.apps.console.rendering import segment
from otaru.apps.console.status import look
from otaru.domain import ids
from otaru.domain.evidence import Tally
from otaru.domain.ids import ProductName, Version
from otaru.domain.release import ReleaseEvent
from otaru.errors import InvalidStateError, NotFoundError, SignatureMissingError
from otaru.images.facts import SIGNED
from otaru.services.control import deltas, following, inspection, releases, survey

ROLLOUTS = 20
FOLLOWERS = 10
DELTAS = 50


async def show(call: Call) -> Response:
    """The release as it is."""
    return await _show(call)


async def order(call: Call) -> Response:
    """Publish, deprecate or withdraw it."""
    event = call.step("order")
    if event not in releases.PERSONS:
        raise NotFoundError(f"a release has no order {event!r}")
    product, version = _named(call)
    try:
        await releases.move(call.world, call.tenant, call.actor, product, version, ReleaseEvent(event))
    except SignatureMissingError as error:
        return await _show(call, 409, f"{error.message[0].upper()}{error.message[1:]}. {error.hint}")
    except InvalidStateError as error:  # somebody else was faster: what is there now says what is left to do
        return await _show(call, 409, f"{error.message}. Somebody was faster; this is how it is now.")
    return call.lead(f"/releases/{segment(product)}/{segment(version)}")


async def _show(call: Call, status: int = 200, refused: str = "") -> Response:
    product, version = _named(call)
    uses = await survey.uses(call.world, call.tenant, product, version, ROLLOUTS + 1)
    _, missing, record = await releases.detailed(call.world, call.tenant, product, version)
    files = files_of(uses.release)
    channel = uses.release.terms.channel
    followers = await following.page(call.world, call.tenant, None, FOLLOWERS + 1, product=product, channel=channel)
    component = uses.release.component
    leading = await deltas.page(call.world, call.tenant, product, version, None, DELTAS + 1)
    return await call.show(
        "release.html",
        status,
        refused=refused,
        uses=uses,
        record=record,
        made_by=record.created_by and actor(record.created_by),
        published_by=record.published_by and actor(record.published_by),
        missing=missing,
        release=uses.release,
        component=component,
        followers=followers,
        runs=f"installed.{component}=='{version}'",
        warnings=uses.release.warnings(call.now),
        files=files,
        images=await inspection.images(call.world, call.tenant, [file.blob.sha256 for file in files]),
        signed=SIGNED,
        total=sum({file.blob.sha256: file.blob.size for file in files}.values()),
        rollouts=[(rollout, tally, by_tone(tally)) for rollout, tally in uses.rollouts[:ROLLOUTS]],
        more=len(uses.rollouts) > ROLLOUTS,
        deltas=sorted(leading[:DELTAS], key=lambda delta: (delta.source_version, delta.pair.target, delta.pair.codec)),
        more_deltas=len(leading) > DELTAS,
        many=survey.MAX_USES,
        allowed=releases.allowed(uses.release),
        here=f"/releases/{segment(product)}/{segment(version)}",
    )


def by_tone(tally: Tally) -> Mapping[str, int]:
    """Members by the colour of their state, for a bar."""
    counts: dict[str, int] = {}
    for state, members in tally.counts.items():
        counts[look(state).tone] = counts.get(look(state).tone, 0) + members
    return counts


def _named(call: Call) -> tuple[ProductName, Version]:
    return ids.product_name(call.step("product")), ids.version(call.step("version"))
