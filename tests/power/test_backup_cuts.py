"""Power cuts of updates that save data before and put them back after: whatever is cut, they are there byte for byte.

The new version spoils the data as soon as it is switched to: it changes a file, removes one, adds some. Where it is kept, so are
its data; where what ran before runs again, all is as it was: bytes, names, permissions, links, and what was not there is not.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from otaru.adapters.age import Identity, opened
from otaru.adapters.board.backup import FolderSafe, Item, Rules
from otaru.adapters.board.disk import remove_tree
from otaru.domain import deployment
from otaru.domain.update import State
from otaru.domain.update_record import Piece
from otaru.errors import BackupError
from otaru.ports.board import Installer
from otaru.services.edge.parts import Parts
from tests.power import test_cuts as cuts
from tests.power.test_cuts import APP, FINAL, NEW_APP
from tests.support.edge import Device, Outcome
from tests.support.modeldisk import Fate, ModelDisk, PowerCut

OWNER, OWN = Identity(bytes(range(1, 33))), Identity(bytes(range(2, 34)))
DATA = {
    "/srv/state/db": b"rows of the old version " * 6000,
    "/srv/state/deep/er/note": b"",
    "/srv/one": b"1",
    "/srv/other": b"x",
}
ITEMS = (
    Item(name="state", path="/srv/state", component="app"),
    Item(name="one", path="/srv/one"),
    Item(name="none-yet", path="/srv/none-yet"),
    Item(name="none-yet-either", path="/srv/far/none", component="app"),
    Item(name="other", path="/srv/other", component="another"),
)


def safe(disk: ModelDisk, **rules: int) -> FolderSafe:
    return FolderSafe(disk, "/data/backups", Rules(items=ITEMS, **rules), OWN, OWNER.recipient)  # type: ignore[arg-type]


def data_of(disk: ModelDisk) -> dict[str, object]:
    """All there is below /srv, with its permissions."""
    found = {path: (content, disk.status(path)) for path, content in disk.tree("/srv").items()}
    return {**found, "/srv/state": disk.status("/srv/state"), "names": disk.names("/srv")}


def prepared(device: Device) -> dict[str, object]:
    disk = device.disk
    if disk.target("/srv/state/link") is None:
        disk.mode("/srv/state/db", 0o640)
        disk.mode("/srv/state", 0o750)
        disk.link("/srv/state/link", "../one")
        for folder in ("/srv/state", "/srv"):
            disk.sync_folder(folder)
    return data_of(disk)


def spoil(disk: ModelDisk) -> None:
    """What the new version does; all of it is on the disk, so that every play has the same points."""
    disk.write_at("/srv/state/db", 3, b"ROWS OF THE NEW ONE")
    disk.mode("/srv/state/db", 0o600)
    remove_tree(disk, "/srv/state/deep")
    disk.remove("/srv/state/link")
    disk.write_at("/srv/state/wal", 0, b"more")
    remove_tree(disk, "/srv/one")
    disk.make_folder("/srv/none-yet")
    disk.write_at("/srv/none-yet/cache", 0, b"c" * 1000)
    for path in ("/srv/state/db", "/srv/state/wal", "/srv/none-yet/cache"):
        disk.sync(path)
    for path in ("/srv/state", "/srv/none-yet", "/srv"):
        disk.sync_folder(path)


@dataclass
class Spoiling:
    """The new app spoils the data when it is switched to."""

    installer: Installer
    disk: ModelDisk

    def __getattr__(self, name: str) -> object:
        return getattr(self.installer, name)

    def activate(self, piece: Piece) -> None:
        self.installer.activate(piece)
        points, cut = self.disk.points, self.disk.cuts
        self.disk.cuts = frozenset()  # the application's own, no operations of ours
        trace = list(self.disk.trace)
        spoil(self.disk)
        self.disk.points, self.disk.cuts, self.disk.trace = points, cut, trace


def more(device: Device) -> Callable[[Parts], Parts]:
    def change(parts: Parts) -> Parts:
        app: Installer = Spoiling(parts.installers["app"], device.disk)  # type: ignore[assignment]
        return replace(parts, installers={**parts.installers, "app": app}, safe=safe(device.disk, keep=1))

    prepared(device)
    device.disk.points = 0
    device.disk.trace.clear()
    return change


@dataclass
class Story(cuts.Story):
    """As there, of a device that has data."""

    def check(self, device: Device, outcome: Outcome, *, ends: deployment.State | None = None) -> None:
        super().check(device, outcome, ends=ends)
        disk, server = device.disk, device.server
        assert self.made is not None
        before = Device(server, self.made[1].copy())
        if server.outcomes == [FINAL.SUCCEEDED]:
            assert State.RESTORING not in {after for _, after in device.edges}, "the data are the new version's"
        else:
            now, then = data_of(disk), prepared(before)
            if disk.fault is not None:
                now["names"] = [name for name in disk.names("/srv") if ".otaru" not in name]
                now = {path: what for path, what in now.items() if ".otaru" not in path}
            assert now == then
        left = [
            name for name in [*disk.names("/srv"), *disk.names("/data/backups")] if ".otaru" in name or ".part" in name
        ]
        assert left == [] or disk.fault is not None, (
            "a disk that fails is tidied when something is saved or put back again"
        )
        assert len(safe(disk).names()) <= 1


HOLDS = dict(DATA)
STORIES = [
    Story("data, app", FINAL.SUCCEEDED, parts=dict(APP), more=more, holds=HOLDS),
    Story("data, app, sick", FINAL.REVERTED, parts=dict(APP), more=more, holds=HOLDS, device={"sick": True}),
    Story("data, both, sick", FINAL.REVERTED, more=more, holds=HOLDS, device={"sick": True}),
    Story("data, both, dead", FINAL.REVERTED, more=more, holds=HOLDS, device={"dead": True}),
]
BACK = STORIES[1:]


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_some_points(story: Story) -> None:
    cuts.singles(story, 13)


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_some_points_and_another_while_it_recovers(story: Story) -> None:
    cuts.doubles(story, cuts.EVERYDAY * 80)


@pytest.mark.parametrize("story", BACK, ids=str)
def test_a_disk_that_is_full_or_fails_at_some_points(story: Story) -> None:
    cuts.faults(story, cuts.EVERYDAY * 2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_every_point(story: Story) -> None:
    cuts.singles(story, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_disk_that_is_full_or_fails_at_every_point(story: Story) -> None:
    cuts.faults(story, 1)


def test_every_step_that_saves_or_puts_back_is_taken() -> None:
    taken: set[tuple[State, State]] = set()
    for story in BACK:
        trace = cuts.recorded(story)
        taken |= story.play()[0].edges
        for what in ("saving: write /data/backups", "restoring: write /srv"):
            point = next(number for number, one in enumerate(trace) if one.startswith(what))
            taken |= story.play(frozenset({point}), fault=errno.EIO)[0].edges
    assert sorted(cuts.WITH_DATA - taken) == []


def saved() -> tuple[ModelDisk, dict[str, object], str]:
    """A disk with data and a backup of them, then spoiled."""
    story = STORIES[0]
    device, _ = story.play()
    assert story.made is not None
    disk = story.made[1].copy()
    before = prepared(replace(device, disk=disk))
    name = safe(disk).save(["app"], "app:2.0.0")
    spoil(disk)
    return disk, before, name


@pytest.mark.parametrize("fate", list(Fate))
def test_putting_back_by_hand_may_be_cut_everywhere(fate: Fate) -> None:
    base, before, name = saved()
    whole = base.copy()
    safe(whole).restore(name)
    assert data_of(whole) == before
    for point in range(whole.points):
        disk = base.copy()
        disk.cuts, disk.fate, disk.seed = frozenset({point}), fate, point
        with pytest.raises(PowerCut):
            safe(disk).restore(name)
        disk.cut()
        safe(disk).restore(name)
        assert data_of(disk) == before, (point, disk.trace)


def test_a_backup_that_was_changed_harms_nothing() -> None:
    base, _, name = saved()
    spoiled, path = data_of(base), f"/data/backups/{name}.age"
    size = base.size(path) or 0
    for at in range(0, size, 4999):
        disk = base.copy()
        disk.write_at(path, at, bytes([disk.read_at(path, at, 1)[0] ^ 1]))
        with pytest.raises(BackupError):
            safe(disk).restore(name)
        assert {key: value for key, value in data_of(disk).items() if key != "names"} == {
            key: value for key, value in spoiled.items() if key != "names"
        } | {key: value for key, value in data_of(disk).items() if ".otaru-new" in key}
    with pytest.raises(BackupError):
        safe(base).restore("999999")


def test_old_backups_make_room_and_either_key_opens_them() -> None:
    disk, _, _ = saved()
    kept = safe(disk, keep=2)
    for _ in range(4):
        last = kept.save(["app"], "app:3")
    assert kept.names() == ["000004", "000005"]
    assert last == "000005"
    assert [(one.name, one.release, one.items) for one in kept.kept()][-1] == (
        "000005",
        "app:3",
        ("state", "one", "none-yet", "none-yet-either"),
    )
    assert kept.save(["os"], "os:2") == "000006"
    raw = disk.read_at("/data/backups/000006.age", 0, 1 << 20)
    for key in (OWNER, OWN):
        left = [raw]

        def read(size: int, left: list[bytes] = left) -> bytes:
            found, left[0] = left[0][:size], left[0][size:]
            return found

        assert b"".join(opened(read, key))
    nothing = FolderSafe(disk, "/data/backups", Rules(items=ITEMS[-1:]), OWN)
    assert nothing.save(["app"], "app:3") == ""


def test_more_than_is_allowed_is_not_saved_and_leaves_nothing() -> None:
    disk, _, _ = saved()
    with pytest.raises(BackupError, match="more to save than is allowed"):
        safe(disk, max_bytes=100_000).save(["app"], "app:3")
    assert safe(disk).names() == ["000001"]
    safe(disk).save(["app"], "app:3")
    assert disk.names("/data/backups") == ["000001.age", "000002.age"]
    assert NEW_APP
