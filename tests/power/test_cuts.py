"""Power cuts at every operation that changes something on the disk, of every kind of update there is.

Each *story* is played once without a cut; that lists its points. Then it is played once for each point and each fate of what
was not synced, cut there, and once more cut again while it recovers. Whatever happens: the device ends in one good version,
by itself, and the server hears the outcome once. `pytest -s` prints the counts.
"""

import errno
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

import pytest

from otaru.adapters.board.disk import make_folders, parent
from otaru.adapters.board.disk import replace as replace_file
from otaru.adapters.board.journal import FileJournal, FileVault
from otaru.adapters.links.bundle import FolderLink, find
from otaru.domain import deployment
from otaru.domain.ids import DeviceId, Sha256
from otaru.domain.link import Opening, Told
from otaru.domain.update import MAX_STRIKES, RESTING, TRANSITIONS, State
from otaru.domain.update_record import Piece, Record
from otaru.errors import InstallError
from otaru.images.delta import patch
from otaru.images.delta.patch import Codec
from otaru.ports.board import SERVER_CHECK, Installer, Staged
from otaru.services.edge.fetch import Manner
from otaru.services.edge.offline import by_medium
from otaru.services.edge.parts import Parts
from tests.support.bundles import a_bundle, a_medium
from tests.support.edge import DEVICE, OLD_APP, OLD_OS, Check, Device, Outcome, Server
from tests.support.images import Watched
from tests.support.keys import NOW
from tests.support.modeldisk import Fate, ModelDisk
from tests.support.site import Site

NEW_OS, NEW_APP = b"os 2.0.0 " * 4000, b"app 2.0.0 " * 3000
BOTH = {"os": ("raw", NEW_OS), "app": ("file", NEW_APP)}
APP = {"app": ("file", NEW_APP)}
FINAL = deployment.State


@dataclass
class Broken:
    """An installer that cannot do one thing."""

    installer: Installer
    cannot: str
    times: list[int]
    """How often it still cannot."""

    def __getattr__(self, name: str) -> object:
        return getattr(self.installer, name)

    def commit(self, piece: Piece) -> None:
        self._fail("commit")
        self.installer.commit(piece)

    def revert(self, piece: Piece) -> None:
        self._fail("revert")
        self.installer.revert(piece)

    def install(self, piece: Piece, staged: Staged) -> None:
        self.installer.install(piece, staged)
        self._fail("install")

    def activate(self, piece: Piece) -> None:
        self.installer.activate(piece)
        self._fail("activate")

    def _fail(self, what: str) -> None:
        if self.cannot == what and self.times[0]:
            self.times[0] -= 1
            raise InstallError(f"it cannot {what}")


def breaking(what: str, times: int = 1000) -> Callable[[Parts], Parts]:
    left = [times]

    def change(parts: Parts) -> Parts:
        app: Installer = Broken(parts.installers["app"], what, left)  # type: ignore[assignment]
        return replace(parts, installers={**parts.installers, "app": app})

    return change


@dataclass
class Story:
    """A way in which an update can go."""

    name: str
    ends: deployment.State
    parts: dict[str, tuple[str, bytes]] = field(default_factory=lambda: dict(BOTH))
    device: dict[str, object] = field(default_factory=dict)
    server: Callable[[Server], None] = lambda _: None
    record: Record | None = None
    """What the device remembers."""
    broken: tuple[str, int] | None = None
    """What the app's installer cannot do, and how often."""
    more: Callable[[Device], Callable[[Parts], Parts]] | None = None
    """What the device has besides."""
    holds: Mapping[str, bytes] = field(default_factory=dict)
    """Files that it has besides, by path."""
    medium: bool = False
    """It comes by a stick; the device has a network only when it is over."""
    made: tuple[Server, ModelDisk] | None = None
    kind: Callable[..., Device] = Device
    before: tuple[bytes, bytes] = (OLD_OS, OLD_APP)
    """What runs first, and where it goes back."""
    after: tuple[bytes, bytes] = (NEW_OS, NEW_APP)

    def __str__(self) -> str:
        return self.name

    def play(
        self, cuts: frozenset[int] = frozenset(), fate: Fate = Fate.LOST, seed: int = 0, fault: int | None = None
    ) -> tuple[Device, Outcome]:
        """From the beginning to its end, cut at these points."""
        if self.made is None:
            server = Server(Site())
            device = self.kind(server).provision()
            server.direct("2.0.0", server.release("2.0.0", self.parts, releaseCounter=5))
            if self.record is not None:
                FileJournal(device.disk, "/data/journal").put(self.record)
            self.server(server)
            for path, data in self.holds.items():
                make_folders(device.disk, parent(path))
                replace_file(device.disk, path, data)
            if self.medium:
                a_stick(device.disk, server)
            self.made = (server, device.disk)
        base, disk = self.made
        server = replace(base, heard={}, outcomes=[], opened=[], asked=[])
        device = self.kind(server, disk.copy(), **self.device)
        if self.broken is not None:
            device.changed = breaking(*self.broken)
        if self.more is not None:
            device.changed = self.more(device)
        device.disk.cuts, device.disk.fate, device.disk.seed, device.disk.fault = cuts, fate, seed, fault
        if self.medium:
            online, device.changed = device.changed, partial(from_a_stick, device)
            device.live(lambda device: bool(FileJournal(device.disk, "/data/journal").load().history))
            device.changed = online
        return device, device.live(lambda device: device.server.state in deployment.FINAL)

    def check(self, device: Device, outcome: Outcome, *, ends: deployment.State | None = None) -> None:
        """One good version, told once, with nothing left behind."""
        server, disk = device.server, device.disk
        assert server.outcomes == [ends or self.ends]
        done = server.outcomes == [FINAL.SUCCEEDED]
        assert outcome.os == (self.after if done and "os" in self.parts else self.before)[0]
        assert outcome.app == (self.after if done and "app" in self.parts else self.before)[1]
        counters = FileVault(disk, "/data/trust").load().counters
        assert counters == (dict.fromkeys(self.parts, 5) if done else {})
        assert disk.names("/data/staging") == []
        assert len(disk.names("/opt/app/versions")) <= 2
        # What comes next starts what runs now.
        agent, slot = device.boot()
        assert slot == outcome.slot
        agent.start()
        assert agent.record.state in RESTING


def waits(server: Server) -> None:
    """The window is closed, and the update is called off while it waits."""
    assert server.offer is not None
    server.offer = replace(server.offer, window=Opening(is_open=False))
    server.calls_off_at = 4


def other_bytes(server: Server) -> None:
    server.files = {name: b"x" * len(data) for name, data in server.files.items()}


def called_off(server: Server) -> None:
    server.state = deployment.State.CANCELLING
    assert server.offer is not None
    server.cancel = server.offer.action


def by_patches(server: Server) -> None:
    """Both come by a patch."""
    server.leads(OLD_OS, NEW_OS)
    server.leads(OLD_APP, NEW_APP, Codec.ZSTD)
    offered_anew(server)


def by_bad_patches(server: Server) -> None:
    """The app's patch is good until its last byte, and then makes another file than it says."""
    server.leads(OLD_OS, NEW_OS)
    server.leads(OLD_APP, NEW_APP)
    (told,) = server.patches[sha256(NEW_APP).hexdigest()]
    made = b"".join(patch.make(Codec.LZMA, Watched(OLD_APP), Watched(NEW_APP[:-1] + b"!")))
    said = b"".join(patch.make(Codec.LZMA, Watched(OLD_APP), Watched(NEW_APP)))
    lie = said[: patch.HEAD_SIZE] + made[patch.HEAD_SIZE :]
    digest = Sha256(sha256(lie).hexdigest())
    server.files[digest] = lie
    server.patches[sha256(NEW_APP).hexdigest()] = (
        replace(told, sha256=digest, size=len(lie), addresses=(f"/files/{digest}",)),
    )
    offered_anew(server)


def offered_anew(server: Server) -> None:
    assert server.offer is not None
    files = tuple(replace(file, patches=server.patches[file.sha256]) for file in server.offer.files)
    server.offer = replace(server.offer, files=files)


STICK = "/usb"


def a_stick(disk: ModelDisk, server: Server) -> None:
    """What is due, on a medium that the device can read. Its order's own metadata is long past its end."""
    assert server.offer is not None
    site = server.site
    ordered = site.director.made[DEVICE]["targets"].signed
    targets = {path: target.hashes["sha256"] for path, target in ordered.targets.items()}
    bundle = a_bundle(site, devices={DEVICE: ordered.version}, targets=targets)
    a_medium(disk, STICK, site, bundle, {DEVICE: Told(timedelta(0), server.offer)}, server.files)


def from_a_stick(device: Device, parts: Parts) -> Parts:
    device.clock.at = NOW + timedelta(days=30)
    bundle = find(device.disk, STICK, DeviceId(DEVICE), device.clock.at)
    never = Check(lambda: "nobody answers", SERVER_CHECK)
    parts = replace(parts, checks=[*parts.checks, never])
    return by_medium(parts, FolderLink(device.disk, STICK, bundle, DeviceId(DEVICE)), bundle)


PATCHED = Manner(memory=10_000_000, sync_every=1)
"""Each piece that a patch makes is synced, and is a point."""
STRUCK = Record(strikes={"app:2.0.0": MAX_STRIKES}, state=State.QUARANTINED)
STORIES = [
    Story("both", FINAL.SUCCEEDED),
    Story("both, sick", FINAL.REVERTED, device={"sick": True}),
    Story("both, dead", FINAL.REVERTED, device={"dead": True}),
    Story("app", FINAL.SUCCEEDED, parts=dict(APP)),
    Story("app, sick", FINAL.REVERTED, parts=dict(APP), device={"sick": True}),
    Story("other bytes come", FINAL.FAILED, server=other_bytes),
    Story("it cannot be installed", FINAL.FAILED, broken=("install", 1000)),
    Story("it cannot be activated", FINAL.FAILED, broken=("activate", 1000)),
    Story("it cannot be committed", FINAL.REVERTED, broken=("commit", 1000)),
    Story("at first it cannot go back", FINAL.REVERTED, device={"sick": True}, broken=("revert", 2)),
    Story("nobody here installs it", FINAL.FAILED, parts={"app": ("rauc", NEW_APP)}),
    Story("called off while it waits", FINAL.CANCELLED, server=waits),
    Story("called off", FINAL.CANCELLED, server=called_off),
    Story("failed here too often", FINAL.REJECTED, record=STRUCK),
    Story("failed here too often, idle", FINAL.REJECTED, record=replace(STRUCK, state=State.IDLE)),
    Story("another one failed here too often", FINAL.SUCCEEDED, record=replace(STRUCK, strikes={"app:1.9.0": 3})),
    Story("both by patches", FINAL.SUCCEEDED, device={"manner": PATCHED}, server=by_patches),
    Story("both by patches, sick", FINAL.REVERTED, device={"manner": PATCHED, "sick": True}, server=by_patches),
    Story("from a stick", FINAL.SUCCEEDED, medium=True),
    Story("from a stick, sick", FINAL.REVERTED, medium=True, device={"sick": True}),
    Story("from a stick with other bytes", FINAL.FAILED, medium=True, server=other_bytes),
    Story("by a bad patch, then in full", FINAL.SUCCEEDED, device={"manner": PATCHED}, server=by_bad_patches),
]


Fates = Sequence[tuple[Fate, int]]
FATES: Fates = ((Fate.LOST, 0), (Fate.KEPT, 0), (Fate.TORN, 1), (Fate.TORN, 2))
EVERYDAY = 11
"""Without `slow` each so manieth is played."""


def recorded(story: Story) -> list[str]:
    """What a story that goes through does to the disk, point by point."""
    device, outcome = story.play()
    story.check(device, outcome)
    return device.disk.trace


def cut(story: Story, cuts: tuple[int, ...], fate: Fate, seed: int) -> str:
    """Play a story with cuts; where the last of them was."""
    device, outcome = story.play(frozenset(cuts), fate, seed)
    trace = device.disk.trace
    at = [trace[point] for point in cuts if point < len(trace)]
    try:
        story.check(device, outcome)
    except AssertionError as error:
        raise AssertionError(f"cut at {cuts} ({fate} {seed}), {at}: {error}") from None
    return at[-1].partition(":")[0]


def told(story: Story, what: str, counted: Counter[str]) -> None:
    states = ", ".join(f"{state} {n}" for state, n in sorted(counted.items()))
    sys.stdout.write(f"\n{story}: {counted.total()} {what}: {states}\n")


def singles(story: Story, every: int, fates: Fates = FATES) -> None:
    counted: Counter[str] = Counter()
    for point in range(len(recorded(story))):
        for number, (fate, seed) in enumerate(fates):
            if (point * len(fates) + number) % every == 0:
                counted[cut(story, (point,), fate, seed)] += 1
    told(story, "cuts", counted)


def doubles(story: Story, every: int, fates: Fates = FATES) -> None:
    counted: Counter[str] = Counter()
    for point in range(len(recorded(story))):
        for later in range(80):
            number = point * 80 + later
            if number % every == 0:
                fate, seed = fates[number // every % len(fates)]
                counted[cut(story, (point, point + 1 + later), fate, seed)] += 1
    told(story, "double cuts", counted)


def faults(story: Story, every: int) -> None:
    """One operation fails, or twenty in a row do. How it ends may be another way then, but it ends well."""
    counted: Counter[str] = Counter()
    kinds = [(code, length) for code in (errno.ENOSPC, errno.EIO) for length in (1, 20)]
    for point in range(len(recorded(story))):
        for number, (code, length) in enumerate(kinds):
            if (point * len(kinds) + number) % every:
                continue
            device, outcome = story.play(frozenset(range(point, point + length)), fault=code)
            where = device.disk.trace[point]
            try:
                story.check(device, outcome, ends=device.server.state)
            except AssertionError as error:
                raise AssertionError(f"{errno.errorcode[code]} x{length} at {point} {where}: {error}") from None
            counted[f"{where.partition(':')[0]} {device.server.state}"] += 1
    told(story, "faults", counted)


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_some_points(story: Story) -> None:
    """Of updates by patches at all of them, each with one fate or two."""
    singles(story, 3 if story.device.get("manner") is PATCHED else EVERYDAY)


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_some_points_and_another_while_it_recovers(story: Story) -> None:
    doubles(story, EVERYDAY * 40)


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_disk_that_is_full_or_fails_at_some_points(story: Story) -> None:
    faults(story, EVERYDAY)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_every_point(story: Story) -> None:
    singles(story, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_two_cuts_at_many_points(story: Story) -> None:
    doubles(story, 29)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_disk_that_is_full_or_fails_at_every_point(story: Story) -> None:
    faults(story, 1)


NOT_HERE = {
    (State.VERIFYING, State.IDLE),
    (State.STAGED, State.FETCHING),
    (State.ARMED, State.REVERTING),
    (State.RETURNING, State.REVERTING),
    (State.QUARANTINED, State.IDLE),
    (State.IDLE, State.REVERTING),
    (State.QUARANTINED, State.REVERTING),
}
"""Steps that no story takes: test_going_back.py does, tests/unit/services/edge, or tests/unit/domain."""
WITH_DATA = {
    (before, after) for (before, _), after in TRANSITIONS.items() if {before, after} & {State.SAVING, State.RESTORING}
}
"""`test_backup_cuts` takes these."""


def test_the_stories_take_every_step_of_the_table() -> None:
    taken: set[tuple[State, State]] = set()
    for story in STORIES:
        device, _ = story.play()
        taken |= device.edges
    missing = {(before, after) for (before, _), after in TRANSITIONS.items()} - taken - NOT_HERE - WITH_DATA
    assert sorted(missing) == []
    assert not taken & NOT_HERE


def test_a_clock_that_jumps_neither_ends_a_trial_nor_an_update() -> None:
    story = STORIES[0]
    story.play()  # makes the story's server and disk
    assert story.made is not None
    for years in (-60, -1, 40):
        server, disk = story.made
        device = Device(replace(server, heard={}, outcomes=[], opened=[], asked=[]), disk.copy())
        device.changed = partial(_jumping, device, NOW + timedelta(days=365 * years))
        story.check(device, device.live(lambda device: device.server.state in deployment.FINAL))


def _jumping(device: Device, to: datetime, parts: Parts) -> Parts:
    """From the second start on, which is the new version's first."""
    if device.starts > 1:
        device.clock.at = to
    return parts


def cycles(count: int) -> None:
    """Two versions in turn: nothing grows."""
    server = Server(Site())
    device = Device(server).provision()
    releases = {
        version: server.release(version, {"os": ("raw", b"os " + data), "app": ("file", b"app " + data)})
        for version, data in (("2.0.0", b"2" * 30_000), ("3.0.0", b"3" * 30_000))
    }
    held: list[int] = []
    for number in range(count):
        version = ("2.0.0", "3.0.0")[number % 2]
        server.direct(version, releases[version])
        outcome = device.live(lambda _: server.state in deployment.FINAL)
        assert outcome.os == b"os " + version[:1].encode() * 30_000
        assert server.outcomes[-1] is FINAL.SUCCEEDED
        held.append(device.disk.bytes_held())
        device.disk.trace.clear()
    assert len(server.outcomes) == count
    # Numbers get longer by a digit, and a history of 20 fills up.
    assert held[-1] - held[min(25, count // 2)] < 200
    sys.stdout.write(f"\n{count} updates: {held[-1]} bytes held, {held[min(25, count // 2)]} after the first ones\n")


def test_updates_in_a_row_do_not_grow() -> None:
    cycles(60)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_updates_in_a_row_do_not_grow() -> None:
    cycles(1000)
