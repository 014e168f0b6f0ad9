"""Attacks on who vouches: a server that is taken over, a log that shows two trees, a medium with an old bundle."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from tuf.api.metadata import TargetFile

from otaru.domain.ids import TenantId
from otaru.trust.log.merkle import leaf_hash
from otaru.trust.log.notes import COSIGNATURE, Checkpoint, Verifier, cosign, offline_proof, sign
from otaru.trust.verify.offline import OfflineBundle, read_bundle, verify_offline
from otaru.trust.verify.proof import LogPolicy
from otaru.trust.verify.steps import Source
from tests.support.attacks import DEVICE, Device, Seen, attack, replayed
from tests.support.bundles import a_bundle
from tests.support.keys import APP, TARGETERS, private
from tests.support.site import (
    BYTES,
    FILE,
    Between,
    Site,
    a_target,
    ordered,
    paths,
)


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


def vouched(
    site: Site, *names: str, days: float = 60, devices: tuple[str, ...] = (DEVICE,), digest: str = ""
) -> OfflineBundle:
    version = site.director.made[DEVICE]["targets"].signed.version
    targets = {FILE: digest or sha256(BYTES).hexdigest()}
    return a_bundle(site, *names, days=days, devices=dict.fromkeys(devices, version), targets=targets)


@attack(
    "Local attacker w/ USB bundle",
    "metadata_signature",
    "metadata_threshold",
    "metadata_expired",
    "metadata_rollback",
    "offline_bundle",
    "below_floor",
    "wrong_device",
)
def test_a_bundle_on_a_medium(site: Site, unit: Device, seen: Seen) -> None:
    """The same road as online: only what people's keys say may be past its end."""
    site.deploy(DEVICE, a_target(releaseCounter=1))
    unit.later(days=30)

    def offered(bundle: OfflineBundle) -> Callable[[], Any]:
        return lambda: unit.go(verify_offline(unit.state, unit.me, bundle, unit.now))

    site.director.order("dev-2", ordered(a_target(releaseCounter=1)), version=2)
    seen.refused(lambda: unit.go(verify_offline(unit.state, unit.me, vouched(site), unit.now), dev_2(site)))
    seen.refused(offered(vouched(site, "online", "alice")))
    seen.refused(offered(vouched(site, TARGETERS[0])))
    seen.refused(offered(vouched(site, days=29)))
    seen.refused(offered(vouched(site, devices=("dev-2", "dev-3"))))
    seen.refused(offered(vouched(site, digest="0" * 64)))
    told = vouched(site).document.to_dict()
    told["signed"]["expires"] = "2099-01-01T00:00:00Z"
    seen.refused(offered(read_bundle(told)))
    foreign = replace(unit.me, tenant=TenantId("other"))
    seen.refused(lambda: unit.go(verify_offline(unit.state, foreign, vouched(site), unit.now)))
    burnt = replace(unit.state, counters={"app": 2})
    seen.refused(lambda: unit.go(verify_offline(burnt, unit.me, vouched(site), unit.now)))
    good, old = vouched(site), dict(site.images.files)
    others = replayed(dict(site.director.files[DEVICE]), Source.DIRECTOR)
    assert list(paths(unit.go(verify_offline(unit.state, unit.me, good, unit.now), others))) == [FILE]
    site.images.now = unit.now
    site.images.release(a_target("app/stable/1.2.0/fw.bin", b"new", version="1.2.0"))
    site.director.now = unit.now
    site.director.order(DEVICE, ordered(a_target("app/stable/1.2.0/fw.bin", b"new", version="1.2.0")))
    unit.poll()
    between = replayed(old, Source.IMAGE, *old)
    seen.refused(lambda: unit.go(verify_offline(unit.state, unit.me, good, unit.now), between))
    seen.refused(lambda: unit.go(verify_offline(unit.state, unit.me, good, unit.now), others))


def dev_2(site: Site) -> Between:
    """Another device's order on the same medium."""
    return replayed(dict(site.director.files["dev-2"]), Source.DIRECTOR, *site.director.files["dev-2"])


@attack("Local attacker w/ USB bundle", "metadata_expired")
def test_a_bundle_vouches_for_its_own_versions_only(site: Site, unit: Device, seen: Seen) -> None:
    site.deploy(DEVICE)
    bundle = vouched(site)
    site.images.enter({})
    unit.later(days=8)
    seen.refused(lambda: unit.go(verify_offline(unit.state, unit.me, bundle, unit.now)))


@attack("Local attacker w/ USB bundle", "metadata_expired", "offline_bundle")
def test_a_thief_of_the_director_adds_nothing_to_a_bundle(site: Site, unit: Device, seen: Seen) -> None:
    """With the director's online keys: a newer order holds no longer than online; one in its place is not vouched for."""
    site.deploy(DEVICE)
    bundle = vouched(site)
    other = a_target("app/stable/1.2.0/fw.bin", b"new", version="1.2.0")
    site.images.release(other)
    unit.later(days=8)
    site.director.order(DEVICE, ordered(other), version=2)
    seen.refused(lambda: unit.go(verify_offline(unit.state, unit.me, bundle, unit.now)))
    site.director.order(DEVICE, ordered(a_target()))
    seen.refused(lambda: unit.go(verify_offline(unit.state, unit.me, bundle, unit.now)))
