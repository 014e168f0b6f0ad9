"""Many devices that come at the same moment, on both engines."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from otaru.domain.device import Hardware
from otaru.domain.enrollment import Wanted
from otaru.domain.ids import DeviceId
from otaru.errors import ClaimUsedUpError
from otaru.ports.store import Claim
from otaru.services.control import enrolling, enrollments
from otaru.services.control.enrolling import Asked, Welcome
from otaru.services.control.enrollments import NewEnrollment, by_token
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import a_world

pytestmark = pytest.mark.anyio


async def comes(world: World, claim: Claim, device: str) -> Welcome:
    asked = Asked(DeviceId(device), Wanted.TOKEN, Hardware("rpi4"))
    return (await enrolling.enroll(world, claim, None, asked))[1]


async def test_a_hundred_in_two_workers_do_not_overrun_the_quota(database: str, tmp_path: Path) -> None:
    async with a_world(database, tmp_path / "a") as (world, _), a_world(database, tmp_path / "b") as (other, _):
        made = await enrollments.create(world, ACME, SYSTEM, NewEnrollment("line", 30, timedelta(days=1)))
        claim = by_token(made.token or "")
        # Each serial twice, in both: the second time it is the same device asking again.
        asked = [comes((world, other)[n // 50], claim, f"sn-{n % 50}") for n in range(100)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(o) for o in outcomes} == {Welcome, ClaimUsedUpError}, outcomes
        came = {o.device.id for o in outcomes if isinstance(o, Welcome)}
        after = await enrollments.show(world, ACME, made.enrollment.id)
        assert len(came) == after.used == 30
        assert sum(isinstance(o, Welcome) for o in outcomes) == 60
        counted = await world.store.read(lambda tx: tx.devices.count(ACME, None))
        assert counted == 30
