"""Debian's RAUC, unmodified: its service on a bus of its own, two slots that are files, and a bootloader by a script."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import swu
from tests.support.ddi import eventually

_PROGRAMS = ("rauc", "busctl", "dbus-daemon", "mksquashfs", "unshare")

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>
"""

_SYSTEM = """[system]
compatible=otaru-tests
bootloader=custom
activate-installed={activate}
statusfile={folder}/status
mountprefix={folder}/mnt
bundle-formats=plain verity
[handlers]
bootloader-custom-backend={folder}/loader
[keyring]
path={certificate}
[slot.rootfs.0]
device={folder}/a
type=raw
bootname=a
[slot.rootfs.1]
device={folder}/b
type=raw
bootname=b
"""

_LOADER = """#!/bin/sh
# A bootloader of a few files, with the commands that RAUC and the agent have in common.
cd "$(dirname "$0")" || exit 1
case "$1" in
get-current) cat current;;
get-primary) cat first;;
get-state) cat "state-$2";;
set-primary) echo "$2" > first; echo good > "state-$2";;
set-state) echo "$3" > "state-$2"
    if [ "$3" = bad ] && [ "$(cat first)" = "$2" ]; then [ "$2" = a ] && echo b > first || echo a > first; fi;;
*) exit 2;;
esac
"""


def missing() -> str:
    """Why it cannot run here; empty: it can."""
    if absent := [name for name in _PROGRAMS if shutil.which(name) is None]:
        return f"no {absent[0]} here: apt-get install rauc squashfs-tools dbus-daemon"
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        return "RAUC mounts bundles, which needs root"
    return "" if Path("/dev/loop-control").exists() else "RAUC mounts bundles, and there are no loop devices"


@dataclass
class Rauc:
    """One device."""

    folder: Path
    signer: swu.Signer
    _running: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def configure(self, *, activate: bool = False) -> None:
        """Write its configuration."""
        folder, certificate = self.folder, self.signer.certificate
        told = _SYSTEM.format(folder=folder, certificate=certificate, activate=str(activate).lower())
        (folder / "system.conf").write_text(told)

    def start(self) -> None:
        """Power comes: the bootloader starts a slot, and the service in it knows which."""
        slot = (self.folder / "first").read_text().strip()
        (self.folder / "current").write_text(slot + "\n")
        self._run("dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork")
        eventually((self.folder / "bus").exists, 20, self.said)
        self._run("rauc", "-c", f"{self.folder}/system.conf", f"--override-boot-slot={slot}", "service")
        eventually(self._up, 20, self.said)

    def stop(self) -> None:
        """Power goes."""
        for process in reversed(self._running):
            process.kill()
            process.wait()
        self._running.clear()
        (self.folder / "bus").unlink(missing_ok=True)

    def bundle(self, image: bytes, version: str, by: swu.Signer | None = None) -> bytes:
        """A signed bundle, in the plain form: the other ones need the kernel's device mapper."""
        by = by or self.signer
        tree, made = self.folder / "tree", self.folder / f"{version}.raucb"
        shutil.rmtree(tree, ignore_errors=True)
        made.unlink(missing_ok=True)
        tree.mkdir()
        (tree / "rootfs.img").write_bytes(image)
        (tree / "manifest.raucm").write_text(
            f"[update]\ncompatible=otaru-tests\nversion={version}\n[image.rootfs]\nfilename=rootfs.img\n"
        )
        words = ["rauc", f"--cert={by.certificate}", f"--key={by.key}", f"--keyring={by.certificate}", "bundle"]
        subprocess.run([*words, tree, made], check=True, capture_output=True)
        return made.read_bytes()

    def said(self) -> str:
        """The end of its log."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-40:])

    def _run(self, *words: str) -> None:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **self.environment})
        self._running.append(process)

    @property
    def environment(self) -> dict[str, str]:
        """Where its bus is."""
        return {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.folder}/bus"}

    def _up(self) -> bool:
        words = ["busctl", "--system", "status", "de.pengutronix.rauc"]
        env = {**os.environ, **self.environment}
        return subprocess.run(words, check=False, capture_output=True, env=env).returncode == 0


@contextmanager
def rauc(folder: Path) -> Iterator[Rauc]:
    """A device that is not started yet."""
    made = Rauc(folder, swu.signer(folder))
    (folder / "bus.conf").write_text(_BUS.format(folder=folder))
    (folder / "loader").write_text(_LOADER)
    (folder / "loader").chmod(0o755)
    for name, said in (("first", "a"), ("current", "a"), ("state-a", "good"), ("state-b", "good")):
        (folder / name).write_text(said + "\n")
    for slot in "ab":
        (folder / slot).write_bytes(b"old".ljust(1 << 20, b"\0"))
    made.configure()
    try:
        yield made
    finally:
        made.stop()
