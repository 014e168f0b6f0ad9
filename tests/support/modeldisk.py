"""A disk as bad as the rules allow: what was not synced when the power goes may be there, in part, or not, in any order.

- A write is lost, kept or torn on its own, whatever became of earlier ones: only `sync` of the file binds them.
- A name that came, went or changed is what it was before until its folder is synced; in one folder names change in order.
- A length may survive without its bytes, which then are zeros.

Every operation that changes something is a *point*. At those that `cuts` names the power goes (before it takes effect;
with what was unsynced then, by `fate`), or `fault` is raised. Deterministic: the same seed leaves the same disk.
"""

import errno
import os
import random
import stat
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum

from otaru.adapters.board.disk import Status


class PowerCut(BaseException):
    """The power is gone. No `except Exception` sees it."""


class Fate(StrEnum):
    """What becomes of what was not synced."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"
    """Each write and each change of names by chance: kept, lost, or a part of it."""
    ALONE = "alone"
    """It is no power cut: the agent alone is ended, nothing is lost. Other programs stop with it, or go on (an odd seed)."""


@dataclass
class File:
    now: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    """Writes since the last sync; a truncation is (size, None)-like: offset -1."""
    mode: int = 0o600


@dataclass
class Link:
    target: str


@dataclass
class Folder:
    now: "dict[str, Node]" = field(default_factory=dict)
    synced: "dict[str, Node]" = field(default_factory=dict)
    pending: "list[tuple[str, str, Node | None]]" = field(default_factory=list)
    mode: int = 0o755


Node = File | Link | Folder
_TRUNCATE = -1


@dataclass
class ModelDisk:
    """`adapters.board.disk.Disk` in memory."""

    root: Folder = field(default_factory=Folder)
    points: int = 0
    """Operations that changed something so far."""
    cuts: frozenset[int] = frozenset()
    """Points at which the power goes."""
    fate: Fate = Fate.LOST
    seed: int = 0
    fault: int | None = None
    """Instead of a cut: this errno."""
    trace: list[str] = field(default_factory=list)
    """What each point was."""
    where: Callable[[], str] = str
    """Says what the agent is at, for the trace."""

    # What is there

    def size(self, path: str) -> int | None:
        found = self._find(path)
        return len(found.now) if isinstance(found, File) else None

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        return bytes(self._file(path).now[offset : offset + length])

    def target(self, path: str) -> str | None:
        found = self._look(path)
        return found.target if isinstance(found, Link) else None

    def names(self, path: str) -> list[str]:
        found = self._find(path)
        return sorted(found.now) if isinstance(found, Folder) else []

    def is_folder(self, path: str) -> bool:
        return isinstance(self._look(path), Folder)

    def status(self, path: str) -> Status | None:
        match self._look(path):
            case File(mode=mode):
                return Status(stat.S_IFREG | mode, 0, 0)
            case Folder(mode=mode):
                return Status(stat.S_IFDIR | mode, 0, 0)
            case Link():
                return Status(stat.S_IFLNK | 0o777, 0, 0)
        return None

    def own(self, path: str, user: int, group: int) -> None:
        raise PermissionError(f"{path} is not given to {user}:{group}: here all is one user's")

    # What changes

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        self._point(f"write {path}")
        found = self._find(path)
        if found is None:
            found = File()
            self._name(path, "set", found)
        assert isinstance(found, File), path
        _apply(found.now, offset, data)
        found.pending.append((offset, bytes(data)))

    def truncate(self, path: str, size: int) -> None:
        self._point(f"truncate {path}")
        found = self._file(path)
        if size == len(found.now):
            return
        _resize(found.now, size)
        found.pending.append((_TRUNCATE, size.to_bytes(8, "big")))

    def mode(self, path: str, mode: int) -> None:
        self._point(f"mode {path}")
        found = self._find(path)
        assert isinstance(found, File | Folder), path
        found.mode = mode

    def sync(self, path: str) -> None:
        self._point(f"sync {path}")
        found = self._file(path)
        found.synced, found.pending = bytes(found.now), []

    def sync_folder(self, path: str) -> None:
        self._point(f"sync {path}/")
        found = self._find(path)
        if not isinstance(found, Folder):
            raise FileNotFoundError(path)
        found.synced, found.pending = dict(found.now), []

    def rename(self, old: str, new: str) -> None:
        self._point(f"rename {old} {new.rpartition('/')[2]}")
        folder, was = self._parent(old)
        other, name = self._parent(new)
        assert folder is other, "names move within a folder only"
        if was not in folder.now:
            raise FileNotFoundError(old)
        folder.now[name] = folder.now.pop(was)
        folder.pending.append(("rename", f"{was}\0{name}", None))

    def remove(self, path: str) -> None:
        found = self._look(path)
        if found is None:
            return
        if isinstance(found, Folder) and found.now:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        self._point(f"remove {path}")
        self._name(path, "remove", None)

    def make_folder(self, path: str) -> None:
        if self.is_folder(path):
            return
        self._point(f"folder {path}")
        self._name(path, "set", Folder())

    def link(self, path: str, target: str) -> None:
        self._point(f"link {path}")
        if self._look(path) is not None:
            raise FileExistsError(path)
        self._name(path, "set", Link(target))

    def sync_all(self) -> None:
        """All that was written, and all names, are durable."""
        self.point("sync all")
        _kept(self.root)

    def point(self, what: str) -> None:
        """A moment at which something may end that is no change of the disk."""
        self._point(what)

    # The power

    def cut(self) -> None:
        """The power goes: what is there when it comes back."""
        if self.fate is Fate.ALONE:
            return
        chance = random.Random(f"{self.seed} {self.points}")
        _settle(self.root, self.fate, chance)

    def copy(self) -> "ModelDisk":
        return ModelDisk(deepcopy(self.root))

    def bytes_held(self) -> int:
        """Of all files: whether they grow."""
        return _held(self.root)

    def tree(self, path: str = "/") -> dict[str, bytes | str]:
        """Everything below a folder: contents of files, targets of links."""
        found: dict[str, bytes | str] = {}
        for name in self.names(path):
            inner = f"{path.rstrip('/')}/{name}"
            node = self._look(inner)
            if isinstance(node, Folder):
                found |= self.tree(inner)
            elif isinstance(node, File):
                found[inner] = bytes(node.now)
            elif isinstance(node, Link):
                found[inner] = node.target
        return found

    def _point(self, what: str) -> None:
        number = self.points
        self.points += 1
        self.trace.append(f"{self.where()}: {what}")
        if number not in self.cuts:
            return
        if self.fault is not None:
            raise OSError(self.fault, os.strerror(self.fault), what)
        raise PowerCut(what)

    def _name(self, path: str, what: str, node: Node | None) -> None:
        folder, name = self._parent(path)
        if node is None:
            del folder.now[name]
        else:
            folder.now[name] = node
        folder.pending.append((what, name, node))

    def _parent(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rstrip("/").rpartition("/")
        folder = self._find(above)
        if not isinstance(folder, Folder):
            raise FileNotFoundError(path)
        return folder, name

    def _look(self, path: str) -> Node | None:
        """What a name is; a link is a link."""
        above, _, name = path.rstrip("/").rpartition("/")
        if not name:
            return self.root
        folder = self._find(above)
        return folder.now.get(name) if isinstance(folder, Folder) else None

    def _find(self, path: str) -> Node | None:
        """What a name leads to."""
        found: Node | None = self.root
        at = ""
        for name in path.split("/"):
            if not name:
                continue
            at = f"{at}/{name}"
            found = found.now.get(name) if isinstance(found, Folder) else None
            if isinstance(found, Link):
                found = self._find(f"{at.rpartition('/')[0]}/{found.target}")
        return found

    def _file(self, path: str) -> File:
        found = self._find(path)
        if not isinstance(found, File):
            raise FileNotFoundError(path)
        return found


def _apply(data: bytearray, offset: int, more: bytes) -> None:
    if offset == _TRUNCATE:
        _resize(data, int.from_bytes(more, "big"))
        return
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(more)] = more


def _resize(data: bytearray, size: int) -> None:
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


def _settle(folder: Folder, fate: Fate, chance: random.Random) -> None:
    names = dict(folder.synced)
    keep = {Fate.LOST: 0, Fate.KEPT: len(folder.pending), Fate.TORN: chance.randint(0, len(folder.pending))}[fate]
    for what, name, node in folder.pending[:keep]:
        if what == "rename":
            was, new = name.split("\0")
            if was in names:
                names[new] = names.pop(was)
        elif node is None:
            names.pop(name, None)
        else:
            names[name] = node
    folder.now, folder.synced, folder.pending = names, dict(names), []
    for name in sorted(names):
        node = names[name]
        if isinstance(node, Folder):
            _settle(node, fate, chance)
        elif isinstance(node, File):
            _settle_file(node, fate, chance)


def _kept(folder: Folder) -> None:
    folder.synced, folder.pending = dict(folder.now), []
    for node in folder.now.values():
        if isinstance(node, Folder):
            _kept(node)
        elif isinstance(node, File):
            node.synced, node.pending = bytes(node.now), []


def _settle_file(file: File, fate: Fate, chance: random.Random) -> None:
    data = bytearray(file.synced)
    for offset, more in file.pending:
        if fate is Fate.KEPT:
            _apply(data, offset, more)
        elif fate is Fate.TORN:
            match chance.randrange(4):
                case 0:
                    _apply(data, offset, more)
                case 1 if offset != _TRUNCATE and more:
                    _apply(data, offset, more[: chance.randrange(len(more))])
                case 2 if offset != _TRUNCATE:
                    _apply(data, offset, bytes(len(more)))  # room was made, the bytes never came
                case _:
                    pass
    file.now, file.synced, file.pending = data, bytes(data), []


def _held(node: Node) -> int:
    if isinstance(node, File):
        return len(node.now)
    return sum(map(_held, node.now.values())) if isinstance(node, Folder) else 0
