"""The attacks that a device has to withstand, named as in TUF and Uptane: each is refused with its code.

`ATTACKS` is what docs/attacks.md shows. Each test refuses with exactly the codes that stand there, or it is red.
"""

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Role, TargetFile

from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, Sha256, TenantId
from otaru.errors import OtaruError
from otaru.trust.log.merkle import leaf_hash
from otaru.trust.log.notes import COSIGNATURE, Checkpoint, Verifier, cosign, offline_proof, sign
from otaru.trust.permit import Permit, new_permit
from otaru.trust.tuf import changes
from otaru.trust.tuf.names import TARGETS
from otaru.trust.verify.chain import Grace
from otaru.trust.verify.clock import trusted_time
from otaru.trust.verify.offline import OfflineBundle, new_bundle, read_bundle, verify_offline
from otaru.trust.verify.payload import Payload, check_delta, check_installer, check_result
from otaru.trust.verify.proof import LogPolicy
from otaru.trust.verify.refusals import REFUSALS
from otaru.trust.verify.steps import Source, Want
from otaru.trust.verify.target import Target, read_target
from otaru.trust.verify.update import committed
from tests.support.keys import APP, NOW, ROOTS, TARGETERS, by, private, public, some
from tests.support.site import (
    BYTES,
    FILE,
    TENANT,
    Between,
    Director,
    Images,
    Site,
    Unit,
    a_target,
    listed,
    ordered,
    paths,
)

ATTACKS: dict[str, tuple[str, frozenset[str]]] = {}
"""Attack and codes, by the test."""
DEVICE = DeviceId("dev-1")
Test = Callable[..., None]


def attack(name: str, *codes: str) -> Callable[[Test], Test]:
    def note(test: Test) -> Test:
        ATTACKS[test.__name__] = (name, frozenset(codes))
        return test

    return note


class Seen:
    """The codes with which a test has seen refusals."""

    def __init__(self) -> None:
        self.codes: set[str] = set()

    def refused(self, act: Callable[[], Any]) -> OtaruError:
        with pytest.raises(OtaruError) as caught:
            act()
        self.codes.add(caught.value.code)
        return caught.value


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Iterator[Seen]:
    found = Seen()
    yield found
    assert found.codes == ATTACKS[request.function.__name__][1]


@pytest.fixture
def site() -> Site:
    return Site()


class Device(Unit):
    """A device whose refusals are noted."""

    seen: Seen

    def refuses(self, between: Between = lambda _, answer: answer) -> OtaruError:
        error = super().refuses(between)
        self.seen.codes.add(error.code)
        return error


@pytest.fixture
def unit(site: Site, seen: Seen) -> Device:
    site.director.order(DEVICE)
    found = Device(site)
    found.seen = seen
    return found


def replayed(files: dict[str, bytes], source: Source, *names: str) -> Between:
    """Somebody who answers what was answered then: all of it, or these files."""

    def answer(want: Want, now: bytes | None) -> bytes | None:
        return files.get(want.name) if want.source is source and (not names or want.name in names) else now

    return answer


def instead(source: Source, name: str, data: bytes) -> Between:
    return replayed({name: data}, source, name)


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


@attack("Endless data", "metadata_too_large", "target_too_long")
def test_endless_data(site: Site, unit: Device, seen: Seen) -> None:
    target = site.deploy(DEVICE)

    def endless(name: str) -> Between:
        return lambda want, now: b" " * (want.max_length + 1) if want.name == name else now

    for name in ("2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", f"1.{APP}.json"):
        assert unit.refuses(endless(name)).facts["limit"] > 0
    listed_ = {want.name: want.max_length for want in unit.wants}
    assert listed_[f"1.{APP}.json"] == len(site.images.files[f"1.{APP}.json"])
    payload = Payload(read_target(target))
    payload.feed(BYTES)
    seen.refused(lambda: payload.feed(b"x"))
    payload.end()


@attack("Mix-and-match", "metadata_mismatch", "metadata_too_large")
def test_mix_and_match(site: Site, unit: Device) -> None:
    site.deploy(DEVICE)
    old = dict(site.images.files)
    site.deploy(DEVICE, a_target("app/stable/1.2.0/fw.bin", b"new", version="1.2.0"))
    fresh = unit.state
    unit.refuses(instead(Source.IMAGE, f"2.{APP}.json", old[f"1.{APP}.json"]))
    unit.state = fresh
    unit.refuses(instead(Source.IMAGE, "3.snapshot.json", old["2.snapshot.json"]))
    site.director.order(DEVICE)
    site.director.order("dev-2", version=4)
    unit.refuses(instead(Source.DIRECTOR, "4.targets.json", site.director.files["dev-2"]["4.targets.json"]))
    unit.refuses(instead(Source.DIRECTOR, "4.targets.json", site.director.files[DEVICE]["2.targets.json"]))


@attack("Mix-and-match", "metadata_changed")
def test_the_same_version_is_something_else(site: Site, unit: Device) -> None:
    """Somebody with a stolen key signs another snapshot, or another listing, under a version that was seen."""
    site.deploy(DEVICE)
    unit.poll()
    snapshot, timestamp = site.images.repository.snapshot, site.images.repository.timestamp
    assert snapshot is not None
    assert timestamp is not None
    other = deepcopy(snapshot)
    other.signatures.clear()
    other.signed.expires += timedelta(days=1)
    site.images.stamp(by(other, "online"))
    unit.refuses()
    relisted = deepcopy(snapshot)
    relisted.signatures.clear()
    relisted.signed.version += 1
    relisted.signed.meta[f"{APP}.json"].hashes = {"sha256": "0" * 64}
    site.images.repository = replace(site.images.repository, timestamp=timestamp)
    site.images.stamp(by(relisted, "online"))
    unit.refuses()


@attack("Arbitrary software", "metadata_unsigned", "metadata_signature")
def test_arbitrary_software(site: Site, unit: Device) -> None:
    """Metadata of no key, of a stranger's, of a key of another role."""
    site.deploy(DEVICE)
    unit.poll()
    kept = unit.state

    def evil(signed: Any) -> None:
        signed.targets = {FILE: a_target(data=b"evil")}

    for names in ((), ("mallory",), ("online",), (*TARGETERS, *ROOTS)):
        site.images.forge(APP, *names, change=evil)
        site.director.order(DEVICE, ordered(a_target(data=b"evil")))
        unit.refuses()
        unit.state = kept
    site.images.forge(TARGETS, "online")
    unit.refuses()


@attack("Arbitrary software", "metadata_signature")
def test_arbitrary_software_changed_after_signing(site: Site, unit: Device) -> None:
    site.deploy(DEVICE)
    told = json.loads(site.director.files[DEVICE]["timestamp.json"])
    told["signed"]["expires"] = "2099-01-01T00:00:00Z"
    unit.refuses(instead(Source.DIRECTOR, "timestamp.json", json.dumps(told).encode()))


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


@attack("Arbitrary software", "metadata_signature", "metadata_threshold", "metadata_version")
def test_a_forged_root(site: Site, unit: Device) -> None:
    root = site.images.repository.root
    site.deploy(DEVICE)

    def next_(version: int, *names: str) -> bytes:
        after = deepcopy(root)
        after.signatures.clear()
        after.signed.version = version
        after.signed.roles[TARGETS] = Role([public("mallory").keyid], 1)
        after.signed.keys[public("mallory").keyid] = public("mallory")
        return by(after, *names).to_bytes()

    for version, names in ((2, ["mallory"]), (2, [ROOTS[0]]), (3, ROOTS), (1, ROOTS)):
        unit.refuses(instead(Source.IMAGE, "2.root.json", next_(version, *names)))


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


@attack("Cross-device replay", "metadata_signature")
def test_cross_tenant_replay(unit: Device) -> None:
    other = Site(director=Director(key="other-tenant"))
    other.deploy(DEVICE)
    unit.refuses(lambda want, _: other.answer(DEVICE, want) if "root" not in want.name else None)


@attack("Director key theft", "target_unknown", "target_disagrees", "target_form")
def test_director_key_theft(site: Site, unit: Device) -> None:
    """Its thief can order what release managers have signed, as they have signed it, and nothing else."""
    target = a_target(releaseCounter=1)
    site.images.release(target)
    evil = a_target("app/stable/6.6.6/fw.bin", b"evil", version="6.6.6")
    lies = [
        ordered(evil),
        ordered(a_target(data=b"evil", releaseCounter=1)),
        ordered(target, releaseCounter=9),
        ordered(target, hardwareIds=["rpi5"]),
        ordered(target, version="9"),
        ordered(target, unheard="of"),
        TargetFile(target.length + 1, target.hashes, target.path, target.unrecognized_fields),
        TargetFile(target.length, {"sha512": "0" * 128, **target.hashes}, target.path, target.unrecognized_fields),
        TargetFile(target.length, target.hashes, target.path, {**target.unrecognized_fields, "more": 1}),
        TargetFile(target.length, target.hashes, target.path),
    ]
    for lie in lies:
        site.director.order(DEVICE, lie)
        unit.refuses()


@attack(
    "Image snapshot/timestamp theft",
    "metadata_signature",
    "metadata_threshold",
    "metadata_forgotten",
    "metadata_unlisted",
)
def test_image_snapshot_and_timestamp_theft(site: Site, unit: Device) -> None:
    """Their thief cannot sign targets, nor make a role go away."""
    site.deploy(DEVICE)
    fresh = unit.state
    unit.poll()
    site.images.forge(APP, "online")
    unit.refuses()
    unit.state = fresh
    site.images.forge(TARGETS, TARGETERS[0])
    unit.refuses()
    unit.state = fresh
    site.images = Images()
    site.deploy(DEVICE)
    unit.poll()
    gone = deepcopy(site.images.repository.snapshot)
    assert gone is not None
    gone.signatures.clear()
    gone.signed.version += 1
    del gone.signed.meta[f"{APP}.json"]
    site.images.stamp(by(gone, "online"))
    unit.refuses()
    unit.state = fresh
    unit.refuses()


@attack("Repo/server takeover", "log_proof")
def test_repository_takeover(site: Site, unit: Device) -> None:
    """Somebody with every key, release managers' too, has to show the release to all the world."""
    key = Verifier("example.org/log", private("log").public_key().public_bytes_raw())
    unit.me = replace(unit.me, log=LogPolicy(key))
    target = site.deploy(DEVICE)
    unit.refuses()
    entry = published(target)
    good = proof_of(entry)
    for wrong in (
        b"",
        b"\xff",
        proof_of(entry, signer="mallory"),
        proof_of(published(a_target(data=b"other"))),
        proof_of(published(target, about="app:1.2.0")),
        proof_of(published(target, to="withdrawn")),
        proof_of(b"[]"),
        proof_of(b"no JSON"),
        good.replace(b"index 0", b"index 1"),
        good + b" " * 200_000,
    ):
        site.proofs["app:1.1.0"] = wrong
        unit.refuses()
    site.proofs["app:1.1.0"] = good
    assert list(paths(unit.poll())) == [FILE]
    role = json.dumps(
        {
            "kind": "metadata.signed",
            "subject": APP,
            "data": {"sha256": sha256(site.images.files[f"1.{APP}.json"]).hexdigest()},
        }
    )
    site.proofs["app:1.1.0"] = proof_of(role.encode())
    assert list(paths(unit.poll())) == [FILE]


def published(target: TargetFile, about: str = "app:1.1.0", to: str = "published") -> bytes:
    facts = {"from": "draft", "to": to, "artifacts": [target.hashes["sha256"]]}
    return json.dumps({"kind": "release.moved", "subject": about, "data": facts}).encode()


def proof_of(entry: bytes, signer: str = "log", witness: str | None = None, saw: bytes | None = None) -> bytes:
    """A log of one entry; a witness may have seen it with another."""
    head = Checkpoint("example.org/log", 1, leaf_hash(entry))
    note = sign(head, "example.org/log", private(signer))
    if witness is not None:
        other = sign(replace(head, root=leaf_hash(saw or entry)), "example.org/log", private(signer))
        note += cosign(other, "example.org/w", private(witness), 1_790_000_000).removeprefix(other)
    return offline_proof(0, [], note, entry).encode()


@attack("Witness/log split view", "log_proof")
def test_split_view(site: Site, unit: Device) -> None:
    """A log that shows this device another tree than its witnesses."""
    key = Verifier("example.org/log", private("log").public_key().public_bytes_raw())
    witness = Verifier("example.org/w", private("w").public_key().public_bytes_raw(), COSIGNATURE)
    unit.me = replace(unit.me, log=LogPolicy(key, (witness,), 1))
    entry = published(site.deploy(DEVICE))
    for wrong in (
        proof_of(entry),
        proof_of(entry, witness="mallory"),
        proof_of(entry, witness="w", saw=b"the other tree"),
    ):
        site.proofs["app:1.1.0"] = wrong
        unit.refuses()
    site.proofs["app:1.1.0"] = proof_of(entry, witness="w")
    assert list(paths(unit.poll())) == [FILE]


@attack("Threshold bypass", "metadata_form")
def test_threshold_bypass_by_duplicates(site: Site, unit: Device) -> None:
    """One key under two ids, one id twice, one signature twice."""
    site.deploy(DEVICE)
    fresh = unit.state
    two = changes.delegate(site.images.repository, APP, some(["alice", "bob"], 2), NOW)[TARGETS]
    alias = deepcopy(public("alice"))
    alias.keyid = "00" * 32
    assert two.signed.delegations is not None
    assert two.signed.delegations.roles is not None
    told = json.loads(by(two, *TARGETERS).to_bytes())
    told["signed"]["delegations"]["roles"][0]["keyids"] = [public("alice").keyid] * 2
    twice = json.loads(by(two, *TARGETERS).to_bytes())
    twice["signatures"] *= 2
    two.signed.delegations.keys = {key.keyid: key for key in (public("alice"), alias)}
    two.signed.delegations.roles[APP].keyids = [public("alice").keyid, alias.keyid]
    for data in (by(two, *TARGETERS).to_bytes(), json.dumps(told).encode(), json.dumps(twice).encode()):
        site.images.slip(TARGETS, data, 3)
        unit.refuses()
        unit.state = fresh


@attack("Threshold bypass", "metadata_threshold")
def test_threshold_bypass_by_too_few(site: Site, unit: Device) -> None:
    site.images.sign(changes.delegate(site.images.repository, APP, some(["alice", "bob"], 2), NOW), *TARGETERS)
    files = changes.with_files(site.images.repository, APP, {FILE: a_target()}, NOW)
    site.director.order(DEVICE, ordered(a_target()))
    site.images.slip(APP, by(files[APP], "alice", "mallory", "online").to_bytes(), 1)
    assert unit.refuses().facts["signed"] == 1


@attack("Path tricks in role/target names", "target_path", "role_name", "metadata_form")
def test_path_tricks(site: Site, unit: Device) -> None:
    names = (
        "../../etc/passwd",
        "/etc/passwd",
        "app/stable/1.1.0/..",
        "app/stable/../x",
        "app//1/x",
        "app/stable/1/a\0b",
        "fw.bin",
    )
    for path in (
        *names,
        "app\\stable\\1\\x",
        "app/stable/1/%2e%2e",
        "app/stable/1/ü",
        "a/b/c/d/e/f",
        "app/stable/1/" + "x" * 300,
    ):
        site.director.order(DEVICE, ordered(a_target(path)))
        unit.refuses()
    site.director.order(DEVICE, ordered(a_target()))
    fresh = unit.state
    for name in ("../root", "product.a/b.stable", "product.../..stable", "timestamp", "product.app", "x\0y"):
        told = changes.delegate(site.images.repository, APP, some(["alice"]), NOW)[TARGETS]
        assert told.signed.delegations is not None
        (role,) = told.signed.delegations.roles.values()
        role.name, role.paths = name, ["*/*/*/*"]
        told.signed.delegations.roles = {name: role}
        site.images.slip(TARGETS, by(told, *TARGETERS).to_bytes(), 3)
        unit.refuses()
        unit.state = fresh
    assert Want(Source.IMAGE, "../a/b?c#d\0", 1, 1).name == "1...%2Fa%2Fb%3Fc%23d%00.json"


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


def a_bundle(
    site: Site, *names: str, days: float = 60, devices: tuple[str, ...] = (), digest: str = ""
) -> OfflineBundle:
    repository = site.images.repository
    assert repository.timestamp is not None
    assert repository.snapshot is not None
    grace = Grace(repository.timestamp.signed.version, repository.snapshot.signed.version)
    targets = {FILE: Sha256(digest or sha256(BYTES).hexdigest())}
    expires = NOW + timedelta(days=days)
    made = new_bundle(TENANT, frozenset(map(DeviceId, devices)), grace, targets, expires)
    document = made.document
    for name in names or TARGETERS:
        document = document.with_signature(public(name).keyid, private(name).sign(document.signed_bytes))
    return read_bundle(json.dumps(document.to_dict()).encode())


@attack(
    "Local attacker w/ USB bundle",
    "metadata_signature",
    "metadata_threshold",
    "metadata_expired",
    "metadata_rollback",
    "offline_bundle",
    "below_floor",
)
def test_a_bundle_on_a_medium(site: Site, unit: Device, seen: Seen) -> None:
    """The same road as online: only what people's keys say may be past its end."""
    site.images.release(a_target(releaseCounter=1))
    unit.later(days=30)

    def offered(bundle: OfflineBundle) -> Callable[[], Any]:
        return lambda: unit.go(verify_offline(unit.state, unit.me, bundle, unit.now))

    seen.refused(offered(a_bundle(site, "online", "alice")))
    seen.refused(offered(a_bundle(site, TARGETERS[0])))
    seen.refused(offered(a_bundle(site, days=29)))
    seen.refused(offered(a_bundle(site, devices=("dev-2", "dev-3"))))
    seen.refused(offered(a_bundle(site, digest="0" * 64)))
    told = a_bundle(site).document.to_dict()
    told["signed"]["expires"] = "2099-01-01T00:00:00Z"
    seen.refused(offered(read_bundle(told)))
    foreign = replace(unit.me, tenant=TenantId("other"))
    seen.refused(lambda: unit.go(verify_offline(unit.state, foreign, a_bundle(site), unit.now)))
    burnt = replace(unit.state, counters={"app": 2})
    seen.refused(lambda: unit.go(verify_offline(burnt, unit.me, a_bundle(site), unit.now)))
    good, old = a_bundle(site, devices=("dev-1",)), dict(site.images.files)
    assert list(paths(offered(good)())) == [FILE]
    site.images.now = unit.now
    site.images.release(a_target("app/stable/1.2.0/fw.bin", b"new", version="1.2.0"))
    site.director.now = unit.now
    site.director.order(DEVICE, ordered(a_target("app/stable/1.2.0/fw.bin", b"new", version="1.2.0")))
    unit.poll()
    between = replayed(old, Source.IMAGE, *old)
    seen.refused(lambda: unit.go(verify_offline(unit.state, unit.me, good, unit.now), between))


@attack("Local attacker w/ USB bundle", "metadata_expired")
def test_a_bundle_vouches_for_its_own_versions_only(site: Site, unit: Device, seen: Seen) -> None:
    site.images.release(a_target())
    bundle = a_bundle(site)
    site.images.enter({})
    unit.later(days=4)
    seen.refused(lambda: unit.go(verify_offline(unit.state, unit.me, bundle, unit.now)))


def test_the_page_shows_these_attacks() -> None:
    page = (Path(__file__).parents[4] / "docs/attacks.md").read_text()
    rows = re.findall(r"^\| ([^|`]+) \| [^|]+ \| `(test_\w+)` \| ([^|]+) \|$", page, re.MULTILINE)
    shown = {test: (name, frozenset(re.findall(r"`(\w+)`", codes))) for name, test, codes in rows}
    assert shown == ATTACKS
    assert {code for _, codes in ATTACKS.values() for code in codes} <= set(REFUSALS)
