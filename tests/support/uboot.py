"""Debian's U-Boot in QEMU with two slots that are disks, and libubootenv's tools on files."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.ddi import eventually

UBOOT = Path("/usr/lib/u-boot/qemu_arm/u-boot.bin")
SCRIPT = Path(__file__).parents[2] / "docs/examples/boot/uboot.cmd"
STATE = "BOOT_ORDER BOOT_a_LEFT BOOT_b_LEFT"

# What a board's maker defines. Debian's QEMU 7.2 cannot write its flash in the way that U-Boot does (qemu issue 2343):
# so what U-Boot changes is a disk of one sector, and its own environment is read-only.
_BOARD = f"""bootdelay=0
scriptaddr=0x40200000
stateaddr=0x40100000
slotaddr=0x40300000
bootcmd=virtio scan; load virtio 0 ${{scriptaddr}} boot.scr && source ${{scriptaddr}}
boot_load=virtio dev 3 && virtio read ${{stateaddr}} 0 1 && env import -d -c ${{stateaddr}} 200 {STATE}
boot_save=env export -c -s 200 ${{stateaddr}} {STATE} && virtio dev 3 && virtio write ${{stateaddr}} 0 1
boot_slot=n=1; if test ${{slot}} = b; then n=2; fi; load virtio ${{n}} ${{slotaddr}} slot.scr && source ${{slotaddr}}
"""
_FLASH = 64 * 1024 * 1024


def missing_tools() -> str:
    """Why the tools cannot run here; empty: they can."""
    return _lacking("fw_printenv", "fw_setenv")


def missing() -> str:
    """Why a U-Boot cannot run here; empty: it can."""
    if not UBOOT.exists():
        return f"there is no {UBOOT} (apt install u-boot-qemu)"
    return _lacking("fw_setenv", "qemu-system-arm", "mkimage", "mkenvimage", "mkfs.vfat", "mcopy")


def environment(folder: Path, size: int = 0x400, copies: int = 2, values: Mapping[str, str] | None = None) -> Path:
    """A new environment in a file, and its `fw_env.config`."""
    env, config, initial = folder / "env", folder / "fw_env.config", folder / "initial"
    env.write_bytes(bytes(size * copies))
    config.write_text("# Device Offset Size\n" + "".join(f"{env} {n * size:#x} {size:#x}\n" for n in range(copies)))
    initial.write_text("".join(f"{name}={value}\n" for name, value in (values or {"BOOT_ORDER": "a b"}).items()))
    run("fw_setenv", "-c", config, "-f", initial, "-s", initial)
    return config


def run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=_path())
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def environment_of(folder: Path) -> dict[str, str]:
    """What stands in it."""
    lines = run("fw_printenv", "-c", folder / "fw_env.config").splitlines()
    return dict(line.split("=", 1) for line in lines)


def told(console: str) -> list[str]:
    """Which slots were chosen, and what ran then."""
    lines = [line.strip() for line in console.splitlines()]
    return [line for line in lines if line.startswith("otaru: ") or line.endswith(" runs")]


def image(path: Path, name: str, lines: str) -> bytes:
    """A disk with a file system that holds one script of U-Boot."""
    source, script = path.with_suffix(".cmd"), path.with_suffix(".scr")
    source.write_text(lines)
    run("mkimage", "-A", "arm", "-T", "script", "-C", "none", "-n", name, "-d", source, script)
    path.write_bytes(bytes(256 * 1024))
    run("mkfs.vfat", "-i", "12345678", path)
    run("mcopy", "-i", path, script, f"::{name}.scr")
    return path.read_bytes()


@dataclass
class Machine:
    """A device: a disk with the boot script, one for each slot, and one sector of state."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "fw_env.config"

    def build(self) -> None:
        """As it leaves the factory."""
        image(self.folder / "boot", "boot", SCRIPT.read_text())
        (self.folder / "board").write_text(_BOARD)
        run("mkenvimage", "-s", "0x40000", "-o", self.folder / "flash", self.folder / "board")
        os.truncate(self.folder / "flash", _FLASH)
        environment(self.folder, 512, 1)

    def slot(self, name: str) -> Path:
        return self.folder / name

    def boot(self, until: str | None = None, timeout_s: float = 100) -> str:
        """Power it on, and return what it printed until it powered itself off; `until`: or until power is cut there."""
        console = self.folder / "console"
        words = ["qemu-system-arm", "-M", "virt", "-nographic", "-net", "none", "-bios", str(UBOOT)]
        words += ["-drive", f"if=pflash,format=raw,index=1,readonly=on,file={self.folder / 'flash'}"]
        for number, file in reversed(list(enumerate(["boot", "a", "b", "env"]))):  # the last one is U-Boot's first
            words += ["-drive", f"if=none,id=d{number},format=raw,cache=directsync,file={self.folder / file}"]
            words += ["-device", f"virtio-blk-device,drive=d{number}"]
        with console.open("wb") as output:
            machine = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            if until is None:
                assert machine.wait(timeout_s) == 0, console.read_text(errors="replace")
            else:
                eventually(lambda: until in console.read_text(errors="replace"), timeout_s)
        finally:
            machine.kill()
            machine.wait()
        return console.read_text(errors="replace")


def _lacking(*programs: str) -> str:
    lacking = [program for program in programs if shutil.which(program, path=_path()["PATH"]) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def _path() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
