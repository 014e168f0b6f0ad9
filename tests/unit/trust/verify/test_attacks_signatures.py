"""Attacks by metadata that is somebody else's: unsigned, forged, mixed, stolen keys, names and sizes that trick readers."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tuf.api.metadata import Role, TargetFile

from otaru.trust.tuf import changes
from otaru.trust.tuf.names import TARGETS
from otaru.trust.verify.payload import Payload
from otaru.trust.verify.steps import Source, Want
from otaru.trust.verify.target import read_target
from tests.support.attacks import DEVICE, Device, Seen, attack, instead
from tests.support.keys import APP, NOW, ROOTS, TARGETERS, by, public, some
from tests.support.site import (
    BYTES,
    FILE,
    Between,
    Director,
    Images,
    Site,
    a_target,
    ordered,
)


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
