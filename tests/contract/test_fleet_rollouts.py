"""The port `Rollouts`, on both engines."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import time, timedelta
from random import Random

import pytest
from sqlalchemy import select, update

from otaru.adapters.sql.packed import pack
from otaru.adapters.sql.tables import deployment, rollout_segment
from otaru.adapters.sql.tables import rollout as table
from otaru.domain.deployment import State
from otaru.domain.device import Hardware, Lifecycle, lot
from otaru.domain.evidence import Evidence, Span, Tally
from otaru.domain.ids import DeviceId, ProductName, RolloutId, TenantId, Version
from otaru.domain.release import Artifact
from otaru.domain.rollout import (
    Approve,
    ClassicRule,
    Download,
    Install,
    Limits,
    OnError,
    Place,
    Policy,
    RolloutState,
    Segment,
    Share,
    Taken,
    Urgency,
    WaveState,
    draw,
)
from otaru.domain.schedule import Window
from otaru.domain.targeting import parse
from otaru.errors import NotFoundError
from tests.support.fleet import HERE, NOW, RPI, THERE, Shelf, a_blob, a_device, a_release, a_rollout, later, open_shelf

ONE = RolloutId(1)
ALL = frozenset({"*"})
FLEET = [a_device(f"dev-{n:02}") for n in range(20)]
STAGED = Policy(
    waves=(Share(2, percent=False), Share(50, percent=True), Share(100, percent=True)),
    rule=ClassicRule(success=0.9, error=0.1),
    quorum=0.95,
    wave_timeout=timedelta(hours=3, microseconds=5),
    observe=timedelta(minutes=7),
    expires_after=timedelta(days=30),
    on_error=OnError.STOP,
    urgency=Urgency.SOFT,
    consent=True,
    window=Window(time(22, 30), timedelta(minutes=90), "Europe/Paris"),
    limits=Limits(100, 20, (Place("site", 5), Place("", 7, "lab"))),
    priority=7,
    approve=Approve.WAVES,
    after=RolloutId(9),
    forced_at=NOW,
    continuous=True,
    download_only=True,
    download=Download.ANY_TIME,
)


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


def ranks(shelf: Shelf, tenant: TenantId = HERE, rollout: int = 1) -> dict[str, int]:
    return {d.device: d.rank for d in shelf.deployments.page(tenant, RolloutId(rollout), (), None, 1000)}


def states(shelf: Shelf, tenant: TenantId = HERE, rollout: int = 1) -> dict[str, str]:
    return {d.device: d.state.value for d in shelf.deployments.page(tenant, RolloutId(rollout), (), None, 1000)}


def true_counters(shelf: Shelf, tenant: TenantId = HERE, rollout: int = 1) -> dict[int, Tally]:
    evidence = shelf.rollouts.evidence(tenant, RolloutId(rollout))
    assert evidence == shelf.rollouts.recounted(tenant, RolloutId(rollout))
    return evidence.waves


def test_a_rollout_comes_back_as_it_was_saved(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    assert shelf.rollouts.next_id(HERE) == 1
    rollout = replace(shelf.launch(HERE, a_rollout(1, policy=STAGED, seed=2**62 - 1), release))
    assert shelf.rollouts.get(HERE, ONE) == rollout
    assert [w.height for w in rollout.waves] == [2, 10, 20]
    first, second, third = rollout.waves
    changed = replace(
        rollout,
        state=RolloutState.PAUSED,
        waves=(
            replace(first, state=WaveState.PASSED, opened_at=NOW, complete_at=later(60), reason="good"),
            replace(second, state=WaveState.OPEN, opened_at=later(61)),
            third,
        ),
        reason="by hand",
        start_at=later(1),
        started_at=later(2),
        ended_at=later(3),
        edition=9,
        name="new name",
        install=Install(later(4), in_window=True),
    )
    shelf.rollouts.save(HERE, changed)
    assert shelf.rollouts.get(HERE, ONE) == changed
    withdrawn = replace(changed, install=None)
    shelf.rollouts.save(HERE, withdrawn)
    assert shelf.rollouts.get(HERE, ONE) == withdrawn
    shelf.rollouts.save(HERE, replace(changed, waves=changed.waves[:1]))
    assert shelf.rollouts.get(HERE, ONE) == replace(changed, waves=changed.waves[:1])
    assert shelf.rollouts.next_id(HERE) == 2
    assert shelf.rollouts.get(HERE, RolloutId(2)) is None
    assert shelf.rollouts.plan(HERE, RolloutId(2)) is None


def test_a_policy_that_was_stored_before_windows_has_none(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    stored = shelf.launch(HERE, a_rollout(1, policy=STAGED), release)
    older = {name: value for name, value in json.loads(pack(STAGED)).items() if name != "window"}
    shelf.session.connection.execute(update(table).values(policy=json.dumps(older)))
    found = shelf.rollouts.get(HERE, ONE)
    assert found == replace(stored, policy=replace(STAGED, window=None))


def test_an_unknown_rollout_cannot_be_saved(shelf: Shelf) -> None:
    shelf.stock(HERE, FLEET)
    with pytest.raises(NotFoundError):
        shelf.rollouts.save(HERE, a_rollout())


def test_saving_raises_the_watermark_of_open_segments(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    rollout = shelf.launch(HERE, a_rollout(policy=STAGED), release)
    plan = shelf.rollouts.plan(HERE, ONE)
    assert plan is not None
    assert (plan.rollout, plan.release, plan.watermarks) == (rollout, release, (0,))
    opened = replace(
        rollout,
        waves=(replace(rollout.waves[0], state=WaveState.OPEN), *rollout.waves[1:]),
        segments=(*rollout.segments, Segment(1, "b", 0, held=True, reason="3 of 4 failed")),
    )
    shelf.rollouts.save(HERE, opened)
    plan = shelf.rollouts.plan(HERE, ONE)
    assert plan is not None
    assert plan.watermarks == (2, -1)
    assert plan.rollout == opened
    freed = replace(opened, segments=(opened.segments[0], replace(opened.segments[1], held=False, overruled=True)))
    shelf.rollouts.save(HERE, freed)
    plan = shelf.rollouts.plan(HERE, ONE)
    assert plan is not None
    assert (plan.watermarks, plan.rollout.segments) == ((2, 2), freed.segments)


def test_pages_are_newest_first(shelf: Shelf) -> None:
    shelf.stock(HERE, FLEET)
    rollouts = {}
    for number in range(1, 8):
        state = RolloutState.PAUSED if number % 3 == 0 else RolloutState.RUNNING
        rollouts[number] = replace(a_rollout(number, policy=STAGED), state=state)
        shelf.rollouts.add(HERE, rollouts[number])
    assert shelf.rollouts.page(HERE, (), None, 100) == [rollouts[n] for n in range(7, 0, -1)]
    assert shelf.rollouts.page(HERE, (), RolloutId(5), 2) == [rollouts[4], rollouts[3]]
    assert shelf.rollouts.page(HERE, {"paused"}, None, 100) == [rollouts[6], rollouts[3]]
    assert shelf.rollouts.page(HERE, {"paused", "running"}, RolloutId(3), 1) == [rollouts[2]]
    assert shelf.rollouts.page(HERE, {"draft"}, None, 9) == []


def test_the_rollouts_of_one_release(shelf: Shelf) -> None:
    shelf.stock(HERE, FLEET)
    for number, (product, version) in enumerate((p, v) for p in ("app", "os") for v in ("1", "1", "2")):
        made = replace(a_rollout(number + 1), product=ProductName(product), version=Version(version))
        shelf.rollouts.add(HERE, replace(made, state=RolloutState.PAUSED if number == 0 else RolloutState.RUNNING))

    def ids(product: str, version: str, *states: str, after: int | None = None, limit: int = 9) -> list[int]:
        last = None if after is None else RolloutId(after)
        release = (ProductName(product), Version(version))
        return [r.id for r in shelf.rollouts.page(HERE, states, last, limit, release)]

    assert ids("app", "1") == [2, 1]
    assert ids("app", "1", limit=1) == [2]
    assert ids("app", "1", after=2) == [1]
    assert ids("app", "1", "paused") == [1]
    assert ids("os", "2") == [6]
    assert ids("os", "3") == ids("x", "1") == []
    assert shelf.rollouts.page(THERE, (), None, 9, (ProductName("app"), Version("1"))) == []


def test_of_several_components_all_are_asked(shelf: Shelf) -> None:
    gw, large = Hardware("gw"), Hardware("gw", "b")
    made = [("os", gw), ("app", gw), ("fpga", large)]
    artifacts = tuple(Artifact(component, fits, f"{component}.bin", a_blob("a")) for component, fits in made)
    devices = [
        a_device("bare", hardware=gw),
        a_device("some", hardware=gw, runs={"os": "1.1.0", "app": "1.0.0"}),
        a_device("all", hardware=gw, runs={"os": "1.1.0", "app": "1.1.0"}),
        a_device("most", hardware=large, runs={"os": "1.1.0", "app": "1.1.0"}),
        a_device("large", hardware=large, runs={"os": "1.1.0", "app": "1.1.0", "fpga": "1.1.0"}),
        replace(a_device("pinned", hardware=large), pins=frozenset({"fpga"})),
        replace(a_device("free", hardware=gw), pins=frozenset({"fpga"})),
        a_device("misfit"),
    ]
    release = shelf.stock(HERE, devices, replace(a_release(), artifacts=artifacts))
    kept = shelf.releases.get(HERE, release.product, release.version)
    assert kept is not None
    assert kept.components == ("os", "app", "fpga"), "in their order"
    everybody = parse("id==*", NOW)
    assert shelf.rollouts.candidates(HERE, everybody, kept) == (
        4,
        {"inactive": 0, "misfit": 1, "installed": 2, "pinned": 1},
    )
    assert shelf.rollouts.enlist(HERE, a_rollout(), everybody, kept) == 4
    assert set(ranks(shelf)) == {"bare", "some", "most", "free"}


def test_candidates_are_counted_as_enlist_takes_them(shelf: Shelf) -> None:
    devices = [
        a_device("good"),
        a_device("good-too", hardware=Hardware("rpi4", "1.2")),
        a_device("exact", hardware=Hardware("cm", "2")),
        a_device("older", runs={"app": "1.0.0", "other": "1.1.0"}),
        a_device("pending", lifecycle=Lifecycle.PENDING, hardware=Hardware("x")),
        a_device("quarantined", lifecycle=Lifecycle.QUARANTINED, runs={"app": "1.1.0"}),
        replace(a_device("pinned"), pins=frozenset({"*"})),
        replace(a_device("pinned-app"), pins=frozenset({"app", "os"})),
        replace(a_device("good-pinned-other"), pins=frozenset({"ap", "app.x"})),
        a_device("misfit", hardware=Hardware("cm", "3"), runs={"app": "1.1.0"}),
        a_device("bare", hardware=Hardware("cm")),
        a_device("there", runs={"app": "1.1.0"}),
        a_device("zz-not-asked"),
    ]
    release = shelf.stock(HERE, devices, a_release(hardware=(RPI, Hardware("cm", "2"))))
    query = parse(
        "id==good*,id==exact,id==older,id==pending,id==quarantined,id==misfit,id==pinned*,id==bare,id==there", NOW
    )
    members, left_out = shelf.rollouts.candidates(HERE, query, release)
    assert (members, left_out) == (5, {"inactive": 2, "misfit": 2, "installed": 1, "pinned": 2})
    assert list(left_out) == ["inactive", "misfit", "installed", "pinned"]
    assert shelf.rollouts.enlist(HERE, a_rollout(), query, release) == 5
    assert set(ranks(shelf)) == {"good", "good-too", "good-pinned-other", "exact", "older"}
    assert shelf.rollouts.candidates(HERE, parse("id==nobody", NOW), release) == (
        0,
        {"inactive": 0, "misfit": 0, "installed": 0, "pinned": 0},
    )


def test_members_are_ranked_by_the_draw(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    for number, seed in ((1, 7), (2, 7), (3, 2**61 + 11)):
        shelf.launch(HERE, a_rollout(number, seed=seed), release)
        drawn = draw(seed)
        by_draw = sorted((d.id for d in FLEET), key=lambda i: (drawn.key(lot(HERE, i)), i))
        assert ranks(shelf, HERE, number) == {device: rank for rank, device in enumerate(by_draw)}
    assert ranks(shelf, HERE, 1) == ranks(shelf, HERE, 2)
    assert ranks(shelf, HERE, 1) != ranks(shelf, HERE, 3)
    # The order is a fixed one, the same on every engine and on every day.
    assert sorted(ranks(shelf), key=ranks(shelf).__getitem__)[:4] == ["dev-13", "dev-01", "dev-10", "dev-16"]


def test_a_new_member_is_scheduled_in_its_wave(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    rollout = shelf.launch(HERE, a_rollout(policy=STAGED), release)
    for member in shelf.deployments.page(HERE, ONE, (), None, 100):
        wave = next(w for w in rollout.waves if w.start <= member.rank < w.height)
        assert (member.attempt, member.state, member.segment, member.wave) == (1, State.SCHEDULED, 0, wave.index)
        assert (member.action, member.offered_at, member.ended_at, member.reason) == (0, None, None, "")
        assert member.changed_at == NOW
    scheduled = {w.index: Tally({State.SCHEDULED: w.size}) for w in rollout.waves}
    assert true_counters(shelf) == scheduled
    (segment,) = shelf.session.connection.execute(select(rollout_segment))
    assert tuple(segment) == (HERE, 1, 0, "all", 20, False, 0, "", False)


def test_waves_may_be_many(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    many = Policy(waves=tuple(Share(n, percent=False) for n in range(1, 20)))
    rollout = shelf.launch(HERE, a_rollout(policy=many), release)
    assert len(rollout.waves) == 20
    assert all(d.wave == d.rank for d in shelf.deployments.page(HERE, ONE, (), None, 100))
    assert true_counters(shelf) == {n: Tally({State.SCHEDULED: 1}) for n in range(20)}


def test_a_rollout_without_members_has_nothing(shelf: Shelf) -> None:
    release = shelf.stock(HERE)
    rollout = shelf.launch(HERE, a_rollout(), release)
    assert (rollout.size, rollout.waves) == (0, ())
    assert true_counters(shelf) == {}
    assert shelf.rollouts.move_all(HERE, ONE, tuple(State), State.SKIPPED, "x", NOW) == 0
    assert shelf.rollouts.retry(HERE, ONE, tuple(State), NOW) == {}


def test_a_device_may_be_scheduled_in_several_rollouts(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    shelf.launch(HERE, a_rollout(1), release)
    shelf.move(HERE, 1, "dev-00", State.INSTALLING)
    assert shelf.launch(HERE, a_rollout(2), release).size == 20


def test_all_members_in_some_states_move_at_once(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    shelf.launch(HERE, a_rollout(policy=STAGED), release)
    shelf.launch(HERE, a_rollout(2), release)
    shelf.move(HERE, 1, "dev-00", State.INSTALLING)
    shelf.move(HERE, 1, "dev-01", State.OFFERED)
    shelf.move(HERE, 1, "dev-02", State.FAILED, "its words")
    open_ones = {State.INSTALLING, State.OFFERED, State.POSTPONED}
    assert shelf.rollouts.move_all(HERE, ONE, open_ones, State.CANCELLING, "stopped", later(10)) == 2
    true_counters(shelf)
    assert shelf.rollouts.move_all(HERE, ONE, (State.SCHEDULED,), State.CANCELLED, "stopped", later(20)) == 17
    tallies = true_counters(shelf)
    assert sum(t.members for t in tallies.values()) == 20
    members = {d.device: d for d in shelf.deployments.page(HERE, ONE, (), None, 100)}
    zero, two, nine = (members[DeviceId(f"dev-{n}")] for n in ("00", "02", "09"))
    assert (zero.state, zero.changed_at, zero.ended_at, zero.reason) == (State.CANCELLING, later(10), None, "stopped")
    assert (nine.state, nine.changed_at, nine.ended_at) == (State.CANCELLED, later(20), later(20))
    assert (nine.reason, two.state, two.reason) == ("stopped", State.FAILED, "its words")
    assert set(states(shelf, HERE, 2).values()) == {"scheduled"}
    assert shelf.rollouts.move_all(HERE, ONE, (State.SCHEDULED,), State.CANCELLED, "stopped", later(30)) == 0
    assert shelf.rollouts.move_all(HERE, ONE, (State.CANCELLED,), State.CANCELLED, "again", later(30)) == 0
    assert shelf.rollouts.move_all(HERE, ONE, (), State.CANCELLED, "none", later(30)) == 0


def test_retry_gives_a_new_attempt_and_keeps_the_old_one(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    shelf.launch(HERE, a_rollout(policy=STAGED), release)
    before = ranks(shelf)
    waves = {d.device: d.wave for d in shelf.deployments.page(HERE, ONE, (), None, 100)}
    for device in ("dev-00", "dev-01"):
        shelf.move(HERE, 1, device, State.FAILED, "broken")
    shelf.move(HERE, 1, "dev-02", State.SILENT)
    shelf.move(HERE, 1, "dev-03", State.INSTALLING)
    again = shelf.rollouts.retry(HERE, ONE, {State.FAILED, State.INSTALLING, State.SCHEDULED}, later(50))
    counted: dict[int, int] = {}
    for device in ("dev-00", "dev-01"):
        wave = waves[DeviceId(device)]
        counted[wave] = counted.get(wave, 0) + 1
    assert again == counted
    assert sum(t.members for t in true_counters(shelf).values()) == 20
    assert ranks(shelf) == before
    (now,) = shelf.deployments.current(HERE, [(ONE, DeviceId("dev-00"))])
    assert now is not None
    assert (now.attempt, now.state, now.action, now.offered_at, now.ended_at) == (2, State.SCHEDULED, 0, None, None)
    assert (now.changed_at, now.reason) == (later(50), "")
    history = shelf.deployments.of_device(HERE, DeviceId("dev-00"), 10)
    assert [(d.attempt, d.state, d.action, d.reason) for d, _ in history] == [
        (2, State.SCHEDULED, 0, ""),
        (1, State.FAILED, 1, "broken"),
    ]
    shelf.move(HERE, 1, "dev-00", State.FAILED)
    assert sum(shelf.rollouts.retry(HERE, ONE, {State.FAILED}, later(60)).values()) == 1
    rows = select(deployment.c.attempt, deployment.c.current).where(deployment.c.device == "dev-00")
    assert sorted(map(tuple, shelf.session.connection.execute(rows))) == [(1, False), (2, False), (3, True)]


def test_a_decommissioned_device_is_not_tried_again(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    shelf.launch(HERE, a_rollout(), release)
    for name in ("dev-00", "dev-01", "dev-02"):
        shelf.move(HERE, 1, name, State.FAILED, "broken")
    for name, lifecycle in (("dev-00", Lifecycle.DECOMMISSIONED), ("dev-01", Lifecycle.QUARANTINED)):
        known = shelf.devices.get(HERE, DeviceId(name))
        assert known is not None
        shelf.devices.save(HERE, replace(known, lifecycle=lifecycle))
    assert sum(shelf.rollouts.retry(HERE, ONE, {State.FAILED}, later(50)).values()) == 2
    after = states(shelf)
    assert [after[name] for name in ("dev-00", "dev-01", "dev-02")] == ["failed", "scheduled", "scheduled"]
    true_counters(shelf)


def test_an_old_attempt_is_never_moved_with_the_others(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET)
    shelf.launch(HERE, a_rollout(), release)
    shelf.move(HERE, 1, "dev-00", State.FAILED, "broken")
    shelf.rollouts.retry(HERE, ONE, {State.FAILED}, later(5))
    assert shelf.rollouts.move_all(HERE, ONE, {State.FAILED}, State.SKIPPED, "x", later(9)) == 0
    assert shelf.rollouts.retry(HERE, ONE, {State.FAILED}, later(9)) == {}
    old = shelf.deployments.of_device(HERE, DeviceId("dev-00"), 10)[1][0]
    assert (old.state, old.reason) == (State.FAILED, "broken")


def test_rollouts_that_are_due_are_named(shelf: Shelf) -> None:
    shelf.tenant(HERE)
    shelf.tenant(THERE)
    shelf.tenant(TenantId("halted"), halted=True)
    number = 0
    wanted = set()
    seeds = Random(5)
    for state in RolloutState:
        for tenant in (HERE, THERE, TenantId("halted")):
            number += 1
            rollout = replace(a_rollout(number, seed=seeds.getrandbits(62)), state=state)
            shelf.rollouts.add(tenant, rollout)
            if state is RolloutState.STOPPING or (state is RolloutState.RUNNING and tenant in {HERE, THERE}):
                wanted.add((tenant, number))
    for start, due in ((later(-1), True), (NOW, True), (later(1), False), (None, False)):
        number += 1
        rollout = replace(a_rollout(number, seed=seeds.getrandbits(62)), state=RolloutState.SCHEDULED, start_at=start)
        shelf.rollouts.add(HERE, rollout)
        if due:
            wanted.add((HERE, number))
    assert sorted(shelf.rollouts.every_due(NOW, 100)) == sorted(wanted)
    assert len(shelf.rollouts.every_due(NOW, 3)) == 3
    seen = {key for n in range(200) for key in shelf.rollouts.every_due(later(n), 1)}
    assert wanted <= seen, "one of them waits for ever"


def test_a_tenant_moves_its_own_rollouts_only(shelf: Shelf) -> None:
    for tenant in (HERE, THERE):
        release = shelf.stock(tenant, FLEET)
        shelf.launch(tenant, a_rollout(policy=STAGED), release)
        shelf.move(tenant, 1, "dev-00", State.FAILED, "broken")
    before = (shelf.rollouts.plan(THERE, ONE), true_counters(shelf, THERE), states(shelf, THERE))
    mine = shelf.rollouts.get(HERE, ONE)
    assert mine is not None
    first, *others = mine.waves
    shelf.rollouts.save(HERE, replace(mine, state=RolloutState.STOPPED, waves=(replace(first, state=WaveState.OPEN),)))
    shelf.rollouts.retry(HERE, ONE, {State.FAILED}, later(1))
    shelf.rollouts.move_all(HERE, ONE, {State.SCHEDULED}, State.SKIPPED, "x", later(2))
    assert (shelf.rollouts.plan(THERE, ONE), true_counters(shelf, THERE), states(shelf, THERE)) == before
    assert others
    nobody = TenantId("nobody")
    assert shelf.rollouts.get(nobody, ONE) is None
    assert shelf.rollouts.plan(nobody, ONE) is None
    assert shelf.rollouts.page(nobody, (), None, 10) == []
    assert shelf.rollouts.next_id(nobody) == 1
    assert shelf.rollouts.evidence(nobody, ONE) == shelf.rollouts.recounted(nobody, ONE) == Evidence({})
    assert shelf.rollouts.candidates(nobody, parse("id==*", NOW), release)[0] == 0
    assert shelf.rollouts.enlist(nobody, a_rollout(), parse("id==*,tag==*,hardware==rpi4", NOW), release) == 0
    assert shelf.rollouts.move_all(nobody, ONE, tuple(State), State.SKIPPED, "x", NOW) == 0
    assert shelf.rollouts.retry(nobody, ONE, tuple(State), NOW) == {}
    with pytest.raises(NotFoundError):
        shelf.rollouts.save(nobody, mine)


@pytest.mark.parametrize(
    "policy", [Policy(), STAGED, Policy(waves=(Share(100, percent=True), Share(3, percent=False)))]
)
def test_counters_hold_from_the_start(shelf: Shelf, policy: Policy) -> None:
    release = shelf.stock(HERE, FLEET)
    rollout = shelf.launch(HERE, a_rollout(policy=policy), release)
    assert {w.index: w.size for w in rollout.waves} == {w: t.members for w, t in true_counters(shelf).items()}


def test_who_was_under_way_in_dark_hours_is_told_apart(shelf: Shelf) -> None:
    shelf.launch(HERE, a_rollout(), shelf.stock(HERE, FLEET[:8]))
    hour = int(NOW.timestamp()) // 3600
    ends = {0: None, 1: 1.5, 2: 5, 3: None, 4: 6, 5: 30, 6: 31}
    at = {0: 1, 1: 1, 2: 1, 3: 4.99, 4: 5, 5: 10, 6: 40}
    for n, end in ends.items():
        before = shelf.move(HERE, 1, FLEET[n].id, State.OFFERED)
        state = State.OFFERED if end is None else State.FAILED
        ended = None if end is None else later(3600 * end)
        after = replace(before, state=state, offered_at=later(3600 * at[n]), ended_at=ended)
        shelf.deployments.save(HERE, [(before, after)])

    def told(*dark: tuple[int, int]) -> dict[tuple[int, bool, str], int]:
        spans = [Span(hour + begin, hour + end) for begin, end in dark]
        found = shelf.rollouts.told(HERE, ONE, spans)
        return {(c.hour - hour, c.under_way, c.state.value): n for c, n in found.items()}

    early = {(1, True, "offered"): 1, (1, False, "failed"): 1, (1, True, "failed"): 1, (4, True, "offered"): 1}
    assert told((3, 5)) == early
    assert told((3, 5), (29, 32)) == early | {(5, False, "failed"): 1, (10, True, "failed"): 1}
    assert told() == {}
    assert shelf.rollouts.told(THERE, ONE, [Span(0, hour + 99)]) == {}


def test_places_of_a_minute_are_taken_as_far_as_there_are_any(shelf: Shelf) -> None:
    for tenant in (HERE, THERE):
        shelf.tenant(tenant)
    one, two = RolloutId(1), RolloutId(2)
    assert [shelf.rollouts.reserve(HERE, one, 7, wanted, 10) for wanted in (4, 4, 4, 1)] == [4, 4, 2, 0]
    assert shelf.rollouts.reserve(HERE, one, 8, 4, 10) == 4
    assert shelf.rollouts.reserve(HERE, two, 7, 4, 10) == 4
    assert shelf.rollouts.reserve(THERE, one, 7, 4, 10) == 4
    shelf.rollouts.prune_slots(8)
    assert shelf.rollouts.reserve(HERE, one, 7, 99, 10) == 10, "it is forgotten"
    assert shelf.rollouts.reserve(HERE, one, 8, 99, 10) == 6, "it is not"
    assert shelf.rollouts.reserve(HERE, one, 8, 1, 3) == 0, "fewer places than were taken"


def test_who_was_no_member_yet_joins_behind_all_others(shelf: Shelf) -> None:
    release = shelf.stock(HERE, FLEET[:3])
    shelf.stock(THERE, FLEET[:4])
    rollout = shelf.launch(HERE, replace(a_rollout(policy=STAGED), created_by="user:ann"), release)
    query = parse(rollout.target, NOW)
    assert shelf.rollouts.get(HERE, ONE) == rollout
    assert not shelf.rollouts.may_join(HERE, rollout, query, release)
    assert shelf.rollouts.join(HERE, rollout, query, release, later(1)) == []
    before = ranks(shelf)
    shelf.move(HERE, 1, FLEET[0].id, State.FAILED)
    shelf.rollouts.retry(HERE, ONE, {State.FAILED}, later(2))
    assert not shelf.rollouts.may_join(HERE, rollout, query, release), "who has another attempt is a member"
    late = [a_device("aa"), a_device("zz"), a_device("runs", runs={"app": "1.1.0"}), replace(a_device("p"), pins=ALL)]
    shelf.devices.add(HERE, [(device, b"t" * 32) for device in late])
    assert shelf.rollouts.may_join(HERE, rollout, query, release)
    assert shelf.rollouts.join(HERE, rollout, query, release, later(3)) == ["aa", "zz"]
    assert ranks(shelf) == before | {"aa": 3, "zz": 4}
    rows = {d.device: d for d in shelf.deployments.page(HERE, ONE, (), None, 100)}
    assert {rows[DeviceId(name)].wave for name in ("aa", "zz")} == {rollout.waves[-1].index}
    assert shelf.rollouts.evidence(HERE, ONE) == shelf.rollouts.recounted(HERE, ONE)
    assert ranks(shelf, THERE) == {}


def test_what_is_taken_of_limits_is_counted_as_a_device_finds_it(shelf: Shelf) -> None:
    site = Place("site", 2)
    places = {"a": "berlin", "b": "berlin", "c": "berlin", "d": "berlin", "e": "oslo"}
    devices = [a_device(name, attributes={"site": place}) for name, place in places.items()] + [a_device("f")]
    for tenant in (HERE, THERE):
        release = shelf.stock(tenant, devices)
        shelf.launch(tenant, a_rollout(policy=Policy(limits=Limits(9, 9, (site,)))), release)
        shelf.launch(tenant, a_rollout(2), release)
    rollout = shelf.rollouts.get(HERE, ONE)
    assert rollout is not None

    def taken(name: str, minute: int = 7) -> Taken:
        return shelf.rollouts.taken(HERE, rollout, DeviceId(name), minute)

    assert taken("a") == Taken(0, 0, 6, ((site, "berlin", 0),))
    for name, state in (("a", State.OFFERED), ("b", State.POSTPONED), ("e", State.CANCELLING), ("f", State.OFFERED)):
        shelf.move(HERE, 1, name, state)
    shelf.move(HERE, 2, "c", State.INSTALLING)
    assert shelf.rollouts.reserve(HERE, ONE, 7, 2, 9) == 2
    assert taken("d") == Taken(3, 2, 2, ((site, "berlin", 1),))
    assert taken("e", 8) == Taken(3, 0, 2, ((site, "oslo", 1),))
    assert taken("f").places == (), "it is in no place"
    for name in ("b", "d"):
        shelf.move(HERE, 1, name, State.DOWNLOADING)
    assert taken("c").places == ((site, "berlin", 2),), "more than the limit is not counted"


def test_a_tag_limits_those_that_have_it(shelf: Shelf) -> None:
    lab = Place("", 2, "lab")
    devices = [a_device(name, tags=("lab",) if name in "abcd" else ("beta",)) for name in "abcdef"]
    for tenant in (HERE, THERE):
        release = shelf.stock(tenant, devices)
        shelf.launch(tenant, a_rollout(policy=Policy(limits=Limits(places=(lab,)))), release)
        shelf.launch(tenant, a_rollout(2), release)
    rollout = shelf.rollouts.get(HERE, ONE)
    assert rollout is not None

    def places(name: str) -> tuple[tuple[Place, str, int], ...]:
        return shelf.rollouts.taken(HERE, rollout, DeviceId(name), 7).places

    assert places("a") == ((lab, "", 0),)
    for number, name, state in ((1, "a", State.OFFERED), (1, "b", State.POSTPONED), (1, "e", State.OFFERED)):
        shelf.move(HERE, number, name, state)
    shelf.move(HERE, 2, "c", State.INSTALLING)
    assert places("d") == ((lab, "", 1),), (
        "who postponed, who has no such tag and who is in another rollout do not count"
    )
    assert places("f") == (), "it has no such tag"
    for name in ("b", "d"):
        shelf.move(HERE, 1, name, State.DOWNLOADING)
    assert places("c") == ((lab, "", 2),), "more than the limit is not counted"
