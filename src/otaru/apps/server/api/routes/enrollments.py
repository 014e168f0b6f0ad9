"""`/enrollments`: claims that let devices come by themselves."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import DeviceWork, Once, Reading
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.enrollments import (
    EnrollmentIn,
    EnrollmentOut,
    MadeEnrollment,
    SerialsIn,
    SerialsOut,
)
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.domain.enrollment import Enrollment, EnrollmentId
from otaru.ports.store import Tx
from otaru.services.control import enrollments
from otaru.services.control.enrollments import Made
from otaru.services.control.world import World

router = noun("/enrollments", tag="enrollments")

Id = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z]+$", description="The enrollment's id.")]


@router.post("", status_code=201, response_model=MadeEnrollment, responses=errors(409, 413, 507))
async def create_enrollment(call: DeviceWork, once: Once, body: EnrollmentIn) -> Response:
    """Make a claim: so many devices may come by it, until its end. Its token is shown in this answer only."""

    def work(world: World) -> Awaitable[Made]:
        return enrollments.create(world, call.tenant, call.actor, body.parsed())

    def show(_: Tx, made: Made) -> MadeEnrollment:
        return MadeEnrollment.made(made)

    return await once(call, work, show, 201)


@router.get("", responses=errors())
async def list_enrollments(call: Reading, wanted: Wanted) -> Items[EnrollmentOut]:
    """List claims in the order of their making, the revoked ones too; never their tokens."""
    after = wanted.after(text(EnrollmentId))
    found = await enrollments.page(call.world, call.tenant, after[0] if after else None, wanted.limit + 1)
    items, following = wanted.page(found, EnrollmentOut.of, lambda enrollment: (enrollment.id,))
    return Items(items=items, next=following)


@router.get("/{enrollment}", responses=errors(404))
async def show_enrollment(call: Reading, enrollment: Id) -> EnrollmentOut:
    """Show a claim: what it is good for, and how many devices have come by it."""
    return EnrollmentOut.of(await enrollments.show(call.world, call.tenant, EnrollmentId(enrollment)))


@router.post("/{enrollment}/serials", response_model=SerialsOut, responses=errors(404, 409, 413, 507))
async def list_serials(call: DeviceWork, once: Once, enrollment: Id, body: SerialsIn) -> Response:
    """List more serials that may come by a claim. Those that are listed already change nothing."""

    def work(world: World) -> Awaitable[tuple[Enrollment, int]]:
        return enrollments.list_serials(world, call.tenant, call.actor, EnrollmentId(enrollment), body.parsed())

    def show(_: Tx, done: tuple[Enrollment, int]) -> SerialsOut:
        return SerialsOut(added=done[1], serials=done[0].serials)

    return await once(call, work, show)


@router.delete("/{enrollment}", status_code=204, responses=errors(404, 507))
async def revoke_enrollment(call: DeviceWork, enrollment: Id) -> None:
    """Revoke a claim: nobody comes by it any more. Devices that came by it stay."""
    await enrollments.revoke(call.world, call.tenant, call.actor, EnrollmentId(enrollment))
