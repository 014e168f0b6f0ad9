"""Segments of the port `Rollouts`: who is in which, in which order all come, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select

from otaru.adapters.sql.tables import rollout_segment
from otaru.domain.deployment import State
from otaru.domain.device import Device, Hardware, lot
from otaru.domain.health import HealthEvent, Kind
from otaru.domain.rollout import MAX_SEGMENTS, Policy, Share, Stratum, draw, layout
from otaru.domain.rollout.segment import canaries, place
from otaru.domain.targeting import parse
from tests.support.fleet import HERE, NOW, ONE, THERE, Shelf, a_device, a_release, a_rollout, open_shelf

HARDWARES = (Hardware("rpi4", "1.1"), Hardware("rpi4", "1.2"), Hardware("rpi4"))
SPLIT = ("hardware", "version", "attr.region")
POLICY = Policy(waves=(Share(5, percent=False), Share(40, percent=True)), split=SPLIT)
EVERYBODY = parse("id==*", NOW)


def fleet() -> list[Device]:
    """120 devices in ten or so strata of uneven sizes, one in seven critical."""
    return [
        a_device(
            f"dev-{n:03}",
            hardware=HARDWARES[0 if n % 10 < 7 else 1 if n % 10 < 9 else 2],
            tags=("critical", "lab") if n % 7 == 0 else ("lab",),
            attributes={"region": "eu" if n % 2 else "us", "other": str(n)} if n % 5 else {},
            runs={"app": "1.0.0" if n % 3 else "0.9", "os": "1"} if n % 11 else {},
        )
        for n in range(120)
    ]


def key_of(device: Device) -> tuple[str, str, str]:
    runs = next((i.version for i in device.installed if i.component == "app"), "")
    return str(device.hardware), str(runs), device.attributes.get("region", "")


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


def expected(devices: list[Device], seed: int) -> dict[str, tuple[int, int]]:
    """Segment and rank of each, by the words of `domain.rollout.segment`, one device after the other."""
    alike: dict[tuple[str, str, str], list[Device]] = {}
    for device in devices:
        alike.setdefault(key_of(device), []).append(device)
    biggest = sorted(alike, key=lambda key: (-len(alike[key]), key))
    drawn, order = draw(seed), []
    for key, members in alike.items():
        segment = biggest.index(key)
        lined = sorted(members, key=lambda d: ("critical" in d.tags, drawn.key(lot(HERE, d.id)), d.id))
        for index, device in enumerate(lined):
            turn = 2 if "critical" in device.tags else 0 if index < canaries(len(lined)) else 1
            order.append((turn, place(index, len(lined)), segment, device.id))
    return {device: (segment, rank) for rank, (_, _, segment, device) in enumerate(sorted(order))}


@pytest.mark.parametrize("seed", [7, 2**61 + 11])
def test_members_are_ranked_across_segments_as_the_domain_says(shelf: Shelf, seed: int) -> None:
    devices = fleet()
    release = shelf.stock(HERE, devices, a_release(hardware=HARDWARES))
    rollout = shelf.launch(HERE, a_rollout(policy=POLICY, seed=seed), release)
    found = shelf.deployments.page(HERE, ONE, (), None, 1000)
    assert {d.device: (d.segment, d.rank) for d in found} == expected(devices, seed)
    assert all(rollout.waves[d.wave].start <= d.rank < rollout.waves[d.wave].height for d in found)
    assert [s.size for s in rollout.segments] == [sum(d.segment == s.index for d in found) for s in rollout.segments]
    assert shelf.rollouts.get(HERE, ONE) == rollout
    evidence = shelf.rollouts.evidence(HERE, ONE)
    assert evidence == shelf.rollouts.recounted(HERE, ONE)
    assert [evidence.segment(s.index).members for s in rollout.segments] == [s.size for s in rollout.segments]
    assert [evidence.wave(w.index).members for w in rollout.waves] == [w.size for w in rollout.waves]


def test_strata_are_the_candidates_alone(shelf: Shelf) -> None:
    devices = fleet()
    release = shelf.stock(HERE, [*devices, a_device("runs-it", runs={"app": "1.1.0"})], a_release(hardware=HARDWARES))
    found = shelf.rollouts.strata(HERE, EVERYBODY, release, SPLIT)
    assert sum(s.size for s in found) == len(devices)
    assert list(found) == sorted(found, key=lambda s: (-s.size, s.key))
    assert sum(s.critical for s in found) == sum("critical" in d.tags for d in devices)
    assert shelf.rollouts.strata(HERE, parse("tag==nobody", NOW), release, SPLIT) == ()
    assert shelf.rollouts.strata(HERE, parse("tag==nobody", NOW), release, ()) == ()
    assert shelf.rollouts.strata(THERE, EVERYBODY, release, SPLIT) == ()
    names = [s.name for s in shelf.launch(HERE, a_rollout(policy=POLICY), release).segments]
    assert names[0] == "rpi4:1.1, version 1.0.0, region us"
    assert {"rpi4, version 0.9, region eu", "rpi4:1.1, version 0.9, region unknown"} <= set(names)


def test_the_smallest_strata_become_the_others(shelf: Shelf) -> None:
    devices = fleet()
    release = shelf.stock(HERE, devices, a_release(hardware=HARDWARES))
    policy = replace(POLICY, split=("attr.other",))
    found = shelf.rollouts.strata(HERE, EVERYBODY, release, policy.split)
    assert len(found) == MAX_SEGMENTS
    assert found[0] == Stratum(("",), 24, sum("critical" in d.tags for d in devices[::5]))
    assert (found[-1].key, sum(s.size for s in found), sum(s.critical for s in found)) == (None, 120, 18)
    rollout = shelf.launch(HERE, a_rollout(policy=policy), release)
    assert (rollout.segments[-1].name, rollout.size) == ("others", 120)
    evidence = shelf.rollouts.evidence(HERE, ONE)
    assert [evidence.segment(s.index).members for s in rollout.segments] == [s.size for s in rollout.segments]


def test_critical_devices_come_last_where_nothing_splits(shelf: Shelf) -> None:
    devices = fleet()
    release = shelf.stock(HERE, devices, a_release(hardware=HARDWARES))
    rollout = shelf.launch(HERE, a_rollout(policy=replace(POLICY, split=())), release)
    found = {d.device: d for d in shelf.deployments.page(HERE, ONE, (), None, 1000)}
    drawn = draw(7)
    by_draw = sorted(devices, key=lambda d: ("critical" in d.tags, drawn.key(lot(HERE, d.id)), d.id))
    assert {d.id: rank for rank, d in enumerate(by_draw)} == {name: d.rank for name, d in found.items()}
    assert [(s.index, s.name, s.size) for s in rollout.segments] == [(0, "all", 120)]
    assert rollout.waves == layout(rollout.policy, 120)


def test_a_segment_is_held_and_released_in_the_store(shelf: Shelf) -> None:
    release = shelf.stock(HERE, fleet(), a_release(hardware=HARDWARES))
    rollout = shelf.launch(HERE, a_rollout(policy=POLICY), release)
    first, second, *rest = rollout.segments
    held = replace(rollout, segments=(first, replace(second, held=True, reason="3 of 4 failed"), *rest))
    shelf.rollouts.save(HERE, held)
    assert shelf.rollouts.get(HERE, ONE) == held
    plan = shelf.rollouts.plan(HERE, ONE)
    assert plan is not None
    assert plan.watermarks == (0, -1, *(0 for _ in rest))
    rows = shelf.session.connection.execute(select(rollout_segment.c.held).order_by(rollout_segment.c.segment))
    assert [row.held for row in rows] == [s.held for s in held.segments]
    shelf.move(HERE, 1, "dev-001", State.FAILED)
    shelf.rollouts.retry(HERE, ONE, {State.FAILED}, NOW)
    assert shelf.rollouts.evidence(HERE, ONE) == shelf.rollouts.recounted(HERE, ONE)


def test_canaries_stand_for_how_devices_live(shelf: Shelf) -> None:
    """One in ten freezes: one of the canaries does, whatever the draw; who is planned to come first does come first."""
    devices = [a_device(f"dev-{n:03}") for n in range(100)]
    release = shelf.stock(HERE, devices)
    heat = [
        HealthEvent(d.id, f"t-{d.id}", Kind.SAMPLE, NOW, name="heat", value=-20.0 if n % 10 == 3 else 20 + n / 100)
        for n, d in enumerate(devices)
    ]
    assert all(shelf.health.add(HERE, heat))
    frozen = {d.id for n, d in enumerate(devices) if n % 10 == 3}
    for number, seed in enumerate((7, 8, 9, 10), start=1):
        drafted = a_rollout(number, policy=replace(POLICY, split=()), seed=seed)
        strata = shelf.rollouts.strata(HERE, EVERYBODY, release, ())
        drawn_first = sorted(devices, key=lambda d, s=seed: (draw(s).key(lot(HERE, d.id)), d.id))  # type: ignore[misc]
        front = {d.id for d in drawn_first[:12]}
        planned = shelf.rollouts.foresee(HERE, drafted, EVERYBODY, release, strata).first
        rollout = shelf.launch(HERE, drafted, release)
        found = shelf.deployments.page(HERE, rollout.id, (), None, 1000)
        ranked = [d.device for d in sorted(found, key=lambda d: d.rank)]
        assert tuple(ranked[: len(planned)]) == planned
        assert sorted(d.rank for d in found) == list(range(100))
        assert set(ranked[:3]) <= front, "they are of those that the lot brought forward"
        assert ranked[0] == drawn_first[0].id
        assert bool(set(ranked[:3]) & frozen) == bool(front & frozen)
        assert all(rollout.waves[d.wave].start <= d.rank < rollout.waves[d.wave].height for d in found)
        assert shelf.rollouts.evidence(HERE, rollout.id) == shelf.rollouts.recounted(HERE, rollout.id)
