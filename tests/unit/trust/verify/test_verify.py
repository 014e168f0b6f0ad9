"""What an honest server gets accepted, and what a device keeps of it. What it refuses is in test_attacks."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.domain.ids import DeviceId, Version
from otaru.trust.document import written
from otaru.trust.verify.clock import trusted_time
from otaru.trust.verify.refusals import BundleError, StateError
from otaru.trust.verify.state import State, Trusted, decode, encode, provisioned
from otaru.trust.verify.steps import Source
from otaru.trust.verify.update import committed
from tests.support.keys import APP, NOW
from tests.support.site import FILE, Site, Unit, a_target, ordered, paths


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def unit(site: Site) -> Unit:
    site.director.order("dev-1")
    return Unit(site)


def test_nothing_due_asks_the_director_alone(unit: Unit) -> None:
    assert unit.poll().updates == ()
    assert [(want.source, want.name) for want in unit.wants] == [
        (Source.DIRECTOR, name) for name in ("2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
    ]
    unit.poll()
    assert [want.name for want in unit.wants] == ["2.root.json", "timestamp.json"]


def test_what_is_due(site: Site, unit: Unit) -> None:
    site.deploy("dev-1", rolloutId=7, action=3)
    (update,) = unit.poll().updates
    assert (update.target.path, update.target.version, update.target.component) == (FILE, "1.1.0", "app")
    assert update.order.facts == {"rolloutId": 7, "action": 3}
    assert update.role == APP
    assert [(want.source, want.name) for want in unit.wants if want.source is Source.IMAGE] == [
        (Source.IMAGE, name)
        for name in ("2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", f"1.{APP}.json")
    ]
    assert list(paths(unit.poll())) == [FILE]
    assert [want.name for want in unit.wants] == ["2.root.json", "timestamp.json"] * 2


def test_state_is_read_as_it_is_written(site: Site, unit: Unit) -> None:
    site.deploy("dev-1")
    verdict = unit.poll()
    state = committed(verdict.state, verdict.updates, ["app"])
    assert decode(encode(state)) == state


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"{", b'{"form":2}', b"\xff", b"[" * 100_000])
def test_broken_state_is_no_trust(data: bytes) -> None:
    with pytest.raises(StateError):
        decode(data)


@given(st.data())
def test_state_with_anything_missing_is_no_trust(data: st.DataObject) -> None:
    whole = encode(provisioned(b"director", b"image", NOW))
    with pytest.raises(StateError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_counters_move_only_after_commit(site: Site, unit: Unit) -> None:
    site.deploy("dev-1", a_target(releaseCounter=4))
    verdict = unit.poll()
    assert unit.state.counters == {}
    with pytest.raises(BundleError):
        committed(unit.state, verdict.updates, ["boot"])
    assert committed(unit.state, verdict.updates, ["app"]).counters == {"app": 4}


@settings(deadline=None)
@given(st.integers(0, 9), st.integers(0, 9))
def test_counters_never_fall(before: int, counter: int) -> None:
    site = Site()
    site.deploy("dev-1", a_target(releaseCounter=counter))
    updates = Unit(site).poll().updates
    state = replace(State(Trusted(b""), Trusted(b"")), counters={"app": before, "boot": 7})
    assert committed(state, updates, ["app"]).counters == {"app": max(before, counter), "boot": 7}


def test_it_says_when(site: Site, unit: Unit) -> None:
    site.deploy("dev-1", notBefore=written(NOW + timedelta(hours=3)))
    verdict = unit.poll()
    assert verdict.not_before == (NOW + timedelta(hours=3)).replace(microsecond=0)


def test_a_bundle(site: Site, unit: Unit) -> None:
    first = a_target()
    second = a_target("app/stable/1.1.0/boot.bin", b"boot", component="boot")
    site.images.release(first, second)
    site.director.order("dev-1", *(ordered(one, bundleId="7", bundleSize=2) for one in (first, second)))
    verdict = unit.poll()
    assert sorted(paths(verdict)) == [second.path, first.path]
    assert committed(verdict.state, verdict.updates, ["app", "boot"]).counters == {"app": 0, "boot": 0}


def test_what_has_to_be_there_first(site: Site, unit: Unit) -> None:
    site.deploy("dev-1", a_target(prerequisites=["boot>=2.0"]))
    assert unit.refuses().code == "prerequisite_missing"
    unit.me = replace(unit.me, installed={"boot": Version("1.9")})
    assert unit.refuses().code == "prerequisite_missing"
    unit.me = replace(unit.me, installed={"boot": Version("2.0.1")})
    assert list(paths(unit.poll())) == [FILE]


def test_time_is_the_latest_that_is_known() -> None:
    state = provisioned(b"", b"", NOW)
    day = timedelta(days=1)
    assert trusted_time(state, NOW - day) == NOW
    assert trusted_time(state, NOW + day) == NOW + day
    assert trusted_time(state, NOW, None, NOW - 2 * day) == NOW
    assert trusted_time(state, NOW, None, NOW + 2 * day) == NOW + 2 * day


def test_another_device_asks_for_its_own(site: Site, unit: Unit) -> None:
    site.deploy("dev-1")
    site.director.order("dev-2")
    other = Unit(site, replace(unit.me, id=DeviceId("dev-2")))
    assert other.poll().updates == ()
    assert list(paths(unit.poll())) == [FILE]
