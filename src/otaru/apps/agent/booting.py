"""What starts the device's slots, and which of them it was."""

from otaru.adapters.board.bootloaders import SLOTS, FileBootloader, ScriptBootloader
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.uboot import UbootBootloader, check
from otaru.apps.agent.settings import Boot
from otaru.errors import InvalidInputError
from otaru.ports.board import Bootloader, Slot

COMMAND_LINE = "/proc/cmdline"
MAX_LINE = 16 * 1024
_NAMES = frozenset({"otaru.slot", "rauc.slot"})


def bootloader(boot: Boot, disk: LocalDisk) -> Bootloader:
    """What starts slots.

    Raises:
        InvalidInputError: it does not say which slot runs, or a power cut could lose what it decides by.
    """
    if boot.kind == "script":
        return ScriptBootloader(boot.script, boot.timeout_s)
    if boot.kind == "uboot":
        check(disk, boot.environment)
        return UbootBootloader(boot.environment, started(disk, boot.started or COMMAND_LINE), boot.timeout_s)
    assert boot.path is not None  # noqa: S101 - `settings.read` has seen to it
    assert boot.started is not None  # noqa: S101
    return FileBootloader(disk, boot.path, started(disk, boot.started))


def started(disk: LocalDisk, path: str) -> Slot:
    """Which slot runs: a file that says `a` or `b`, or a kernel's command line with `otaru.slot=a`.

    Raises:
        InvalidInputError: it does not say so.
    """
    there = disk.size(path) is not None
    said = disk.read_at(path, 0, MAX_LINE).decode(errors="replace").strip() if there else ""
    told = [word.partition("=")[2] for word in said.split() if word.partition("=")[0] in _NAMES]
    slot = told[-1] if told else said
    if slot not in SLOTS:
        raise InvalidInputError(f"{path}: it says {slot[:100]!r}, not which slot was started: a or b")
    return slot
