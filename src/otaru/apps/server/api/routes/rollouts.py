"""`/rollouts` and `/deployments`."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Path, Query, Response

from otaru.apps.server.api.call import Call, Edition, Once, Reading, RolloutWork, answered, check_emergency
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.devices import HistoryItem
from otaru.apps.server.api.models.fields import DeviceName, WholeNumber, utc
from otaru.apps.server.api.models.plans import PreviewIn, PreviewOut
from otaru.apps.server.api.models.rollback import BackOut
from otaru.apps.server.api.models.rollouts import (
    CancelIn,
    DeploymentOut,
    InstallIn,
    OrderIn,
    RetryIn,
    RolloutIn,
    RolloutOut,
)
from otaru.apps.server.api.models.verdicts import VerdictOut
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, number, text
from otaru.domain import ids
from otaru.domain.deployment import FAILURES, Deployment, State
from otaru.domain.ids import DeviceId, RolloutId
from otaru.domain.rollout import MAX_SEGMENTS, Rollout, RolloutEvent, RolloutState, Way
from otaru.ports.store import Tx
from otaru.services.control import judging, planning, rollback, rollouts, survey
from otaru.services.control.world import World

router = noun()

Id = Annotated[WholeNumber, Path(ge=1, lt=2**31, description="The rollout's number.")]
SegmentIndex = Annotated[WholeNumber, Path(ge=0, lt=MAX_SEGMENTS, description="The segment's index, from 0.")]
MAX_STATES = 20


async def _ordered(
    call: Call, once: Once, rollout: int, edition: int | None, event: RolloutEvent, body: OrderIn | None
) -> Response:
    def work(world: World) -> Awaitable[Rollout]:
        reason = body.reason if body else ""
        return rollouts.order(world, call.tenant, call.actor, RolloutId(rollout), event, reason=reason, edition=edition)

    return await once(call, work, _shower(call))


def _shower(call: Call) -> Callable[[Tx, Rollout], RolloutOut]:
    def show(tx: Tx, moved: Rollout) -> RolloutOut:
        return RolloutOut.of(rollouts.progress_in(tx, call.tenant, moved), call.world.clock.now())

    return show


@router.post(
    "/rollouts", status_code=201, response_model=RolloutOut, responses=errors(404, 409, 422, 507), tags=["rollouts"]
)
async def create_rollout(call: RolloutWork, once: Once, body: RolloutIn) -> Response:
    """Plan a rollout, freezing its members and their order; start it where the request says so."""
    check_emergency(call, ignores=body.ignore_blackout)

    def work(world: World) -> Awaitable[Rollout]:
        return rollouts.create(world, call.tenant, call.actor, body.parsed())

    return await once(call, work, _shower(call), 201)


@router.post("/rollouts/preview", response_model=PreviewOut, responses=errors(404, 409), tags=["rollouts"])
async def preview_rollout(call: Reading, body: PreviewIn) -> Response:
    """Say what a rollout would be and how it would go, without making it."""
    check_emergency(call, ignores=body.ignore_blackout)
    return answered(PreviewOut.of(await planning.plan(call.world, call.tenant, body.parsed(), body.failure)))


@router.get("/rollouts", responses=errors(), tags=["rollouts"])
async def list_rollouts(
    call: Reading,
    wanted: Wanted,
    state: Annotated[list[RolloutState] | None, Query(max_length=MAX_STATES, description="Only in these.")] = None,
) -> Items[RolloutOut]:
    """List rollouts, newest first."""
    after = wanted.after(number)
    first = RolloutId(after[0]) if after else None
    found = await survey.rollouts(call.world, call.tenant, state or (), first, wanted.limit + 1)
    now = call.world.clock.now()
    items, following = wanted.page(
        found, lambda progress: RolloutOut.of(progress, now), lambda progress: (progress.rollout.id,)
    )
    return Items(items=items, next=following)


@router.get("/rollouts/{rollout:number}", response_model=RolloutOut, responses=errors(404), tags=["rollouts"])
async def show_rollout(call: Reading, rollout: Id) -> Response:
    """Show a rollout and how far it is."""
    progress, present = await rollouts.shown(call.world, call.tenant, RolloutId(rollout))
    return answered(RolloutOut.of(progress, call.world.clock.now(), present))


@router.post(
    "/rollouts/{rollout:number}/start",
    response_model=RolloutOut,
    responses=errors(404, 409, 412, 507),
    tags=["rollouts"],
)
async def start_rollout(
    call: RolloutWork, once: Once, rollout: Id, edition: Edition, body: OrderIn | None = None
) -> Response:
    """Open its first wave."""
    return await _ordered(call, once, rollout, edition, RolloutEvent.START, body)


@router.post(
    "/rollouts/{rollout:number}/approve",
    response_model=RolloutOut,
    responses=errors(404, 409, 412, 507),
    tags=["rollouts"],
)
async def approve_rollout(
    call: RolloutWork, once: Once, rollout: Id, edition: Edition, body: OrderIn | None = None
) -> Response:
    """Approve what waits for it: its start, or its next wave."""
    return await _ordered(call, once, rollout, edition, RolloutEvent.APPROVE, body)


@router.post(
    "/rollouts/{rollout:number}/pause",
    response_model=RolloutOut,
    responses=errors(404, 409, 412, 507),
    tags=["rollouts"],
)
async def pause_rollout(
    call: RolloutWork, once: Once, rollout: Id, edition: Edition, body: OrderIn | None = None
) -> Response:
    """Offer it to nobody new; who has begun goes on."""
    return await _ordered(call, once, rollout, edition, RolloutEvent.PAUSE, body)


@router.post(
    "/rollouts/{rollout:number}/resume",
    response_model=RolloutOut,
    responses=errors(404, 409, 412, 507),
    tags=["rollouts"],
)
async def resume_rollout(
    call: RolloutWork, once: Once, rollout: Id, edition: Edition, body: OrderIn | None = None
) -> Response:
    """Go on; a wave that failed counts as passed by your word."""
    return await _ordered(call, once, rollout, edition, RolloutEvent.RESUME, body)


@router.post(
    "/rollouts/{rollout:number}/stop",
    response_model=RolloutOut,
    responses=errors(404, 409, 412, 507),
    tags=["rollouts"],
)
async def stop_rollout(
    call: RolloutWork, once: Once, rollout: Id, edition: Edition, body: OrderIn | None = None
) -> Response:
    """End it for good: who has not begun never will, who has is asked to cancel."""
    return await _ordered(call, once, rollout, edition, RolloutEvent.STOP, body)


@router.post(
    "/rollouts/{rollout:number}/install",
    response_model=RolloutOut,
    responses=errors(404, 409, 412, 422, 507),
    tags=["rollouts"],
)
async def install_rollout(
    call: RolloutWork, once: Once, rollout: Id, edition: Edition, body: InstallIn | None = None
) -> Response:
    """Have devices install what they have downloaded; until its moment another order moves it."""
    wanted = body or InstallIn()
    at = None if wanted.at is None else utc(wanted.at)

    def work(world: World) -> Awaitable[Rollout]:
        return rollouts.install(
            world,
            call.tenant,
            call.actor,
            RolloutId(rollout),
            at,
            in_window=wanted.in_window,
            reason=wanted.reason,
            edition=edition,
        )

    return await once(call, work, _shower(call))


@router.post(
    "/rollouts/{rollout:number}/install/withdraw",
    response_model=RolloutOut,
    responses=errors(404, 409, 412, 422, 507),
    tags=["rollouts"],
)
async def withdraw_install(
    call: RolloutWork, once: Once, rollout: Id, edition: Edition, body: OrderIn | None = None
) -> Response:
    """Take the order to install back, before its moment."""
    reason = body.reason if body else ""

    def work(world: World) -> Awaitable[Rollout]:
        return rollouts.withdraw(world, call.tenant, call.actor, RolloutId(rollout), reason=reason, edition=edition)

    return await once(call, work, _shower(call))


@router.post(
    "/rollouts/{rollout:number}/segments/{segment:number}/hold",
    response_model=RolloutOut,
    responses=errors(404, 409, 412, 422, 507),
    tags=["rollouts"],
)
async def hold_segment(
    call: RolloutWork, once: Once, rollout: Id, segment: SegmentIndex, edition: Edition, body: OrderIn | None = None
) -> Response:
    """Offer it to nobody new of one segment; the others go on."""
    reason = body.reason if body else ""

    def work(world: World) -> Awaitable[Rollout]:
        return rollouts.hold_segment(
            world, call.tenant, call.actor, RolloutId(rollout), segment, reason=reason, edition=edition
        )

    return await once(call, work, _shower(call))


@router.post(
    "/rollouts/{rollout:number}/segments/{segment:number}/release",
    response_model=RolloutOut,
    responses=errors(404, 409, 412, 422, 507),
    tags=["rollouts"],
)
async def release_segment(
    call: RolloutWork, once: Once, rollout: Id, segment: SegmentIndex, edition: Edition, body: OrderIn | None = None
) -> Response:
    """Have a held segment go on; where the judge holds it, your word counts from now on."""
    reason = body.reason if body else ""

    def work(world: World) -> Awaitable[Rollout]:
        return rollouts.release_segment(
            world, call.tenant, call.actor, RolloutId(rollout), segment, reason=reason, edition=edition
        )

    return await once(call, work, _shower(call))


@router.post(
    "/rollouts/{rollout:number}/retry",
    response_model=RolloutOut,
    responses=errors(404, 409, 422, 507),
    tags=["rollouts"],
)
async def retry_rollout(call: RolloutWork, once: Once, rollout: Id, body: RetryIn | None = None) -> Response:
    """Give members that ended badly another attempt; their waves are judged again."""
    states = (body.states if body else None) or FAILURES
    reason = body.reason if body else ""

    def work(world: World) -> Awaitable[Rollout]:
        return rollouts.retry(world, call.tenant, call.actor, RolloutId(rollout), states, reason=reason)

    return await once(call, work, _shower(call))


@router.get("/rollouts/{rollout:number}/verdicts", responses=errors(404), tags=["rollouts"])
async def list_verdicts(
    call: Reading,
    wanted: Wanted,
    rollout: Id,
    segment: Annotated[
        WholeNumber | None,
        Query(ge=0, lt=MAX_SEGMENTS, description="Only of this segment, by index."),
    ] = None,
) -> Items[VerdictOut]:
    """List what a sequential judge found, newest first: where its call changed, or an e-value passed a power of two."""
    after = wanted.after(number)
    before = after[0] if after else None
    of = -1 if segment is None else segment
    found = await judging.verdicts(call.world, call.tenant, RolloutId(rollout), before, wanted.limit + 1, of)
    items, following = wanted.page(found, lambda row: VerdictOut.of(row[1]), lambda row: (row[0],))
    return Items(items=items, next=following)


@router.get(
    "/rollouts/{rollout:number}/rollback", response_model=BackOut, responses=errors(404, 409), tags=["rollouts"]
)
async def plan_rollback(call: Reading, rollout: Id) -> Response:
    """Say which devices would be brought back, and where; which would not, and why. Nothing changes."""
    return answered(BackOut.of(await rollback.plan_back(call.world, call.tenant, RolloutId(rollout))))


@router.post(
    "/rollouts/{rollout:number}/rollback",
    status_code=201,
    response_model=BackOut,
    responses=errors(404, 409, 412, 422, 507),
    tags=["rollouts"],
)
async def roll_back(
    call: RolloutWork, once: Once, rollout: Id, edition: Edition, body: OrderIn | None = None
) -> Response:
    """Stop it, and bring the devices that took the release back to what they ran before, where that is safe."""
    reason = body.reason if body else ""

    def work(world: World) -> Awaitable[list[Way]]:
        return rollback.roll_back(world, call.tenant, call.actor, RolloutId(rollout), reason=reason, edition=edition)

    return await once(call, work, lambda _, ways: BackOut.of(ways), 201)


@router.get("/rollouts/{rollout:number}/deployments", responses=errors(404), tags=["deployments"])
async def list_members(
    call: Reading,
    wanted: Wanted,
    rollout: Id,
    state: Annotated[list[State] | None, Query(max_length=MAX_STATES, description="Only in these.")] = None,
) -> Items[DeploymentOut]:
    """List a rollout's members by device, and where each is."""
    after = wanted.after(text(ids.device_id))
    first = after[0] if after else None
    found = await survey.members(call.world, call.tenant, RolloutId(rollout), state or (), first, wanted.limit + 1)
    items, following = wanted.page(found, DeploymentOut.of, lambda deployment: (deployment.device,))
    return Items(items=items, next=following)


@router.post(
    "/rollouts/{rollout:number}/deployments/{device}/cancel",
    response_model=DeploymentOut,
    responses=errors(404, 409, 507),
    tags=["deployments"],
)
async def cancel_deployment(
    call: RolloutWork,
    once: Once,
    rollout: Id,
    device: Annotated[DeviceName, Path(description="The device's id.")],
    body: CancelIn | None = None,
) -> Response:
    """Have one device not do it: at once where it knows nothing yet, else as soon as it confirms."""
    force = body is not None and body.force

    def work(world: World) -> Awaitable[Deployment]:
        return rollouts.cancel(world, call.tenant, call.actor, RolloutId(rollout), DeviceId(device), force=force)

    return await once(call, work, lambda _, deployment: DeploymentOut.of(deployment))


@router.get("/deployments", responses=errors(404), tags=["deployments"])
async def list_deployments(
    call: Reading,
    device: Annotated[DeviceName, Query(description="Whose.")],
    limit: Annotated[WholeNumber, Query(ge=1, le=1000, description="How many at most.")] = 100,
) -> Items[HistoryItem]:
    """List a device's deployments, every attempt, newest first."""
    found = await survey.history(call.world, call.tenant, DeviceId(device), limit)
    return Items(items=[HistoryItem.of(deployment, its) for deployment, its in found], next=None)
