"""Plans: what is looked at is what is made, and how it would go is how it goes."""

from datetime import UTC, datetime, timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, Version
from otaru.domain.rollout import DEFAULT_RULE, ClassicRule, Growth, Policy, RolloutState, Shape, Share
from otaru.errors import InvalidInputError, NeverDueError, NothingToDoError, PreconditionFailedError
from otaru.ports.store import Tx
from otaru.services.control import rollouts
from otaru.services.control.planning import plan
from otaru.services.control.rollouts import Intention, Planned
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import APP, BOARD, OTHER_BOARD, Fleet

pytestmark = pytest.mark.anyio

V2 = Version("2")


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release(V2, (BOARD, OTHER_BOARD))
    return made


def wanted(policy: Policy | None = None, **more: object) -> Intention:
    return Intention(APP, V2, "id==*", policy or Policy(), **more)  # type: ignore[arg-type]


async def heard(world: World, ages: dict[str, timedelta]) -> None:
    now = world.clock.now()

    def write(tx: Tx, params: list[dict[str, timedelta]]) -> list[None]:
        for given in params:
            tx.devices.contacts([(ACME, DeviceId(name), now - age, "") for name, age in given.items()])
        return [None] * len(params)

    await world.store.write(write, ages)  # type: ignore[arg-type]


async def test_a_plan_is_made_again_as_it_was_seen(fleet: Fleet) -> None:
    await fleet.add(*(f"a{n:02}" for n in range(40)))
    await fleet.add(*(f"b{n}" for n in range(5)), hardware=OTHER_BOARD)
    await fleet.add("misfit", hardware=Hardware("x"))
    staged = wanted(Policy(split=("hardware",), rule=DEFAULT_RULE), growth=Growth(Shape.ADAPTIVE))
    found = await plan(fleet.world, ACME, staged, 0.5)
    assert (found.rollout.size, found.canaries, found.left_out["misfit"]) == (45, 3, 1)
    assert [(s.name, s.size, t.canaries) for s, t in found.segments] == [("board", 40, 2), ("other", 5, 1)]
    assert [w.height for w in found.rollout.waves][:2] == [3, 4]
    assert found.volume == 45
    assert found.outlook.unheard == 45
    assert len(found.outlook.first) == 10
    assert found.bad is not None
    again = Intention(APP, V2, "id==*", staged.policy, growth=staged.growth, planned=Planned(found.rollout.seed, 45))
    made = await rollouts.create(fleet.world, ACME, SYSTEM, again)
    assert (made.waves, made.segments) == (found.rollout.waves, found.rollout.segments)
    members = await fleet.world.store.read(lambda tx: tx.deployments.page(ACME, made.id, (), None, 100))
    assert [d.device for d in sorted(members, key=lambda d: d.rank)][:10] == list(found.outlook.first)
    await fleet.add("a99")
    with pytest.raises(PreconditionFailedError):
        await rollouts.create(fleet.world, ACME, SYSTEM, again)


async def test_nobody_is_seen_and_not_made(fleet: Fleet) -> None:
    found = await plan(fleet.world, ACME, wanted(growth=Growth(Shape.ADAPTIVE)))
    assert (found.rollout.size, found.expected, found.outlook.first, found.volume) == (0, None, (), 0)
    with pytest.raises(NothingToDoError):
        await rollouts.create(fleet.world, ACME, SYSTEM, wanted(growth=Growth(Shape.EXPONENTIAL)))


async def test_what_makes_no_sense_is_refused(fleet: Fleet) -> None:
    await fleet.add("a", "b", "c")
    waves = (Share(1, percent=False), Share(2, percent=False))
    for senseless in (
        wanted(growth=Growth(Shape.ALL)),
        wanted(growth=Growth(Shape.EXPONENTIAL, 0)),
        wanted(Policy(waves=waves), growth=Growth(Shape.ADAPTIVE)),
    ):
        with pytest.raises(InvalidInputError):
            await plan(fleet.world, ACME, senseless)
        with pytest.raises(InvalidInputError):
            await rollouts.create(fleet.world, ACME, SYSTEM, senseless)
    end_of_time = datetime.max.replace(tzinfo=UTC)
    never = Intention(APP, V2, "id==*", Policy(expires_after=timedelta(days=100)), start_at=end_of_time)
    with pytest.raises(InvalidInputError, match="the year 9000"):
        await plan(fleet.world, ACME, never)
    with pytest.raises(InvalidInputError, match="the year 9000"):
        await rollouts.create(fleet.world, ACME, SYSTEM, never)
    late = wanted(Policy(waves=waves, observe=timedelta(hours=2), expires_after=timedelta(hours=3)))
    with pytest.raises(NeverDueError, match=r"expires after 3h, .* each watched for 2h$"):
        await rollouts.create(fleet.world, ACME, SYSTEM, late)
    emergency = await rollouts.create(fleet.world, ACME, SYSTEM, wanted(growth=Growth(Shape.ALL), reason="CVE"))
    assert len(emergency.waves) == 1


async def test_a_dry_run_is_borne_out_by_what_happens(fleet: Fleet, clock: SettableClock) -> None:
    """Nine in ten poll hourly, one in ten every twelve hours; two waves. The same in virtual time, poll by poll."""
    periods = {f"d{n:02}": timedelta(hours=12 if n % 10 == 0 else 1) for n in range(60)}
    await fleet.add(*periods)
    # Each is somewhere in its period, evenly.
    ages = {name: period * ((n * 37 % 60 + 0.5) / 60) for n, (name, period) in enumerate(periods.items())}
    await heard(fleet.world, ages)
    # The wave passes without its slowest, so that who they are by chance does not matter.
    policy, same = Policy(waves=(Share(25, percent=True),), rule=ClassicRule(0.75, 0.1)), Planned(7, 60)
    found = await plan(fleet.world, ACME, wanted(policy, planned=same))
    assert found.expected is not None
    rollout = (await rollouts.create(fleet.world, ACME, SYSTEM, wanted(policy, start=True, planned=same))).id
    start = clock.now()
    due = {name: start + periods[name] - age for name, age in ages.items()}
    reached: dict[float, datetime] = {}
    done = 0
    while done < len(periods):
        name = min(due, key=due.__getitem__)
        clock.ahead += due[name] - clock.now()
        if await fleet.poll(name) is State.OFFERED:
            await fleet.say(name, Event.SUCCEED)
            await fleet.work()
            done += 1
            reached |= {q: due[name] for q in (0.5, 0.9) if done >= q * len(periods) and q not in reached}
        due[name] += periods[name]
    ended = await fleet.show(rollout)
    assert ended.state is RolloutState.FINISHED
    for share, at in reached.items():
        foreseen = found.expected.reached_s[share]
        assert foreseen == pytest.approx((at - start).total_seconds(), rel=0.35, abs=900)
    assert found.expected.ended_s is not None
    assert found.expected.ended_s == pytest.approx((clock.now() - start).total_seconds(), rel=0.35)
    after = await plan(fleet.world, ACME, Intention(APP, V2, "id==*", Policy()))
    assert after.left_out["installed"] == 60
    assert (after.outlook.succeeded, after.outlook.failure) == (60, 0.0)
    assert after.outlook.install_s is not None
