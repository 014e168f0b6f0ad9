"""`/devices/{device}/deployments/{rollout}/…`: an owner's word on an update that waits for it."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import DeviceWork, Once
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import DeviceName, WholeNumber
from otaru.apps.server.api.models.rollouts import DeploymentOut, PostponeIn, RejectIn
from otaru.apps.server.api.noun import noun
from otaru.domain.deployment import Deployment
from otaru.domain.ids import DeviceId, RolloutId
from otaru.services.control import consent
from otaru.services.control.world import World

router = noun("/devices/{device}/deployments/{rollout:number}", tag="deployments")

Device = Annotated[DeviceName, Path(description="The device's id.")]
Rollout = Annotated[WholeNumber, Path(ge=1, lt=2**31, description="The rollout's number.")]


@router.post("/approve", response_model=DeploymentOut, responses=errors(404, 409, 507))
async def approve_deployment(call: DeviceWork, once: Once, device: Device, rollout: Rollout) -> Response:
    """Say yes for its owner: it is told to begin at its next poll."""

    def work(world: World) -> Awaitable[Deployment]:
        return consent.approve(world, call.tenant, call.actor, RolloutId(rollout), DeviceId(device))

    return await once(call, work, lambda _, deployment: DeploymentOut.of(deployment))


@router.post("/postpone", response_model=DeploymentOut, responses=errors(404, 409, 507))
async def postpone_deployment(
    call: DeviceWork, once: Once, device: Device, rollout: Rollout, body: PostponeIn
) -> Response:
    """Put it off until a moment; how often and how far the rollout says. It counts as no failure."""

    def work(world: World) -> Awaitable[Deployment]:
        until = body.moment(world.clock.now())
        return consent.postpone(world, call.tenant, call.actor, RolloutId(rollout), DeviceId(device), until)

    return await once(call, work, lambda _, deployment: DeploymentOut.of(deployment))


@router.post("/reject", response_model=DeploymentOut, responses=errors(404, 409, 507))
async def reject_deployment(
    call: DeviceWork, once: Once, device: Device, rollout: Rollout, body: RejectIn | None = None
) -> Response:
    """Say no for good. It counts as no failure."""

    def work(world: World) -> Awaitable[Deployment]:
        reason = body.reason if body else ""
        return consent.reject(world, call.tenant, call.actor, RolloutId(rollout), DeviceId(device), reason)

    return await once(call, work, lambda _, deployment: DeploymentOut.of(deployment))
