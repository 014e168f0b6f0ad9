"""Attacks by what is old: news held back, replayed, run ahead, and clocks that lie."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

from otaru.trust.tuf import changes
from otaru.trust.verify.clock import trusted_time
from otaru.trust.verify.pace import Pace, Watch
from otaru.trust.verify.state import decode, encode
from otaru.trust.verify.steps import Source
from otaru.trust.verify.update import committed
from tests.support.attacks import DEVICE, Device, Seen, attack, replayed
from tests.support.keys import APP, NOW, ROOTS, by, public
from tests.support.site import (
    FILE,
    Site,
    a_target,
    listed,
    ordered,
    paths,
)


@attack("Drop-request", "metadata_missing")
def test_drop_request(site: Site, unit: Device) -> None:
    site.deploy(DEVICE)
    for source, name in (
        (Source.DIRECTOR, "timestamp.json"),
        (Source.IMAGE, "2.snapshot.json"),
        (Source.IMAGE, f"1.{APP}.json"),
    ):
        unit.refuses(replayed({}, source, name))
    assert list(paths(unit.poll())) == [FILE]


@attack("Freeze", "metadata_expired")
def test_freeze(site: Site, unit: Device) -> None:
    """The director's news end after a day; the image repository's after three, also while the director goes on."""
    site.deploy(DEVICE)
    unit.poll()
    unit.later(days=1, minutes=1)
    assert unit.refuses().facts["role"] == "timestamp"
    site.director.now = unit.now + timedelta(days=2)
    unit.now = site.director.now
    site.director.order(DEVICE, ordered(a_target()))
    assert unit.refuses().facts["role"] == "timestamp"
    site.images.now = unit.now
    site.images.enter({})
    assert list(paths(unit.poll())) == [FILE]


@attack("Freeze", "metadata_expired")
def test_freeze_by_an_expired_root(site: Site, unit: Device) -> None:
    unit.later(days=366)
    site.director.now = unit.now
    site.director.order(DEVICE)
    assert unit.refuses().facts["role"] == "root"


@attack("Rollback (metadata)", "metadata_rollback")
def test_rollback_of_metadata(site: Site, unit: Device) -> None:
    site.deploy(DEVICE)
    unit.poll()
    director, images = dict(site.director.files[DEVICE]), dict(site.images.files)
    site.deploy(DEVICE, a_target("app/stable/1.2.0/fw.bin", b"new", version="1.2.0"))
    unit.poll()
    assert unit.refuses(replayed(director, Source.DIRECTOR, "timestamp.json")).facts["known"] == 3
    assert unit.refuses(replayed(images, Source.IMAGE, "timestamp.json")).facts["role"] == "timestamp"


@attack("Rollback (metadata)", "metadata_rollback")
def test_rollback_of_what_the_snapshot_lists(site: Site, unit: Device) -> None:
    """Whoever has the server's keys signs a new timestamp and snapshot, of old targets."""
    site.deploy(DEVICE)
    old = site.images.repository.delegated[APP]
    site.deploy(DEVICE, a_target("app/stable/1.2.0/fw.bin", b"new", version="1.2.0"))
    unit.poll()
    snapshot = deepcopy(site.images.repository.snapshot)
    assert snapshot is not None
    snapshot.signatures.clear()
    snapshot.signed.version += 1
    snapshot.signed.meta[f"{APP}.json"] = listed(old)
    site.images.stamp(by(snapshot, "online"))
    assert unit.refuses().facts["role"] == APP


@attack("Fast-forward", "metadata_rollback")
def test_fast_forward(site: Site, unit: Device) -> None:
    """A stolen director key drives versions up; once root has put another in its place, devices follow again."""
    site.director.order(DEVICE, version=2**31)
    unit.poll()
    site.director.order(DEVICE, version=2)
    unit.refuses()
    site.director.rotate("director-2")
    site.director.order(DEVICE, version=2)
    assert unit.poll().updates == ()
    site.deploy(DEVICE)
    assert list(paths(unit.poll())) == [FILE]


@attack("Fast-forward", "metadata_rollback")
def test_fast_forward_of_the_image_repository(site: Site, unit: Device) -> None:
    site.deploy(DEVICE)
    before = site.images.repository
    assert before.snapshot is not None
    high = deepcopy(before.snapshot)
    high.signatures.clear()
    high.signed.version = 2**31
    site.images.stamp(by(high, "online"))
    unit.poll()
    site.images.repository = before
    site.images.enter({})
    site.images.enter({})
    assert unit.refuses().facts["role"] == "snapshot"
    both = changes.replace_key(before, public("online").keyid, public("online-2"), NOW)
    site.images.sign(both, *ROOTS, online="online-2")
    assert list(paths(unit.poll())) == [FILE]


@attack("Clock attack", "metadata_expired")
def test_clock_attack(site: Site, unit: Device) -> None:
    """A clock that is set back gains nothing; one that is set ahead makes it refuse, and not for ever."""
    site.deploy(DEVICE)
    unit.poll()
    frozen = dict(site.director.files[DEVICE])
    unit.later(days=2)
    site.director.now = site.images.now = unit.now
    site.images.enter({})
    site.director.order(DEVICE)
    unit.poll()
    floor = unit.state.time
    assert floor == unit.now
    unit.now = trusted_time(unit.state, NOW, NOW - timedelta(days=3650))
    assert unit.now == floor
    unit.state = replace(unit.state, director=replace(unit.state.director, timestamp=None, snapshot=None, targets={}))
    unit.refuses(replayed(frozen, Source.DIRECTOR, *frozen))
    unit.now = trusted_time(unit.state, NOW, floor + timedelta(days=3650))
    unit.refuses()
    assert unit.state.time == floor
    unit.now = trusted_time(unit.state, NOW, floor + timedelta(hours=1))
    unit.poll()


@attack("Slow retrieval", "retrieval_slow")
def test_slow_retrieval(seen: Seen) -> None:
    """A byte a second, whole seconds of nothing, and enough that comes too late."""
    pace = Pace(least_per_s=100, stretch=timedelta(seconds=60), within=timedelta(hours=1))
    drip = Watch(pace, NOW, NOW)
    for second in range(1, 60):
        drip.came(1, NOW + timedelta(seconds=second))  # it may be a slow beginning
    seen.refused(lambda: drip.came(1, NOW + timedelta(seconds=60)))
    silent = Watch(pace, NOW, NOW)
    silent.came(1_000_000, NOW + timedelta(seconds=1))
    silent.came(0, NOW + timedelta(seconds=59))
    seen.refused(lambda: silent.came(0, NOW + timedelta(seconds=62)))
    steady = Watch(pace, NOW, NOW)
    for minute in range(1, 60):
        steady.came(6000, NOW + timedelta(minutes=minute))
    seen.refused(lambda: steady.came(6000, NOW + timedelta(hours=1)))
    resumed = Watch(pace, NOW, NOW + timedelta(minutes=59))  # after a break the rate begins anew, the end stays
    resumed.came(0, NOW + timedelta(minutes=59, seconds=59))
    seen.refused(lambda: resumed.came(10_000, NOW + timedelta(hours=1)))


@attack("Power cut", "state_broken")
def test_power_cut(site: Site, unit: Device, seen: Seen) -> None:
    """Half of what a device keeps is no trust at all; and until it runs what it installed, it has burnt nothing."""
    site.deploy(DEVICE, a_target(releaseCounter=4))
    verdict = unit.poll()
    before, whole = unit.state, encode(committed(verdict.state, verdict.updates, ["app"]))
    for at in range(len(whole)):
        seen.refused(lambda at=at: decode(whole[:at]))  # type: ignore[misc]
    assert decode(encode(before)).counters == {}, "what was kept before the cut is as good as it was"
    assert decode(whole).counters == {"app": 4}
    assert paths(unit.poll()) == paths(unit.poll()), "asked again after it, the answer is the same"
