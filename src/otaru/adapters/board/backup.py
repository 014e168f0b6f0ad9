"""Backups: what a new version may spoil, in one encrypted file each, kept on the device.

    FOLDER/000007.age       a tar, encrypted to the tenant's key and the device's: either opens it
    FOLDER/000007.age.part  one that is being written

The tar's first member, `backup.json`, says what the others are. Restoring writes all beside what is there, reads the file to
its end (so all of it was found whole), and only then puts each in its place. Whatever is cut off is done again from the start.
"""

import json
import re
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from otaru.adapters import age
from otaru.adapters.board.archive import Packer, members, unpacked
from otaru.adapters.board.disk import Disk, full_named, make_folders, parent, remove_tree, replace
from otaru.adapters.board.dumping import dumped, fed
from otaru.adapters.board.files import Flow
from otaru.adapters.board.program import run
from otaru.errors import BackupError, InstallError

_FILE = re.compile(r"([0-9]{6,9})\.age")
_HEAD = "backup.json"
_SENT = "sent"
"""Says which one the server has."""
_WITHHELD = "withheld"
"""Says why it does not have the newest one."""
_REASON = 300
_NEW, _OLD = ".otaru-new", ".otaru-old"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that is saved: a path, or what a command prints, to be given to another one when it is put back."""

    name: str
    path: str = ""
    save: Sequence[str] = ()
    restore: Sequence[str] = ()
    component: str = ""
    """It is saved when this one is updated; empty: whatever is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How backups are made."""

    items: Sequence[Item]
    keep: int = 3
    max_bytes: int = 1 << 30
    pause: Sequence[str] = ()
    """Run before anything is read or put in its place: who writes the data stops. Harmless when it is run twice."""
    resume: Sequence[str] = ()
    timeout_s: float = 600
    device: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup that is on the device."""

    name: str
    at: str
    release: str
    """What was about to be installed."""
    items: tuple[str, ...]
    size: int


@dataclass
class FolderSafe:
    """`ports.board.Safe` in a folder of its own."""

    disk: Disk
    folder: str
    rules: Rules
    identity: age.Identity
    """The device's own key."""
    tenant: age.Recipient | None = None
    """The key of the device's owner, kept elsewhere."""
    now: Callable[[], str] = str
    """RFC 3339, for people."""
    items: Mapping[str, Item] = field(init=False)

    def __post_init__(self) -> None:
        self.items = {item.name: item for item in self.rules.items}

    def save(self, components: Collection[str], release: str) -> str:
        items = [item for item in self.rules.items if not item.component or item.component in components]
        if not items:
            return ""
        with full_named(self.folder), self._tidied():
            names = self.names()
            name = f"{int(names[-1]) + 1 if names else 1:06d}"
            with self._paused():
                self._write(name, items, release)
            for old in names[: len(names) + 1 - self.rules.keep]:
                self.disk.remove(self._path(old))
            self.disk.sync_folder(self.folder)
        return name

    def restore(self, name: str) -> None:
        told = self._told(name)
        items = [self._item(one) for one in told["items"]]
        with full_named("what is put back"), self._tidied():
            places = {
                item.name: f"{item.path}{_NEW}" if item.path else f"{self.folder}/{item.name}{_NEW}" for item in items
            }
            with self._opened(name) as (archive, rest):
                next(members(archive))  # what was told
                begun = unpacked(self.disk, archive, places)
                for _ in rest:
                    pass  # its end says that all of it is whole
            with self._paused():
                for item in items:
                    self._put(item, places[item.name], there=item.name in begun)

    def names(self) -> list[str]:
        """All that are here, the oldest first."""
        found = (_FILE.fullmatch(name) for name in self.disk.names(self.folder))
        return sorted((match[1] for match in found if match), key=int)

    def newest(self) -> str | None:
        """See `services.edge.courier.Shelf`, which this is, too."""
        names = self.names()
        path = f"{self.folder}/{_SENT}"
        sent = "" if self.disk.size(path) is None else self.disk.read_at(path, 0, 64).decode(errors="replace")
        return names[-1] if names and names[-1] != sent else None

    def size_of(self, name: str) -> int:
        return self.disk.size(self._path(name)) or 0

    def read(self, name: str, first: int, length: int) -> bytes:
        return self.disk.read_at(self._path(name), first, length)

    def sent(self, name: str) -> None:
        replace(self.disk, f"{self.folder}/{_SENT}", name.encode())

    def withheld(self, why: str) -> None:
        if why != self.reason():
            replace(self.disk, f"{self.folder}/{_WITHHELD}", why.encode()[:_REASON])

    def reason(self) -> str:
        """Why the server does not have the newest one; empty where nothing is in the way."""
        path = f"{self.folder}/{_WITHHELD}"
        return "" if self.disk.size(path) is None else self.disk.read_at(path, 0, _REASON).decode(errors="replace")

    def kept(self) -> Iterator[Kept]:
        """All that are here, the oldest first; what cannot be opened says so."""
        for name in self.names():
            size = self.disk.size(self._path(name)) or 0
            try:
                told = self._told(name)
                yield Kept(
                    name, str(told["at"]), str(told["release"]), tuple(one["name"] for one in told["items"]), size
                )
            except BackupError as error:
                yield Kept(name, "", f"it cannot be opened: {error.message}", (), size)

    def _write(self, name: str, items: Sequence[Item], release: str) -> None:
        part, at = f"{self._path(name)}.part", [0]

        def out(data: bytes) -> None:
            self.disk.write_at(part, at[0], data)
            at[0] += len(data)

        sealer = age.Sealer([one for one in (self.tenant, self.identity.recipient) if one is not None], out)
        with tarfile.open(mode="w|", fileobj=sealer, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            packer = Packer(self.disk, archive, self.rules.max_bytes)
            told = [{"name": item.name, "path": item.path, "there": self._is_there(item)} for item in items]
            head = {"form": 1, "device": self.rules.device, "at": self.now(), "release": release, "items": told}
            packer.text(_HEAD, json.dumps(head).encode())
            for item in items:
                if not item.path:
                    self._dump(packer, item)
                elif self._is_there(item):
                    packer.tree(item.name, item.path)
        sealer.close()
        self.disk.sync(part)
        self.disk.rename(part, self._path(name))
        self.disk.sync_folder(self.folder)

    def _is_there(self, item: Item) -> bool:
        return not item.path or self.disk.status(item.path) is not None

    def _dump(self, packer: Packer, item: Item) -> None:
        place = f"{self.folder}/{item.name}{_NEW}"
        try:
            dumped(item.save, place, self.rules.timeout_s, packer.room)
            packer.tree(item.name, place)
        finally:
            self.disk.remove(place)

    def _put(self, item: Item, new: str, *, there: bool) -> None:
        """What was written beside it comes into its place."""
        if not item.path:
            fed(item.restore, new, self.rules.timeout_s)
            return
        if there and not (self.disk.is_folder(new) or self.disk.is_folder(item.path)):
            self.disk.rename(new, item.path)  # a file, or a link, over another one
        else:
            old = f"{item.path}{_OLD}"
            if self.disk.status(item.path) is not None:
                self.disk.rename(item.path, old)
            if there:
                self.disk.rename(new, item.path)
        if self.disk.is_folder(parent(item.path)):
            self.disk.sync_folder(parent(item.path))

    @contextmanager
    def _tidied(self) -> Iterator[None]:
        """Begin without what a cut has left, and leave nothing behind, also where it fails."""
        make_folders(self.disk, self.folder)
        self._back_in_place()
        self._tidy()
        try:
            yield
        except Exception:  # whatever failed, nothing of it is left; raised again
            with suppress(OSError):  # it is tidied when it is tried again
                self._back_in_place()
                self._tidy()
            raise
        self._tidy()

    def _back_in_place(self) -> None:
        """Where the new one has not come into a place after the old one had left it."""
        for item in self.rules.items:
            old = f"{item.path}{_OLD}"
            if item.path and self.disk.status(item.path) is None and self.disk.status(old) is not None:
                self.disk.rename(old, item.path)
                self.disk.sync_folder(parent(old))

    def _tidy(self) -> None:
        for name in self.disk.names(self.folder):
            if name.endswith((".part", _NEW)):
                self.disk.remove(f"{self.folder}/{name}")
        for item in self.rules.items:
            for path in (f"{item.path}{_NEW}", f"{item.path}{_OLD}") if item.path else ():
                if self.disk.status(path) is not None:
                    remove_tree(self.disk, path)
                    self.disk.sync_folder(parent(path))

    @contextmanager
    def _paused(self) -> Iterator[None]:
        rules = self.rules
        try:
            if rules.pause:
                run(rules.pause, rules.timeout_s)
            yield
        except InstallError as error:
            raise BackupError(error.message) from None
        finally:
            if rules.resume:
                with suppress(InstallError):  # health looks at who does not come up again
                    run(rules.resume, rules.timeout_s)

    def _item(self, told: Mapping[str, Any]) -> Item:
        item = self.items.get(told["name"])
        if item is None or item.path != told["path"]:
            raise BackupError(
                f"the backup has {told['name']!r} at {told['path']!r}, and agent.toml no longer has it there"
            )
        return item

    def _told(self, name: str) -> dict[str, Any]:
        with self._opened(name) as (archive, _):
            first = archive.next()
            content = None if first is None or first.name != _HEAD else archive.extractfile(first)
            found = {} if content is None else json.loads(content.read())
        if not isinstance(found, dict) or found.get("form") != 1:
            raise BackupError(f"backup {name} is of a form that this agent does not know")
        return found

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[tarfile.TarFile, Iterator[bytes]]]:
        """The tar, and what has not been read of it."""
        path, at = self._path(name), [0]
        if not _FILE.fullmatch(f"{name}.age") or self.disk.size(path) is None:
            raise BackupError(f"there is no backup {name[:20]}", hint="otaru agent backups lists them.")

        def read(size: int) -> bytes:
            found = self.disk.read_at(path, at[0], size)
            at[0] += len(found)
            return found

        flow = Flow(age.opened(read, self.identity))
        try:
            with tarfile.open(fileobj=flow, mode="r|") as archive:
                yield archive, flow.rest()
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise BackupError(f"backup {name} is broken: {error}") from None

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}.age"


def own_identity(disk: Disk, path: str) -> age.Identity:
    """The device's own key; made where there is none."""
    if disk.size(path) is None:
        make_folders(disk, parent(path))
        replace(disk, path, f"{age.Identity.new()}\n".encode())
    return age.Identity.parse(disk.read_at(path, 0, 4096).decode(errors="replace"))
