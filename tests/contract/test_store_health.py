"""The port `Health`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from otaru.adapters.sql.bundles import SqlBundles
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros
from otaru.domain.bundle import Aboard, Exported
from otaru.domain.deployment import Event, Report, State
from otaru.domain.health import MAX_SAMPLED, Arm, HealthEvent, Heard, Hush, Kind, Measured, Placement, Sign, Stratum
from otaru.domain.ids import ActionId, DeviceId, RolloutId, TenantId
from otaru.domain.rollout import Policy, Rollout, RolloutState, SequentialRule
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, a_rollout, later, open_shelf, shelf_on

ONE, NONE = RolloutId(1), RolloutId(0)
HOUR = int(NOW.timestamp()) // 3600


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


@pytest.fixture
def fleet(shelf: Shelf) -> Shelf:
    """Four members of a running rollout, and one device that is none of them; the same names in another tenant."""
    for tenant in (HERE, THERE):
        release = shelf.stock(tenant, [a_device(f"dev-{n}") for n in range(4)])
        shelf.launch(tenant, a_rollout(), release)
        assert shelf.devices.add(tenant, [(a_device("other"), b"o" * 32)])
    return shelf


def told(device: str, id_: str, kind: Kind = Kind.CRASH, hours: float = 0) -> HealthEvent:
    return HealthEvent(DeviceId(device), id_, kind, later(3600 * hours), text="it's 'so' \\ ü")


def sample(device: str, name: str, value: float, seconds: float = 0) -> HealthEvent:
    return HealthEvent(DeviceId(device), f"{name}-{seconds}", Kind.SAMPLE, later(seconds), name=name, value=value)


def cell(arm: Arm, hour: int = 0, age: int = 0, kind: Kind = Kind.CRASH) -> Stratum:
    return Stratum(0, arm, HOUR + hour, age, kind)


def test_events_come_back_newest_first_a_page_at_a_time(shelf: Shelf) -> None:
    first = replace(told("dev-1", "a"), device_time="2026-11-21T10:00:00+01:00")
    events = [first, told("dev-1", "c", Kind.POWER, 1), told("dev-1", "b", Kind.POWER, 1), told("dev-2", "a")]
    assert shelf.health.add(HERE, events) == [True] * 4
    found = shelf.health.of_device(HERE, DeviceId("dev-1"), None, 10)
    assert found == [*events[1:3], first]
    assert shelf.health.of_device(HERE, DeviceId("dev-1"), None, 1) == found[:1]
    assert shelf.health.of_device(HERE, DeviceId("dev-1"), (found[0].received_at, found[0].id), 10) == found[1:]
    assert shelf.health.of_device(HERE, DeviceId("dev-1"), (first.received_at, first.id), 10) == []
    assert shelf.health.of_device(THERE, DeviceId("dev-1"), None, 10) == []


def test_the_same_event_again_changes_nothing(fleet: Shelf) -> None:
    once = told("dev-1", "a")
    assert fleet.health.add(HERE, [once, replace(once, kind=Kind.POWER), told("dev-2", "a")]) == [True, False, True]
    before = fleet.health.risk(HERE, ONE)
    assert fleet.health.add(HERE, [replace(once, received_at=later(9999)), once]) == [False, False]
    assert fleet.health.risk(HERE, ONE) == before
    assert fleet.health.of_device(HERE, DeviceId("dev-1"), None, 10) == [once]
    assert fleet.health.add(HERE, []) == []
    assert fleet.health.known(HERE, [(once.device, "a"), (once.device, "b")]) == {(once.device, "a")}
    assert fleet.health.known(THERE, [(once.device, "a")]) == set()
    assert fleet.health.told_since(HERE, [once.device], NOW) == {}
    assert fleet.health.told_since(HERE, [once.device, DeviceId("dev-3")], later(-1)) == {once.device: 1}


def test_events_count_where_the_device_stands(fleet: Shelf) -> None:
    fleet.move(HERE, 1, "dev-0", State.SUCCEEDED)
    fleet.move(HERE, 1, "dev-1", State.REBOOTING)
    fleet.move(HERE, 1, "dev-2", State.FAILED)
    fleet.health.add(HERE, [told(name, "a", hours=2) for name in ("dev-0", "dev-1", "dev-2", "dev-3", "other")])
    risk = fleet.health.risk(HERE, ONE)
    assert risk.heard == {cell(Arm.UPDATED, 2, age=1): Heard(1, 1), cell(Arm.CONTROL, 2): Heard(1, 1)}
    assert fleet.health.risk(HERE, NONE).heard == {cell(Arm.CONTROL, 2): Heard(1, 1)}
    assert (risk.at_risk(0, Arm.UPDATED, HOUR + 2), risk.at_risk(0, Arm.CONTROL, HOUR + 2)) == (1, 1)
    assert (risk.at_risk(0, Arm.CONTROL, HOUR - 1), risk.at_risk(1, Arm.CONTROL, HOUR)) == (0, 0)
    assert [risk.aged(0, HOUR + 2, age) for age in range(3)] == [0, 1, 0]
    theirs = fleet.health.risk(THERE, ONE)
    assert theirs.heard == {}
    assert theirs.at_risk(0, Arm.CONTROL, HOUR) == 4


def test_a_device_counts_once_an_hour_and_its_events_each_time(fleet: Shelf) -> None:
    fleet.health.add(HERE, [told("dev-1", "a"), told("dev-1", "b"), told("dev-1", "c", Kind.POWER)])
    other = shelf_on(Session(fleet.session.connection, 7))
    other.health.add(HERE, [told("dev-1", "d"), told("dev-1", "e", hours=1), told("dev-2", "a")])
    assert fleet.health.risk(HERE, ONE).heard == {
        cell(Arm.CONTROL): Heard(4, 2),
        cell(Arm.CONTROL, kind=Kind.POWER): Heard(1, 1),
        cell(Arm.CONTROL, 1): Heard(1, 1),
    }


def test_the_reboot_that_an_update_causes_counts_nowhere(fleet: Shelf) -> None:
    fleet.health.add(HERE, [told("dev-0", "before", Kind.REBOOT, -2)])
    (before,) = fleet.deployments.current(HERE, [(ONE, DeviceId("dev-0"))])
    assert before is not None
    action = ActionId(fleet.deployments.allot(HERE, [before.device])[0])
    after = replace(before, state=State.SUCCEEDED, action=action, offered_at=later(-1800), changed_at=NOW)
    fleet.deployments.save(HERE, [(before, after)])
    fleet.health.add(HERE, [told("dev-0", "own", Kind.REBOOT, 0.1)])
    assert fleet.health.risk(HERE, ONE).heard == {cell(Arm.CONTROL, -2, kind=Kind.REBOOT): Heard(1, 1)}
    fleet.health.add(HERE, [told("dev-0", "x", Kind.REBOOT, 0.2), told("dev-0", "y", Kind.REBOOT, 0.3)])
    assert fleet.health.risk(HERE, ONE).heard[cell(Arm.UPDATED, kind=Kind.REBOOT)] == Heard(2, 1)
    assert fleet.health.risk(HERE, NONE).heard == {}


def test_two_reboots_at_once_are_the_updates_own_and_another(fleet: Shelf) -> None:
    fleet.move(HERE, 1, "dev-0", State.SUCCEEDED)
    fleet.health.add(HERE, [told("dev-0", "x", Kind.REBOOT, 1), told("dev-0", "y", Kind.REBOOT, 1)])
    assert fleet.health.risk(HERE, ONE).heard == {cell(Arm.UPDATED, 1, age=1, kind=Kind.REBOOT): Heard(1, 1)}


def test_the_age_counts_from_the_trial_on(fleet: Shelf) -> None:
    trial = fleet.move(HERE, 1, "dev-0", State.ON_TRIAL)
    assert fleet.reports.add(
        HERE, [Report(trial.device, trial.action, trial.changed_at, Event.TRY, "proceeding", "none", (), b"t" * 32)]
    )
    done = replace(trial, state=State.SUCCEEDED, changed_at=later(26 * 3600))
    fleet.deployments.save(HERE, [(trial, done)])
    fleet.health.add(HERE, [told("dev-0", "a", hours=27)])
    risk = fleet.health.risk(HERE, ONE)
    assert risk.heard == {cell(Arm.UPDATED, 27, age=3): Heard(1, 1)}
    assert risk.aged(0, HOUR + 27, 3) == 1


def test_rollouts_that_are_over_hear_nothing_more(fleet: Shelf) -> None:
    rollout = fleet.rollouts.get(HERE, ONE)
    assert rollout is not None
    fleet.rollouts.save(HERE, replace(rollout, state=RolloutState.FINISHED))
    fleet.health.add(HERE, [told("dev-1", "a")])
    assert fleet.health.risk(HERE, ONE).heard == {}
    assert fleet.health.risk(HERE, NONE).heard == {cell(Arm.CONTROL): Heard(1, 1)}


def test_the_last_telemetry_is_written_where_it_is_news(shelf: Shelf) -> None:
    device = DeviceId("dev-1")
    shelf.health.add(HERE, [sample("dev-1", "battery", 81.2, 5), sample("dev-1", "battery", 80, 1)])
    shelf.health.add(HERE, [sample("dev-1", "signal", -70.5, 2), sample("dev-2", "battery", 3, 2)])
    known = [Measured("battery", 81.2, later(5)), Measured("signal", -70.5, later(2))]
    assert shelf.health.telemetry(HERE, device) == known
    shelf.health.add(HERE, [sample("dev-1", "battery", 81.21, 60), sample("dev-1", "signal", -71, 60)])
    assert shelf.health.telemetry(HERE, device) == [known[0], Measured("signal", -71, later(60))]
    assert shelf.health.telemetry(THERE, device) == []
    assert shelf.health.risk(HERE, NONE).heard == {}


def test_a_device_has_so_many_names_of_telemetry(shelf: Shelf) -> None:
    shelf.health.add(HERE, [sample("dev-1", f"n{number:03}", 1) for number in range(MAX_SAMPLED + 5)])
    assert len(shelf.health.telemetry(HERE, DeviceId("dev-1"))) == MAX_SAMPLED
    shelf.health.add(HERE, [sample("dev-1", "n000", 2, 1), sample("dev-1", "new", 2, 1)])
    found = shelf.health.telemetry(HERE, DeviceId("dev-1"))
    assert (len(found), found[0].value) == (MAX_SAMPLED, 2)


def test_old_events_are_forgotten_a_few_at_a_time(fleet: Shelf) -> None:
    fleet.health.add(HERE, [told("other", str(n), hours=n) for n in range(5)])
    fleet.health.add(THERE, [told("other", "a")])
    counted = fleet.health.risk(HERE, NONE)
    assert [fleet.health.prune(HERE, NOW + timedelta(hours=3), 2) for _ in range(3)] == [2, 1, 0]
    assert [event.id for event in fleet.health.of_device(HERE, DeviceId("other"), None, 9)] == ["4", "3"]
    assert fleet.health.risk(HERE, NONE) == counted
    fleet.health.prune_counts(HERE, NOW + timedelta(hours=3))
    assert len(fleet.health.risk(HERE, NONE).heard) == 2
    assert len(fleet.health.risk(THERE, NONE).heard) == 1


@pytest.fixture
def compared(shelf: Shelf) -> Shelf:
    """Six members of a rollout that is judged by telemetry, each with a past; it started at NOW."""
    policy = Policy(sequential=SequentialRule())
    for tenant in (HERE, THERE):
        release = shelf.stock(tenant, [a_device(f"dev-{n}") for n in range(6)])
        shelf.launch(tenant, replace(a_rollout(policy=policy), started_at=NOW), release)
        usual = [sample(f"dev-{n}", "battery", 80 + n + m, -600 * m) for n in range(6) for m in (1, 2, 3)]
        assert all(shelf.health.add(tenant, usual))
    return shelf


def heard(shelf: Shelf, hours: float, values: dict[str, float], name: str = "battery", shard: int = 0) -> None:
    health = shelf_on(Session(shelf.session.connection, shard)).health
    health.add(HERE, [sample(device, name, value, 3600 * hours) for device, value in values.items()])


def placements(shelf: Shelf) -> dict[tuple[int, int], int]:
    return {(p.look, p.score): n for p, n in shelf.health.risk(HERE, ONE).placed.items() if p.name == "battery"}


def test_an_updated_device_is_placed_among_control_by_its_change(compared: Shelf) -> None:
    compared.move(HERE, 1, "dev-5", State.SUCCEEDED)
    heard(compared, 1.5, {"dev-0": 80, "dev-1": 81})
    assert placements(compared) == {}, "control alone"
    heard(compared, 1.6, {"dev-5": 85}, shard=3)  # it lost 2, as they did
    assert placements(compared) == {(1, 0): 1}
    heard(compared, 1.7, {"dev-5": 1, "dev-2": 80, "dev-3": 80})
    assert placements(compared) == {(1, 0): 1}, "once at each look"
    heard(compared, 7, {"dev-5": 10, "dev-0": 80, "dev-1": 80, "dev-2": 80, "dev-3": 80, "dev-4": 80})
    assert placements(compared) == {(1, 0): 1, (2, 1): 1}
    heard(compared, 30, {"dev-5": 90, "dev-4": 20})
    assert placements(compared) == {(1, 0): 1, (2, 1): 1, (3, -1): 1}
    assert compared.health.risk(HERE, ONE).placed[Placement(0, "battery", 3, -1)] == 1
    assert compared.health.risk(THERE, ONE).placed == {}


def test_each_control_device_is_used_once_for_a_look(compared: Shelf) -> None:
    compared.move(HERE, 1, "dev-4", State.SUCCEEDED)
    compared.move(HERE, 1, "dev-5", State.ON_TRIAL)
    heard(compared, 1.5, {"dev-0": 80, "dev-4": 1})
    assert placements(compared) == {(1, 1): 1}
    heard(compared, 1.6, {"dev-0": 80, "dev-5": 1})
    assert placements(compared) == {(1, 1): 1}, "its only twin has been used"
    heard(compared, 1.7, {"dev-1": 80, "dev-5": 1})
    assert placements(compared) == {(1, 1): 2}


def test_who_has_no_past_or_is_too_young_or_unjudged_is_not_placed(compared: Shelf) -> None:
    compared.move(HERE, 1, "dev-5", State.SUCCEEDED)
    compared.move(HERE, 1, "dev-4", State.REBOOTING)
    heard(compared, 0.2, {"dev-0": 80, "dev-5": 1})
    heard(compared, 2, {"dev-1": 80, "dev-4": 1})
    heard(compared, 2, {"dev-1": 80, "dev-5": 1}, name="signal")
    heard(compared, 2, {"dev-1": 80, "dev-5": 1}, name="rainfall")
    assert compared.health.risk(HERE, ONE).placed == {}


def test_who_compared_is_forgotten_long_after_the_end_and_the_scores_stay(compared: Shelf) -> None:
    compared.move(HERE, 1, "dev-5", State.SUCCEEDED)
    heard(compared, 1.5, {"dev-0": 80, "dev-5": 1})
    rollout = compared.rollouts.get(HERE, ONE)
    assert rollout is not None
    count = "SELECT count(*) FROM telemetry_witness WHERE tenant = 'here'"
    compared.health.prune_counts(HERE, later(9999))
    assert compared.session.connection.exec_driver_sql(count).scalar_one() == 2
    ended = replace(rollout, state=RolloutState.FINISHED, ended_at=later(7200), edition=rollout.edition + 1)
    compared.rollouts.save(HERE, ended)
    compared.health.prune_counts(HERE, later(9999))
    assert compared.session.connection.exec_driver_sql(count).scalar_one() == 0
    assert placements(compared) == {(1, 1): 1}


def came(shelf: Shelf, hours: dict[str, int]) -> None:
    shelf.devices.contacts([(HERE, DeviceId(name), later(3600 * at), "") for name, at in hours.items()])


def test_who_falls_silent_is_counted_once_and_in_its_arm(fleet: Shelf) -> None:
    rollout = fleet.rollouts.get(HERE, ONE)
    assert rollout is not None
    fleet.move(HERE, 1, "dev-0", State.SUCCEEDED)
    fleet.move(HERE, 1, "dev-1", State.REBOOTING)
    came(fleet, {"dev-0": 1, "dev-1": 1, "dev-2": 1, "dev-3": 9, "other": 1})
    silent = Sign.SILENT

    def risk(tenant: TenantId, rollout: Rollout, hour: int, patience_h: int) -> dict[Hush, Heard]:
        found = fleet.health.hushed(tenant, rollout, hour, patience_h)
        return {h: n for h, n in found.items() if h.sign is not Sign.CAME}

    assert {n.events for n in risk(HERE, rollout, HOUR + 3, 3).values()} == {0}
    at = HOUR + 4
    assert risk(HERE, rollout, at, 3) == {
        Hush(at, 0, silent, Arm.UPDATED, fresh=True): Heard(2, 2),
        Hush(at, 0, silent, Arm.CONTROL): Heard(1, 2),
        Hush(at, 0, Sign.OVERDUE, Arm.CONTROL): Heard(1, 1),
    }
    after = risk(HERE, rollout, at + 1, 3)
    assert after[Hush(at + 1, 0, silent, Arm.CONTROL)] == Heard(0, 1)
    assert Hush(at + 1, 0, silent, Arm.UPDATED, fresh=True) not in after, "who is silent is not at risk"
    theirs = fleet.rollouts.get(THERE, ONE)
    assert theirs is not None
    assert risk(THERE, theirs, at, 3) == {}


def test_whose_order_lies_on_a_stick_is_not_expected_until_it_ends(fleet: Shelf) -> None:
    rollout = fleet.rollouts.get(HERE, ONE)
    assert rollout is not None
    fleet.move(HERE, 1, "dev-1", State.OFFERED)
    came(fleet, {"dev-1": 1})
    told = fleet.deployments.open_of(HERE, DeviceId("dev-1"))
    assert told is not None

    def overdue(hour: int) -> bool:
        return Hush(HOUR + hour, 0, Sign.OVERDUE, Arm.CONTROL) in fleet.health.hushed(HERE, rollout, HOUR + hour, 3)

    assert [overdue(hour) for hour in (4, 9, 10)] == [True] * 3
    stick = Exported("r1-a", ONE, "user", later(0), later(3600 * 9), 1, "0" * 64)
    bundles = SqlBundles(fleet.session)
    bundles.add(THERE, stick, [Aboard(DeviceId("dev-1"), told.action, 1)])
    assert overdue(4)
    bundles.add(HERE, stick, [Aboard(DeviceId("dev-1"), told.action, 1)])
    assert [overdue(hour) for hour in (4, 8, 10)] == [False, False, True]


def test_who_was_told_of_nothing_bears_witness_of_the_network(fleet: Shelf) -> None:
    rollout = fleet.rollouts.get(HERE, ONE)
    assert rollout is not None

    def witnesses(tenant: TenantId, hour: int) -> Heard:
        return fleet.health.hushed(tenant, rollout, HOUR + hour, 3)[Hush(HOUR + hour, 0, Sign.CAME, Arm.CONTROL)]

    came(fleet, {"dev-0": 1, "dev-1": 2, "dev-2": 2, "other": 3})
    fleet.move(HERE, 1, "dev-0", State.OFFERED)
    assert [witnesses(HERE, hour) for hour in (2, 3, 4)] == [Heard(3, 3), Heard(1, 3), Heard(0, 3)]
    told = f"UPDATE deployment SET offered_at = {micros(rollout.created_at)} WHERE tenant = 'here' AND device = 'dev-1'"
    fleet.session.connection.exec_driver_sql(told)
    assert witnesses(HERE, 2) == Heard(2, 2), "who is told of something else since"
    assert witnesses(THERE, 2) == Heard(0, 0)


def test_who_comes_and_tells_nothing_any_more_is_mute(fleet: Shelf) -> None:
    rollout = fleet.rollouts.get(HERE, ONE)
    assert rollout is not None
    fleet.move(HERE, 1, "dev-0", State.SUCCEEDED)
    fleet.health.add(HERE, [sample("dev-0", "battery", 1, 3600), sample("dev-2", "battery", 1, 3600 * 20)])
    came(fleet, {"dev-0": 24, "dev-1": 25, "dev-2": 25})
    at = HOUR + 25
    found = {h: n for h, n in fleet.health.hushed(HERE, rollout, at, 3).items() if h.sign is Sign.MUTE}
    assert found == {
        Hush(at, 0, Sign.MUTE, Arm.UPDATED): Heard(1, 1),
        Hush(at, 0, Sign.MUTE, Arm.CONTROL): Heard(0, 1),
    }


def test_what_is_noted_of_an_hour_stays_and_marks_that_it_moved(fleet: Shelf) -> None:
    found = {Hush(HOUR, 0, Sign.SILENT, Arm.UPDATED, fresh=True): Heard(1, 2)}
    assert (fleet.health.hushed_until(HERE, ONE), fleet.health.mark(HERE, ONE)) == (0, 0)
    fleet.health.note_hushed(HERE, ONE, found)
    fleet.health.note_hushed(HERE, ONE, dict.fromkeys(found, Heard(9, 9)))
    assert fleet.health.risk(HERE, ONE).hushed == found
    assert (fleet.health.hushed_until(HERE, ONE), fleet.health.mark(HERE, ONE)) == (HOUR, 2)
    assert fleet.health.risk(THERE, ONE).hushed == {}
    assert fleet.health.mark(THERE, ONE) == 0
