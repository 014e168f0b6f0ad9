"""Doubles of the programs that installers work with, on a model disk: a maker's script, dpkg, SWUpdate, RAUC.

They are none of them; each does to the disk and says what is seen of the real one, as far as our installers look: the real ones
are in tests/contract and in tests/power/test_killed_programs.py. Whatever they do is a point at which power may go: they have
been called and have done nothing (`begins`), each write, all is done and nobody was told (`ended`). dpkg syncs its database and
the files' bytes, as the real one does; nothing else that they write is synced.

When the agent alone is ended (`Fate.ALONE`) programs that it waits for end with it or, at an odd seed, finish; services go on.
"""

import errno
import json
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from otaru.adapters.board.disk import make_folders, replace
from otaru.adapters.board.program import Ended
from otaru.errors import InstallError
from tests.support.modeldisk import ModelDisk

STEP = 16 * 1024
_OLD = "old"


def a_deb(version: str, payload: bytes, *, configures: bool = True) -> bytes:
    """What the double of dpkg takes for a package."""
    return f"Package: app\nVersion: {version}\nConfigures: {configures}\n\n".encode() + payload


@dataclass
class Doubles:
    """`adapters.board.program.Programs` of one device, from one start of the agent to the next."""

    disk: ModelDisk
    booted: str = "a"
    rejects: str = ""
    """Why services do not take what they are given."""
    locked: int = 0
    """So often dpkg finds that another one works."""
    waits: int = 0
    """How often somebody waited for a service."""
    unfinished: "tuple[Sequence[str], Mapping[str, str]] | None" = None
    running: str = ""
    """The version that was restarted; empty: what the link led to when the power came."""
    swupdate: tuple[int, int] = (0, 0)
    """What the daemon does, and how the last installation ended."""
    installing: str = ""
    """The bundle that RAUC is at, and then how that ended."""
    rauc_error: str = ""

    # `Programs`

    def ended(self, words: Sequence[str], timeout_s: float, more: Mapping[str, str] | None = None) -> Ended:  # noqa: ARG002
        told = dict(more or {})
        if (said := self._asked(words, told)) is not None:
            return said
        self.unfinished = words, told
        try:
            self.disk.point(f"{words[0]} begins")
        except OSError as error:
            self.unfinished = None
            raise InstallError(f"{words[0]}: {error.strerror}") from None
        try:
            done = self._act(words, told)
        except OSError as error:
            done = Ended(1, f"{words[0]}: {error.strerror}")
        with suppress(OSError):  # of its last word nothing is on a disk
            self.disk.point(f"{words[0]} ended")
        self.unfinished = None
        return done

    def answer(self, door: str, question: bytes, length: int) -> bytes | None:  # noqa: ARG002
        return struct.pack("=iiiii2048s", 0x14052001, 4, *self.swupdate, 0, b"").ljust(length, b"\0")

    def settle(self) -> None:
        self.disk.sync_all()

    def pause(self, seconds: float) -> None:  # noqa: ARG002
        self.waits += 1

    # What becomes of them

    def power_gone(self) -> None:
        """Nobody remembers anything."""
        self.unfinished, self.swupdate, self.installing, self.rauc_error = None, (0, 0), "", ""
        self.running = ""

    def agent_gone(self, *, finish: bool) -> None:
        """The agent alone was ended: what it waited for ends with it, or comes to its end."""
        words, told = self.unfinished or ((), {})
        self.unfinished = None
        cuts, self.disk.cuts = self.disk.cuts, frozenset()
        if words and finish:
            self._act(words, told)
        elif words and words[0] == "swupdate-client" and self.swupdate[0]:
            self.swupdate = 0, 4  # the rest of the file never came
        if self.installing and finish:
            self._rauc_works()
        self.disk.cuts = cuts

    def _asked(self, words: Sequence[str], told: Mapping[str, str]) -> Ended | None:
        """What a program says that changes nothing; None: it is none of these."""
        match list(words):
            case ["web", "standing"]:
                runs = self.disk.target("/opt/web/now") == told["OTARU_SHA256"]
                return Ended(0, "runs\n" if runs else "absent\n")
            case ["dpkg-deb", "--field", path, name]:
                head, _ = self._package(path)
                return Ended(0, head.get(name, "") + "\n")
            case ["dpkg-query", *_]:
                status, version = self._status()
                return Ended(0, f"{status} {version}") if status else Ended(1, "no packages found")
            case ["busctl", *_, "GetSlotStatus"]:
                slots = [(slot, {"bootname": slot, "state": self._state(slot)}) for slot in "ab"]
                data = [[name, {key: {"type": "s", "data": said} for key, said in is_.items()}] for name, is_ in slots]
                return Ended(0, json.dumps({"data": [data]}))
        return None

    def _act(self, words: Sequence[str], told: Mapping[str, str]) -> Ended:
        match list(words):
            case ["web", verb]:
                self._web(verb, told)
                return Ended(0, "")
            case ["restart"]:
                self.running = self.disk.target("/opt/app/current") or ""
                return Ended(0, "")
            case ["dpkg", *_, "--install", path]:
                return self._dpkg_installs(path)
            case ["dpkg", *_, "--remove", _]:
                return self._dpkg_removes()
            case ["swupdate-client", "-e", selection, path]:
                return self._swupdate(f"/slots/{selection[-1]}", path)
            case ["busctl", *_, "InstallBundle", "sa{sv}", path, "0"]:
                self.installing, self.rauc_error = path, ""
                return Ended(0, "")
            case ["busctl", *_, "get-property", _, _, _, "Operation", "LastError"]:
                return self._rauc_says()
        raise AssertionError(f"no double knows {words}")

    def _copy(self, path: str, data: bytes) -> None:
        """Over what is there, not synced."""
        for offset in range(0, len(data), STEP):
            self.disk.write_at(path, offset, data[offset : offset + STEP])
        self.disk.truncate(path, len(data))

    # A maker's script that keeps to the port, and syncs nothing

    def _web(self, verb: str, told: Mapping[str, str]) -> None:
        disk, name = self.disk, told["OTARU_SHA256"]
        now = disk.target("/opt/web/now")
        if verb == "install" and now != name:
            if now is not None:
                self._relink("/opt/web/before", now)
            self._copy(f"/opt/web/{name}", self._read(told["OTARU_FILE"]))
        elif verb == "activate" and now != name:
            self._relink("/opt/web/now", name)
        elif verb == "revert" and now == name:
            self._relink("/opt/web/now", disk.target("/opt/web/before") or _OLD)

    def _relink(self, path: str, target: str) -> None:
        self.disk.remove(f"{path}.new")
        self.disk.link(f"{path}.new", target)
        self.disk.rename(f"{path}.new", path)

    # dpkg

    def _package(self, path: str) -> tuple[dict[str, str], bytes]:
        head, _, payload = self._read(path).partition(b"\n\n")
        return dict(line.split(": ", 1) for line in head.decode().splitlines()), payload

    def _status(self) -> tuple[str, str]:
        if self.disk.size("/var/lib/dpkg/status") is None:
            return "", ""
        status, _, version = self._read("/var/lib/dpkg/status").decode().partition(" ")
        return status, version

    def _note(self, said: str) -> None:
        replace(self.disk, "/var/lib/dpkg/status", said.encode())

    def _dpkg_installs(self, path: str) -> Ended:
        disk = self.disk
        if self.locked:
            self.locked -= 1
            return Ended(2, "dpkg: error: dpkg frontend lock was locked by another process with pid 4711")
        head, payload = self._package(path)
        self._note(f"half-installed {head['Version']}")
        disk.remove("/usr/app/bin.dpkg-new")
        self._copy("/usr/app/bin.dpkg-new", payload)
        disk.sync("/usr/app/bin.dpkg-new")
        disk.rename("/usr/app/bin.dpkg-new", "/usr/app/bin")  # dpkg does not sync the folder
        self._note(f"unpacked {head['Version']}")
        if head["Configures"] != "True":
            self._note(f"half-configured {head['Version']}")
            return Ended(1, "dpkg: error processing package app (--install): postinst ended with 1")
        self._copy("/etc/app.conf", head["Version"].encode())  # by its postinst
        self._note(f"installed {head['Version']}")
        return Ended(0, "")

    def _dpkg_removes(self) -> Ended:
        self._note("half-installed ")
        for path in ("/usr/app/bin.dpkg-new", "/usr/app/bin"):
            self.disk.remove(path)
        self.disk.remove("/var/lib/dpkg/status")
        self.disk.sync_folder("/var/lib/dpkg")
        return Ended(0, "")

    # SWUpdate: the client waits until the daemon has written the slot

    def _swupdate(self, slot: str, path: str) -> Ended:
        self.swupdate = 1, self.swupdate[1]
        try:
            self._write(slot, path)
        except OSError as error:
            self.swupdate = 0, 4
            return Ended(1, f"Status: 4 message: ERROR : {error.strerror}\nStatus: 0 message: \n")
        self.swupdate = 0, 3
        return Ended(
            0, "Status: 1 message: Software Update started !\nStatus: 3 message: SUCCESS\nStatus: 0 message: \n"
        )

    def _write(self, slot: str, bundle: str) -> None:
        if self.rejects:
            raise OSError(errno.EINVAL, self.rejects)
        self._copy(slot, self._read(bundle))

    # RAUC: its service works while it is asked what it is at

    def _state(self, slot: str) -> str:
        return "booted" if slot == self.booted else "inactive"

    def _rauc_says(self) -> Ended:
        now = "idle"
        if self.installing:
            now = "installing"
            self._rauc_works()
        said = [{"type": "s", "data": now}, {"type": "s", "data": self.rauc_error}]
        return Ended(0, "\n".join(map(json.dumps, said)) + "\n")

    def _rauc_works(self) -> None:
        slot = f"/slots/{'b' if self.booted == 'a' else 'a'}"
        try:
            self._write(slot, self.installing)
        except OSError as error:
            self.rauc_error = str(error.strerror)
        self.installing = ""

    def _read(self, path: str) -> bytes:
        return self.disk.read_at(path, 0, 1 << 30)


def scripted(disk: ModelDisk, app: bytes) -> None:
    """A new device's app as the script keeps it."""
    make_folders(disk, "/opt/web")
    replace(disk, f"/opt/web/{_OLD}", app)
    disk.link("/opt/web/now", _OLD)
    disk.sync_folder("/opt/web")


def packaged(disk: ModelDisk, app: bytes) -> None:
    """A new device's app as dpkg has installed it from a file that is kept; empty: none is installed."""
    for folder in ("/var/lib/dpkg", "/usr/app", "/etc"):
        make_folders(disk, folder)
    disk.remove("/opt/app/versions/old/app.bin")
    if app:
        replace(disk, "/opt/app/versions/old/app.deb", a_deb("1.0.0", app))
        replace(disk, "/usr/app/bin", app)
        replace(disk, "/etc/app.conf", b"1.0.0")
        replace(disk, "/var/lib/dpkg/status", b"installed 1.0.0")
    else:
        disk.remove("/opt/app/current")
    disk.sync_all()
