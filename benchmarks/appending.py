"""Appends to a transparency log per core: what becomes of entries that wait, beside the hashing alone.

Recording is what an action pays: its event, and the entry with its salt, in the action's own transaction, here many in each.
Integrating is what the worker does each second: places, tiles, the signed head, all in the store (SQLite, durable). The
floor grows the same tree in memory and keeps nothing. CPU of the process, so that who else runs on the machine counts less; and
the time that passed, with the disk.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.duel import millis
from benchmarks.measure import spread
from benchmarks.report import Section, shown
from otaru.adapters.blobs.local import LocalBlobs
from otaru.adapters.bus.local import LocalBus
from otaru.adapters.clock import SystemClock
from otaru.adapters.differ.process import ProcessDiffer
from otaru.adapters.director.local import LocalDirector
from otaru.adapters.inspector.process import ProcessInspector
from otaru.adapters.judges.classic import ClassicJudge
from otaru.adapters.notary import FolderNotary
from otaru.adapters.registry import open_registry
from otaru.adapters.signers.file import FolderKeyring
from otaru.adapters.sql.migrate import upgrade
from otaru.adapters.sql.store import open_store
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DEFAULT_TENANT
from otaru.ports.store import Tx, one
from otaru.services.control import tenants
from otaru.services.control.desk import Desk
from otaru.services.control.transparency import integrate
from otaru.services.control.world import World
from otaru.trust.log.entries import Log
from otaru.trust.log.merkle import leaf_hash
from otaru.trust.log.tiles import Tile, grow, tiles


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds for one entry, a value a round."""

    cpu_s: list[float]
    wall_s: list[float]


@dataclass(frozen=True, slots=True)
class Appends:
    """What entries cost."""

    entries: int
    recorded: Spent
    integrated: Spent
    bare: Spent
    size: int
    """Of the log in the end."""


def measure(entries: int, rounds: int) -> Appends:
    """So many entries, so many times, to one growing log.

    Raises:
        RuntimeError: not all of them came into the log.
    """
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), entries, rounds))


def section(found: Appends) -> Section:
    """What it came to."""
    rows = [
        (
            name,
            f"{1 / spread(spent.cpu_s).middle:,.0f}",
            f"{1 / spread(spent.wall_s).middle:,.0f}",
            shown(millis(spent.cpu_s)),
        )
        for name, spent in (
            ("recording", found.recorded),
            ("integrating", found.integrated),
            ("floor: hashing alone", found.bare),
        )
    ]
    return Section(
        "Appends to the log",
        f"{found.entries:,} entries in a round, {len(found.bare.cpu_s)} rounds, to a log that ends with {found.size:,}. Each round"
        " is recorded in one transaction, then integrated: places, tiles, the signed head.",
        ("what", "entries/s per core", "entries/s as time passed", "CPU of one, ms"),
        rows,
    )


_APART = timedelta(microseconds=1)


@one
def _record(tx: Tx, happenings: Sequence[Happening]) -> None:
    tx.events.add(happenings)


async def _measure(folder: Path, entries: int, rounds: int) -> Appends:
    url, bus, clock = f"sqlite:///{folder}/otaru.db", LocalBus(), SystemClock()
    upgrade(url)
    store = open_store(url, bus)
    recorded, integrated, bare = (Spent([], []) for _ in range(3))
    try:
        async with open_registry(store, bus, clock) as registry:
            keyring, notary = FolderKeyring(folder / "keys"), FolderNotary(folder / "log")
            director = LocalDirector(store, Desk(FolderKeyring(folder / "director")), clock)
            blobs = LocalBlobs(folder / "artifacts")
            world = World(
                store,
                registry,
                blobs,
                clock,
                ClassicJudge(),
                bus,
                keyring,
                notary,
                ProcessInspector(),
                director,
                ProcessDiffer(),
            )
            await tenants.ensure(world, DEFAULT_TENANT)
            await integrate(world)
            floor = _Floor()
            for number in range(rounds):
                now = clock.now()
                happenings = [  # a microsecond apart: what is done at once is one entry
                    Happening(
                        DEFAULT_TENANT,
                        now + n * timedelta(microseconds=1),
                        "token:1",
                        Kind.DEVICE_PERMITTED,
                        f"device-{n:07}",
                        {"n": n},
                    )
                    for n in range(number * entries, (number + 1) * entries)
                ]
                with _clocked(recorded, entries):
                    await store.write(_record, happenings)
                with _clocked(integrated, entries):
                    await integrate(world)
                with _clocked(bare, entries):
                    floor.append(entries)
            tree = await store.read(lambda tx: tx.logs.tree(DEFAULT_TENANT, Log.AUDIT))
            if tree.signed < rounds * entries:
                raise RuntimeError(f"{tree.signed:,} of {rounds * entries:,} entries are in the log")
    finally:
        await store.close()
    return Appends(entries, recorded, integrated, bare, tree.signed)


class _Floor:
    """A tree in memory."""

    def __init__(self) -> None:
        self._size = 0
        self._tiles: dict[Tile, bytes] = {}

    def append(self, entries: int) -> None:
        """Grow it by entries of the length that ours have."""
        edge = {tile.level: self._tiles[tile] for tile in tiles(self._size)}
        leaves = [leaf_hash(b"%0200d" % (self._size + n)) for n in range(entries)]
        self._tiles |= grow(self._size, edge, leaves)
        self._size += entries


class _clocked:  # noqa: N801 - reads as a verb
    """Note what the block costs, for each of its entries."""

    def __init__(self, spent: Spent, entries: int) -> None:
        self._spent = spent
        self._entries = entries

    def __enter__(self) -> None:
        self._began = time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        cpu, wall = self._began
        self._spent.cpu_s.append((time.process_time() - cpu) / self._entries)
        self._spent.wall_s.append((time.perf_counter() - wall) / self._entries)
