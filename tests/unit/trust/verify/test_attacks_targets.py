"""Attacks by what is to be installed: other bytes, parts of a bundle, older images, other hardware, patches."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId
from otaru.trust.permit import Permit, new_permit
from otaru.trust.verify.payload import Payload, check_delta, check_installer, check_result
from otaru.trust.verify.steps import Source
from otaru.trust.verify.target import Target, read_target
from otaru.trust.verify.update import committed
from tests.support.attacks import DEVICE, Device, Seen, attack, replayed
from tests.support.keys import NOW, TARGETERS, private, public
from tests.support.site import (
    BYTES,
    FILE,
    TENANT,
    Site,
    a_target,
    ordered,
    paths,
)


@attack("Partial bundle", "bundle_incomplete", "target_form")
def test_partial_bundle(site: Site, unit: Device, seen: Seen) -> None:
    first, second = a_target(), a_target("app/stable/1.1.0/boot.bin", b"boot", component="boot", releaseCounter=2)
    site.images.release(first, second)
    whole = [ordered(one, bundleId="b7", bundleSize=2) for one in (first, second)]
    for told in (
        whole[:1],
        whole[1:],
        [ordered(first), ordered(second)],
        [whole[0], ordered(second, bundleId="b8", bundleSize=2)],
    ):
        site.director.order(DEVICE, *told)
        unit.refuses()
    double = a_target("app/stable/1.1.0/app2.bin", b"other")
    site.images.release(double)
    site.director.order(DEVICE, whole[0], ordered(double, bundleId="b7", bundleSize=2))
    unit.refuses()
    site.director.order(DEVICE, *whole)
    verdict = unit.poll()
    seen.refused(lambda: committed(unit.state, verdict.updates, ["boot"]))
    assert unit.state.counters == {}


@attack("Rollback (image)", "below_floor", "below_fuse")
def test_rollback_of_an_image(site: Site, unit: Device) -> None:
    site.deploy(DEVICE, a_target(releaseCounter=4))
    verdict = unit.poll()
    unit.state = committed(verdict.state, verdict.updates, ["app"])
    old = site.deploy(DEVICE, a_target("app/stable/1.0.0/fw.bin", b"old", version="1.0.0", releaseCounter=3))
    assert unit.refuses().facts["floor"] == 4
    unit.me = replace(unit.me, fuses={"app": 4})
    site.director.order(DEVICE, ordered(old, allowDowngradeTo=a_permit().to_dict()))
    assert unit.refuses().facts["fuse"] == 4


def a_permit(*names: str, days: float = 7, device: str = DEVICE, component: str = "app", counter: int = 3) -> Permit:
    permit = new_permit(TENANT, DeviceId(device), component, counter, NOW + timedelta(days=days))
    for name in names or TARGETERS:
        permit = permit.with_signature(public(name).keyid, private(name).sign(permit.signed_bytes))
    return permit


@attack(
    "Rollback (image)", "permit_other", "metadata_expired", "metadata_threshold", "metadata_signature", "metadata_form"
)
def test_rollback_by_a_false_permission(site: Site, unit: Device) -> None:
    unit.state = replace(unit.state, counters={"app": 4})
    old = a_target("app/stable/1.0.0/fw.bin", b"old", version="1.0.0", releaseCounter=3)
    site.images.release(old)
    told = a_permit().to_dict()
    false: list[Any] = [
        a_permit(device="dev-2").to_dict(),
        a_permit(component="boot").to_dict(),
        a_permit(counter=4).to_dict(),
        a_permit(days=-1).to_dict(),
        a_permit(TARGETERS[0]).to_dict(),
        a_permit("director", "online", "alice").to_dict(),
        {**told, "signed": {**told["signed"], "releaseCounter": 0}},
        {**told, "signed": {**told["signed"], "more": 0}},
        True,
    ]
    for one in false:
        site.director.order(DEVICE, ordered(old, allowDowngradeTo=one))
        unit.refuses()
    site.director.order(DEVICE, ordered(old, allowDowngradeTo=told))
    verdict = unit.poll()
    assert committed(unit.state, verdict.updates, ["app"]).counters == {"app": 4}


@attack("Arbitrary software", "target_digest", "target_too_short", "target_too_long")
def test_arbitrary_bytes(site: Site, unit: Device, seen: Seen) -> None:
    """Other bytes of the right length, some of them, and more of them: a signature never covers a prefix only."""
    site.deploy(DEVICE)
    (update,) = unit.poll().updates

    def fed(data: bytes) -> None:
        payload = Payload(update.target)
        for at in range(0, len(data), 5):
            payload.feed(data[at : at + 5])
        payload.end()

    for wrong in (b"\0" * len(BYTES), BYTES[:-1], BYTES + b"x", b""):
        seen.refused(partial(fed, wrong))
    fed(BYTES)


@attack("Wrong hardware", "wrong_hardware")
def test_wrong_hardware(site: Site, unit: Device) -> None:
    unit.me = replace(unit.me, hardware={Hardware("rpi4", "b")})
    for made_for in (["rpi5"], ["rpi"], ["rpi4:a"], ["rpi4:"], ["RPI4"]):
        if made_for != ["rpi4:"]:
            site.deploy(DEVICE, a_target(hardwareIds=made_for))
            unit.refuses()
    site.deploy(DEVICE, a_target(hardwareIds=["rpi5", "rpi4:b"]))
    assert list(paths(unit.poll())) == [FILE]


@attack("Cross-device replay", "wrong_device")
def test_cross_device_replay(site: Site, unit: Device) -> None:
    """Another device's metadata is signed by the same keys. It is refused, and its high versions do no harm."""
    site.director.order("dev-2", version=1000)
    other = site.director.files["dev-2"]
    kept = unit.state
    assert "dev-2" in unit.refuses(replayed(other, Source.DIRECTOR, *other)).message
    assert unit.state == kept
    for says in ("", "dev-10", ["dev-1"], None, 1):
        site.director.order(DEVICE, says=says)
        if says is not None:
            unit.refuses()
    site.deploy(DEVICE)
    assert list(paths(unit.poll())) == [FILE]


@attack("Malicious delta", "delta_source", "delta_result", "target_form")
def test_malicious_delta(site: Site, unit: Device, seen: Seen) -> None:
    """A patch has to lead from what is installed to what was verified; what it made is looked at, whatever it was."""
    full = read_target(a_target())
    installed = "1" * 64

    def patch(**custom: Any) -> Target:
        return read_target(a_target("app/stable/1.1.0/patch", b"patch", **custom))

    good = patch(fromDigest=installed, toDigest=full.sha256)
    check_delta(good, full, installed)
    seen.refused(lambda: check_delta(good, full, "2" * 64))
    seen.refused(lambda: check_delta(patch(fromDigest=installed, toDigest="3" * 64), full, installed))
    seen.refused(lambda: check_delta(full, full, installed))
    seen.refused(lambda: patch(fromDigest=installed))
    check_result(full, full.length, full.sha256)
    seen.refused(lambda: check_result(full, full.length, "3" * 64))
    seen.refused(lambda: check_result(full, full.length + 1, full.sha256))
    site.deploy(DEVICE, a_target("app/stable/1.1.0/patch", b"patch", fromDigest=installed, toDigest=full.sha256))
    unit.refuses()


@attack("TOCTOU on verified file", "installer_digest")
def test_the_installer_finds_something_else(seen: Seen) -> None:
    """The half of it that needs no process: what the installer opened is what was signed."""
    target = read_target(a_target(installer="rauc", installerDigest="a" * 64))
    check_installer(target, "a" * 64)
    seen.refused(lambda: check_installer(target, "b" * 64))
    seen.refused(lambda: check_installer(read_target(a_target()), "a" * 64))
