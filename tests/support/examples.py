"""The examples of docs/bootloaders.md: GRUB's and systemd-boot's slots by scripts, and what starts them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from otaru.adapters.board.bootloaders import ScriptBootloader

EXAMPLES = Path(__file__).parents[2] / "docs/examples/boot"
_LINES = {slot: f"BOOT_IMAGE=/vmlinuz root=LABEL=root_{slot} ro otaru.slot={slot} panic=10\n" for slot in "ab"}


def missing_grub() -> str:
    """Why GRUB's block cannot be edited here; empty: it can."""
    return "" if shutil.which("grub-editenv") else "not installed: grub-editenv (apt install grub-common)"


def missing_emulator() -> str:
    """Why GRUB itself cannot run here; empty: it can."""
    lacking = [name for name in ("grub-emu", "grub-editenv", "script", "mcopy") if not shutil.which(name)]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def command_line(folder: Path, started: str) -> Path:
    (folder / "cmdline").write_text(_LINES[started])
    return folder / "cmdline"


def grub(folder: Path, started: str = "a") -> ScriptBootloader:
    """GRUB's slots; the block is made where there is none."""
    block = folder / "otaru.env"
    if not block.exists():
        subprocess.run(["grub-editenv", block, "create"], check=True)
        subprocess.run(["grub-editenv", block, "set", "order=a b"], check=True)
    told = [f"OTARU_GRUB_BLOCK={block}", f"OTARU_CMDLINE={command_line(folder, started)}"]
    return ScriptBootloader(["env", *told, str(EXAMPLES / "grub")])


def systemd_boot(folder: Path, started: str = "a") -> ScriptBootloader:
    """systemd-boot's entries; made where there are none."""
    entries = folder / "entries"
    if not entries.exists():
        entries.mkdir()
        (entries / "debian.conf").write_text("title another\n")
        for number, slot in ((2, "a"), (1, "b")):
            (entries / f"otaru-{number}-{slot}.conf").write_text(f"linux /{slot}/linux\noptions otaru.slot={slot}\n")
    told = [f"OTARU_ENTRIES={entries}", f"OTARU_CMDLINE={command_line(folder, started)}"]
    return ScriptBootloader(["env", *told, str(EXAMPLES / "systemd-boot")])


def start_grub(folder: Path) -> str:
    """Real GRUB in its emulator, over a disk with the block on it: which entry it would start, and after it which."""
    disk, config = folder / "disk.img", folder / "grub"
    disk.write_bytes(bytes(256 * 1024))
    config.mkdir(exist_ok=True)
    example = (EXAMPLES / "grub.cfg").read_text()
    text = f'insmod fat\nset otaru=(hd0)/otaru.env\n{example}\necho\necho "chosen=$default,$fallback."\nexit\n'
    (config / "grub.cfg").write_text(text)
    (folder / "map").write_text(f"(hd0) {disk}\n")
    subprocess.run(["/usr/sbin/mkfs.vfat", disk], check=True, capture_output=True)
    subprocess.run(["mcopy", "-i", disk, folder / "otaru.env", "::otaru.env"], check=True)
    emulator = f"grub-emu -d {config} -m {folder / 'map'}"  # it wants a terminal
    done = subprocess.run(
        ["script", "-qec", emulator, "/dev/null"], capture_output=True, timeout=60, check=True, stdin=subprocess.DEVNULL
    )
    subprocess.run(["mcopy", "-n", "-i", disk, "::otaru.env", folder / "otaru.env"], check=True)
    said = done.stdout.decode(errors="replace")
    assert "chosen=" in said, said
    return said.rpartition("chosen=")[2].partition(".")[0]


def bootctl() -> str | None:
    """systemd's program that reads entries in systemd-boot's order (of Debian's systemd-boot; .ci/run unpacks it)."""
    return os.environ.get("OTARU_BOOTCTL") or shutil.which("bootctl")


def missing_bootctl() -> str:
    """Why it cannot run here; empty: it can."""
    if bootctl() is None:
        return "not installed: bootctl (apt install systemd-boot, or OTARU_BOOTCTL)"
    alone = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
    return "it wants a file system of its own, which only root mounts" if alone.returncode else ""


def first_by_bootctl(folder: Path) -> str:
    """Which slot systemd says is first in line."""
    esp = folder / "esp"
    esp.mkdir(exist_ok=True)
    lines = f"""mount -t tmpfs none {esp} && mkdir -p {esp}/EFI {esp}/a {esp}/b {esp}/loader && touch {esp}/a/linux {esp}/b/linux
    cp -r {folder}/entries {esp}/loader/ && {bootctl()} --esp-path={esp} --no-pager --json=short list"""
    relaxed = {**os.environ, "SYSTEMD_RELAX_ESP_CHECKS": "1"}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", lines], check=True, capture_output=True, text=True, env=relaxed
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return str(next(one["options"] for one in found if "otaru.slot=" in one.get("options", ""))[-1])


def start_systemd_boot(folder: Path) -> str:
    """A double of systemd-boot: its order of entries, and its counting, as the Boot Loader Specification has them."""

    def order(path: Path) -> tuple[bool, int]:
        counted = path.stem.partition("+")[2].partition("-")[0]
        return counted != "0", int(path.stem.split("-")[1])

    first = max((folder / "entries").glob("otaru-*.conf"), key=order)
    name, _, counts = first.stem.partition("+")
    left, _, done = counts.partition("-")
    if left and left != "0":
        first.rename(first.with_name(f"{name}+{int(left) - 1}-{int(done or 0) + 1}.conf"))
    return name.split("-")[2]
