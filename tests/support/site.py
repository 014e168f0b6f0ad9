"""A tenant's two repositories as files, and a device that asks them: all in memory, made and broken as a test likes."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import OtaruError
from otaru.trust.tuf import changes
from otaru.trust.tuf.metadata import AnyMetadata
from otaru.trust.tuf.repository import Repository, admit, snapshot_of, timestamp_of
from otaru.trust.verify.fitness import Me
from otaru.trust.verify.state import State, provisioned
from otaru.trust.verify.steps import Keep, Source, Steps, Want, run
from otaru.trust.verify.update import Verdict, verify
from tests.support.keys import APP, NOW, all_by, begun, by, some

TENANT = TenantId("DEFAULT")
FILE = "app/stable/1.1.0/fw.bin"
BYTES = b"firmware 1.1.0"
DIRECTOR_ROOTS = ("director-root-1", "director-root-2")
DIRECTOR = "director"
Files = dict[str, bytes]


def a_target(path: str = FILE, data: bytes = BYTES, **custom: Any) -> TargetFile:
    """A target as the server lists it."""
    said = {"component": "app", "hardwareIds": ["rpi4"], "installer": "file", "releaseCounter": 0, "version": "1.1.0"}
    return TargetFile(len(data), {"sha256": sha256(data).hexdigest()}, path, {"custom": said | custom})


def ordered(target: TargetFile, **custom: Any) -> TargetFile:
    """The same target as the director orders it."""
    found = deepcopy(target)
    found.unrecognized_fields["custom"] = {**(target.custom or {}), **custom}
    return found


def listed(found: AnyMetadata) -> MetaFile:
    data = found.to_bytes()
    return MetaFile(found.signed.version, len(data), {"sha256": sha256(data).hexdigest()})


def named(role: str, found: AnyMetadata) -> str:
    return "timestamp.json" if role == "timestamp" else f"{found.signed.version}.{role}.json"


@dataclass
class Images:
    """An image repository."""

    repository: Repository = field(default_factory=begun)
    now: datetime = NOW
    files: Files = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.enter({role: found for role in ("root", "targets") if (found := self.repository.of(role))})

    def enter(self, served: Mapping[str, AnyMetadata], online: str = "online") -> None:
        """Serve metadata of people, and what the server signs of it."""
        for role, found in served.items():
            self.files[named(role, found)] = found.to_bytes()
        new = {role: found.to_bytes() for role, found in served.items() if role != "root"}
        snapshot = by(snapshot_of(self.repository, new, self.now), online)
        self.stamp(snapshot, online)

    def stamp(self, snapshot: Metadata[Snapshot], online: str = "online") -> None:
        """Serve a snapshot, and a timestamp of it."""
        timestamp = by(timestamp_of(self.repository, snapshot, snapshot.to_bytes(), self.now), online)
        self.repository = replace(self.repository, snapshot=snapshot, timestamp=timestamp)
        self.serve("snapshot", snapshot)
        self.serve("timestamp", timestamp)

    def serve(self, role: str, found: AnyMetadata) -> None:
        """Serve anything, whoever signed it."""
        self.files[named(role, found)] = found.to_bytes()

    def sign(self, offered: Mapping[str, AnyMetadata], *names: str, online: str = "online") -> None:
        """Enter metadata as the server would."""
        made = all_by(offered, *names)
        self.repository = admit(self.repository, made, self.now)
        self.enter(made, online)

    def release(self, *targets: TargetFile) -> None:
        """List targets beside those that are listed."""
        known = self.repository.delegated.get(APP)
        files = {} if known is None else dict(known.signed.targets)
        files |= {target.path: target for target in targets}
        self.sign(changes.with_files(self.repository, APP, files, self.now), "alice")

    def forge(self, role: str, *names: str, change: Callable[[Any], None] = lambda _: None) -> AnyMetadata:
        """The next version of a role, changed, signed by whoever, with a snapshot and timestamp of the true key."""
        found = self.repository.of(role)
        assert found is not None
        after = deepcopy(found)
        after.signatures.clear()
        after.signed.version += 1
        change(after.signed)
        forged = by(after, *names)
        self.slip(role, forged.to_bytes(), after.signed.version)
        return forged

    def slip(self, role: str, data: bytes, version: int) -> None:
        """Serve any bytes as a role's version, listed by a snapshot that the true key signs."""
        self.files[f"{version}.{role}.json"] = data
        snapshot = deepcopy(self.repository.snapshot)
        assert snapshot is not None
        snapshot.signatures.clear()
        snapshot.signed.version += 1
        snapshot.signed.meta[f"{role}.json"] = MetaFile(version, len(data), {"sha256": sha256(data).hexdigest()})
        self.stamp(by(snapshot, "online"))


@dataclass
class Director:
    """A director's repository: one root, and metadata for each device."""

    now: datetime = NOW
    roots: Files = field(default_factory=dict)
    files: dict[str, Files] = field(default_factory=dict)
    made: dict[str, dict[str, AnyMetadata]] = field(default_factory=dict)
    """The newest of each role, by device."""
    key: str = DIRECTOR

    def __post_init__(self) -> None:
        online = some([self.key])
        keys = {"root": some(DIRECTOR_ROOTS, 2), "targets": online, "snapshot": online, "timestamp": online}
        self.root = by(changes.new_root(keys, self.now), *DIRECTOR_ROOTS)
        self.roots["1.root.json"] = self.root.to_bytes()

    def rotate(self, key: str) -> None:
        """Give the online roles another key."""
        after = deepcopy(self.root)
        after.signatures.clear()
        after.signed.version += 1
        online = some([key])[0][0]
        for role in ("targets", "snapshot", "timestamp"):
            after.signed.roles[role].keyids = [online.keyid]
        used = {name for role in after.signed.roles.values() for name in role.keyids}
        known = after.signed.keys | {online.keyid: online}
        after.signed.keys = {name: one for name, one in known.items() if name in used}
        self.root, self.key = by(after, *DIRECTOR_ROOTS), key
        self.roots[f"{after.signed.version}.root.json"] = self.root.to_bytes()

    def order(self, device: str, *targets: TargetFile, version: int | None = None, says: object = None) -> None:
        """Tell a device what to run; `says` replaces its id in what is signed."""
        known = self.made.get(device, {})
        number = version or (known["targets"].signed.version + 1 if known else 1)
        extra = {"deviceId": device if says is None else says}
        expires = (self.now + timedelta(days=7)).replace(microsecond=0)
        files = {target.path: target for target in targets}
        self.serve(device, by(Metadata(Targets(number, None, expires, files, None, extra)), self.key), number)

    def serve(self, device: str, targets: Metadata[Targets], number: int) -> None:
        """Serve targets with a snapshot and a timestamp of the same number."""
        expires = (self.now + timedelta(days=1)).replace(microsecond=0)
        snapshot = by(Metadata(Snapshot(number, None, expires, {"targets.json": listed(targets)})), self.key)
        timestamp = by(Metadata(Timestamp(number, None, expires, listed(snapshot))), self.key)
        self.made[device] = {"targets": targets, "snapshot": snapshot, "timestamp": timestamp}
        files = self.files.setdefault(device, {})
        files |= {named(role, found): found.to_bytes() for role, found in self.made[device].items()}


@dataclass
class Site:
    """Both repositories, and a log of proofs by subject."""

    images: Images = field(default_factory=Images)
    director: Director = field(default_factory=Director)
    proofs: Files = field(default_factory=dict)

    def answer(self, device: str, want: Want) -> bytes | None:
        """What an honest server answers."""
        if want.source is Source.LOG:
            return self.proofs.get(want.role)
        if want.source is Source.IMAGE:
            return self.images.files.get(want.name)
        return {**self.director.roots, **self.director.files.get(device, {})}.get(want.name)

    def deploy(self, device: str, target: TargetFile | None = None, **custom: Any) -> TargetFile:
        """Release a target and order a device to run it."""
        target = target or a_target()
        self.images.release(target)
        self.director.order(device, ordered(target, **custom))
        return target


Between = Callable[[Want, bytes | None], bytes | None]
"""Somebody between the device and its server: what arrives of what was answered."""


def honest(_: Want, answer: bytes | None) -> bytes | None:
    return answer


@dataclass
class Unit:
    """A device that was provisioned with the roots of a site."""

    site: Site
    me: Me = field(default_factory=lambda: Me(TENANT, DeviceId("dev-1"), {Hardware("rpi4")}))
    now: datetime = NOW
    state: State = None  # type: ignore[assignment]
    wants: list[Want] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = self.site.images.files["1.root.json"]
        self.state = provisioned(self.site.director.roots["1.root.json"], first, NOW - timedelta(days=30))

    def go(self, steps: Steps[Verdict], between: Between = honest) -> Verdict:
        def fetch(want: Want) -> bytes | None:
            self.wants.append(want)
            return between(want, self.site.answer(self.me.id, want))

        def keep(what: Keep) -> None:
            self.state = self.state.keeping(what)

        self.wants.clear()
        verdict = run(steps, fetch, keep)
        self.state = verdict.state
        return verdict

    def poll(self, between: Between = honest) -> Verdict:
        """Ask what is due, and store what is to be stored."""
        return self.go(verify(self.state, self.me, self.now), between)

    def refuses(self, between: Between = honest) -> OtaruError:
        """Ask, and see it refused; no counter moves and time does not go back."""
        before = self.state
        try:
            verdict = self.poll(between)
        except OtaruError as error:
            assert self.state.counters == before.counters
            assert self.state.time == before.time
            return error
        raise AssertionError(f"accepted: {verdict.updates}")

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)


def paths(verdict: Verdict) -> Iterable[str]:
    return [update.target.path for update in verdict.updates]
