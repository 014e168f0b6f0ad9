"""Refreshes of devices' director metadata per core: the signer's work, beside bare python-tuf with the same key and content.

Ours looks each device up (told? running? logged? listed?), makes targets, snapshot and timestamp, signs and serialises them:
what the signer does for one frame of devices. Bare is python-tuf making, signing and serialising the same three, and
nothing else. Both in one process, in turns; CPU time of the process, so that who else runs on the machine counts less.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from benchmarks.duel import millis
from benchmarks.measure import Spread, spread
from benchmarks.report import Mark, Section, shown
from otaru.adapters.blobs.local import LocalBlobs
from otaru.adapters.bus.local import LocalBus
from otaru.adapters.clock import SystemClock
from otaru.adapters.differ.process import ProcessDiffer
from otaru.adapters.director.local import LocalDirector
from otaru.adapters.inspector.process import ProcessInspector
from otaru.adapters.judges.policy import PolicyJudge
from otaru.adapters.notary import FolderNotary
from otaru.adapters.registry import open_registry
from otaru.adapters.signers.file import FolderKeyring
from otaru.adapters.sql.migrate import upgrade
from otaru.adapters.sql.store import open_store
from otaru.domain.device import Hardware
from otaru.domain.ids import DEFAULT_TENANT, ActionId, DeviceId, ProductName, Version
from otaru.domain.rollout import Policy
from otaru.ports.director import Assignment
from otaru.services.control import artifacts, devices, releases, rollouts, tenants
from otaru.services.control.desk import Desk
from otaru.services.control.devices import NewDevice
from otaru.services.control.poll import poll
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollouts import Intention
from otaru.services.control.transparency import integrate
from otaru.services.control.world import SYSTEM, World
from otaru.trust.tuf.director import Issued, Share

_COMPACT = JSONSerializer(compact=True)
_BOARD = Hardware("board")


@dataclass(frozen=True, slots=True)
class Refreshes:
    """CPU seconds for one device, a value a round."""

    devices: int
    ours_s: Sequence[float]
    bare_s: Sequence[float]

    @property
    def ratio(self) -> Spread:
        """Ours by bare, round by round."""
        return spread([a / b for a, b in zip(self.ours_s, self.bare_s, strict=True)])


def measure(count: int, rounds: int) -> Refreshes:
    """So many devices, so many times.

    Raises:
        RuntimeError: something was not signed.
    """
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), count, rounds))


def section(found: Refreshes) -> Section:
    """What it came to."""
    ratio = shown(found.ratio)
    rows = [
        (name, f"{1 / spread(times).middle:,.0f}", shown(millis(times)))
        for name, times in (("Otaru's signer", found.ours_s), ("bare python-tuf", found.bare_s))
    ]
    goal = Mark("director refreshes per second and core", 350, 1000, "/s")
    per_s = spread([1 / one for one in found.ours_s])
    return Section(
        "Director refreshes",
        f"Targets, snapshot and timestamp of one device: CPU of the process, {found.devices} devices in a frame,"
        f" {len(found.ours_s)} rounds in turns. Each device has one target. Ours looks up"
        f" whether it is so first; its CPU by that of bare, round by round: {ratio}.",
        ("who", "refreshes/s per core", "CPU of one, ms"),
        rows,
        {},
        [goal.row(f"{found.devices:,}", per_s)],
    )


async def _measure(folder: Path, count: int, rounds: int) -> Refreshes:
    url, bus, clock = f"sqlite:///{folder}/otaru.db", LocalBus(), SystemClock()
    upgrade(url)
    store = open_store(url, bus)
    desk = Desk(FolderKeyring(folder / "director"))
    try:
        async with open_registry(store, bus, clock) as registry:
            keyring, notary = FolderKeyring(folder / "keys"), FolderNotary(folder / "log")
            director = LocalDirector(store, desk, clock)
            blobs = LocalBlobs(folder / "artifacts")
            world = World(
                store,
                registry,
                blobs,
                clock,
                PolicyJudge(),
                bus,
                keyring,
                notary,
                ProcessInspector(),
                director,
                ProcessDiffer(),
            )
            assignments = await _told(world, count)
            ours_s, bare_s = list[float](), list[float]()
            for _ in range(rounds):
                began = time.process_time()
                done = await store.glance(lambda tx: desk.sign(tx, assignments, clock.now()))
                ours_s.append((time.process_time() - began) / count)
                if not all(isinstance(one, Issued) and len(one.targets) > 600 for one in done):
                    raise RuntimeError(f"not signed: {done[0]}")
                bare_s.append(_timed(_bare, count))
    finally:
        await store.close()
    return Refreshes(count, ours_s, bare_s)


async def _told(world: World, count: int) -> list[Assignment]:
    """Devices that have been told of a release, and what they are to be told by the director."""
    tenant = DEFAULT_TENANT
    await tenants.ensure(world, tenant)
    names = [DeviceId(f"device-{n:05}") for n in range(count)]
    await devices.add_many(world, tenant, SYSTEM, [NewDevice(name, _BOARD) for name in names])

    async def content() -> AsyncIterator[bytes]:
        yield b"firmware"

    stored = await artifacts.store(world, tenant, content())
    part = Part(stored.blob.sha256, "app.swu", "app", [_BOARD])
    product, version = ProductName("app"), Version("1.1.0")
    await releases.create(world, tenant, SYSTEM, NewRelease(product, version, [part]))
    rollout = await rollouts.create(world, tenant, SYSTEM, Intention(product, version, "id==*", Policy(), start=True))
    await integrate(world)
    known = await world.registry.tenant(tenant)
    for name in names:
        entry = await world.registry.device(tenant, name)
        if known is None or entry is None:
            raise RuntimeError("what was made is not there")
        await poll(world, known, entry)
    return [Assignment(tenant, name, Share(rollout.id, 1, ActionId(1))) for name in names]


def _bare(count: int, signer: CryptoSigner, now: datetime) -> None:
    ends = now.replace(microsecond=0) + timedelta(days=3)
    custom = {
        "component": "app",
        "hardwareIds": ["board"],
        "installer": "swupdate",
        "releaseCounter": 0,
        "version": "1.1.0",
        "rolloutId": 1,
        "action": 1,
        "bundleId": "1/1",
        "bundleSize": 1,
    }
    for n in range(count):
        path = "app/stable/1.1.0/app.swu"
        target = TargetFile(8, {"sha256": "ab" * 32}, path, {"custom": custom})
        name = {"deviceId": f"device-{n:05}"}
        targets = _signed(Metadata(Targets(2, None, ends, {path: target}, unrecognized_fields=name)), signer)
        snapshot = _signed(Metadata(Snapshot(2, None, ends, {"targets.json": _file(targets)})), signer)
        _signed(Metadata(Timestamp(2, None, ends, _file(snapshot))), signer)


def _signed(found: Metadata, signer: CryptoSigner) -> bytes:  # type: ignore[type-arg]
    found.sign(signer)
    return found.to_bytes(_COMPACT)


def _file(content: bytes) -> MetaFile:
    return MetaFile(2, len(content), {"sha256": sha256(content).hexdigest()})


def _timed(work: Callable[[int, CryptoSigner, datetime], None], count: int) -> float:
    signer, now = CryptoSigner.generate_ed25519(), SystemClock().now()
    began = time.process_time()
    work(count, signer, now)
    return (time.process_time() - began) / count
