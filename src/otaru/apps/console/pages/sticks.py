"""A rollout's updates on sticks: what was written, and one more as an archive to download."""

from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from otaru.apps.console.call import Call, Fields
from otaru.apps.console.happening import actor
from otaru.apps.console.pages.rollouts import asked_for
from otaru.apps.console.rendering import HEADERS
from otaru.apps.console.rollout_form import words
from otaru.apps.console.stick import Archive
from otaru.domain.bundle import MAX_DEVICES, MOST
from otaru.domain.ids import RolloutId
from otaru.domain.targeting import MAX_LENGTH
from otaru.domain.tenant import GIB
from otaru.errors import InvalidInputError, InvalidStateError, NothingToDoError, TooLargeError, UnavailableError
from otaru.services.control import bundles, rollouts
from otaru.services.control.bundles import Made, Wanted

SHOWN, NAMED = 20, 10
BUNDLES = 4
MAX_MEMBERS = BUNDLES * MAX_DEVICES
"""Of a rollout whose devices are written to an archive: each one's order is signed while the browser waits."""
MAX_BYTES = 8 * GIB
_Refusal = InvalidInputError | InvalidStateError | NothingToDoError | TooLargeError | UnavailableError


async def show(call: Call) -> Response:
    """What was written."""
    return await _page(call, asked_for(call), {})


async def export(call: Call) -> Response:
    """One more, as an archive. Its devices are told what to install."""
    rollout, sent = asked_for(call), await call.fields()
    try:
        made = await _made(call, rollout, sent)
    except (InvalidInputError, InvalidStateError, NothingToDoError, TooLargeError, UnavailableError) as error:
        return await _page(call, rollout, sent, error)
    archive = Archive(call.world.blobs, [call.written(one) for one in made], call.now)
    headers = {
        **HEADERS,
        "Content-Length": str(archive.size),
        "Content-Disposition": f'attachment; filename="{made[0].exported.id}.tar"',
    }
    return _Download(archive, headers)


class _Download(StreamingResponse):
    """An archive, which is closed also where the client is gone before a byte was sent."""

    def __init__(self, archive: Archive, headers: Mapping[str, str]) -> None:
        super().__init__(archive.chunks(), media_type="application/x-tar", headers=headers)
        self._archive = archive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        with closing(self._archive):
            await super().__call__(scope, receive, send)


async def _made(call: Call, rollout: RolloutId, sent: Fields) -> list[Made]:
    """The bundles, all that a rollout needs: what is too large is refused before anybody is told anything."""
    await _check_size(call, rollout)
    days = sent.get("days", "")
    if not (days.isascii() and days.isdigit() and len(days) <= 3 and 1 <= int(days) <= MOST.days):
        raise InvalidInputError(f"it holds for a whole number of days, {MOST.days} at most")
    wanted = Wanted(rollout, call.now + timedelta(days=int(days)), sent.get("target") or None)
    made: list[Made] = []
    while len(made) < BUNDLES:
        try:
            made.append(await bundles.export(call.world, call.tenant, call.actor, wanted))
        except NothingToDoError:
            if not made:
                raise
            break  # whoever is behind the last one cannot be told now
        if made[-1].next is None:
            break
        wanted = Wanted(wanted.rollout, wanted.expires_at, wanted.target, made[-1].next)
    return made


async def _check_size(call: Call, rollout: RolloutId) -> None:
    plan = await call.world.registry.plan(call.tenant, rollout)
    if plan is None:
        return  # `bundles.export` says so
    sizes = {one.blob.sha256: one.blob.size for one in plan.release.artifacts}
    if plan.rollout.size > MAX_MEMBERS or sum(sizes.values()) > MAX_BYTES:
        raise TooLargeError(
            f"an archive has {MAX_MEMBERS} devices and {MAX_BYTES // GIB} GiB at most",
            hint="The command below writes as many as there are.",
        )


async def _page(call: Call, rollout: RolloutId, typed: Fields, refused: _Refusal | None = None) -> Response:
    progress = await rollouts.progress(call.world, call.tenant, rollout)
    found = await bundles.shown(call.world, call.tenant, rollout, SHOWN, NAMED)
    status = 200 if refused is None else 422 if isinstance(refused, InvalidInputError) else 409
    return await call.show(
        "sticks.html",
        status,
        rollout=progress.rollout,
        sticks=[(one, actor(one.exported.actor)) for one in found],
        typed=typed,
        wrong="" if refused is None else words(refused),
        most={"days": MOST.days, "query": MAX_LENGTH, "devices": MAX_MEMBERS, "bytes": MAX_BYTES},
    )
