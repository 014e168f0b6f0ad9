"""U-Boot's environment, by the tools of libubootenv: which of two slots it starts (docs/bootloaders.md has its script).

The variables are those of RAUC's backend for U-Boot, so both can speak to one environment:

    BOOT_ORDER      the slots that may be started, the first one first; not set: `a b`
    BOOT_a_LEFT     starts that are left to slot a, hexadecimal as U-Boot counts; not set: it is good, and not counted

A good slot is not counted, so a device that is not being updated writes nothing when it starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from tempfile import NamedTemporaryFile

from otaru.adapters.board.bootloaders import SLOTS, other
from otaru.adapters.board.disk import Disk
from otaru.adapters.board.program import ended, run
from otaru.errors import InstallError, InvalidInputError
from otaru.ports.board import Slot

ORDER = "BOOT_ORDER"
LEFT = {slot: f"BOOT_{slot}_LEFT" for slot in SLOTS}
MAX_CONFIG = 16 * 1024
COPIES = 2
SECTOR = 512
"""What a disk writes whole or not at all."""


@dataclass(frozen=True, slots=True)
class Order:
    """What stands in the environment."""

    slots: tuple[Slot, ...] = SLOTS
    left: Mapping[Slot, int] = field(default_factory=dict)

    @property
    def startable(self) -> list[Slot]:
        """Those that U-Boot would try, the first one first."""
        return [slot for slot in self.slots if self.left.get(slot, 1) > 0]

    def without(self, slot: Slot) -> "Order":
        """The same, and the slot is not started; the other one is there to be started without end."""
        rest = tuple(one for one in self.slots if one != slot) or (other(slot),)
        return Order(rest)


class UbootBootloader:
    """`ports.board.Bootloader` in U-Boot's environment. Each change is one `fw_setenv -s`: all variables in one write.

    With two copies (`fw_env.config` has two lines) it goes to the one that is not in use, and is used from its last byte on:
    a torn write leaves the other copy. `started` is the slot that runs, from the kernel's command line.
    """

    def __init__(self, config: str, started: Slot, timeout_s: float = 20) -> None:
        self._config = config
        self._started = started
        self._timeout_s = timeout_s

    def current(self) -> Slot:
        return self._started

    def primary(self) -> Slot:
        startable = self._load().startable
        if not startable:
            raise InstallError(f"no slot is left to start: {ORDER} in the environment of {self._config}")
        return startable[0]

    def arm(self, slot: Slot, trials: int) -> None:
        self._put(Order((slot, other(slot)), {slot: trials}))

    def confirm(self, slot: Slot) -> None:
        order = self._load()
        spare = other(slot)
        # The other one stays behind it for the case that this one cannot be loaded, but only where it was good.
        good = spare in order.slots and spare not in order.left
        self._put(Order((slot, spare) if good else (slot,)))

    def condemn(self, slot: Slot) -> None:
        if slot == self._started:
            raise InstallError(f"slot {slot} runs: it is not written")
        self._put(self._load().without(slot))

    def _load(self) -> Order:
        names = (ORDER, *LEFT.values())
        done = ended(["fw_printenv", "-c", self._config, *names], self._timeout_s)
        said = dict(line.split("=", 1) for line in done.said.splitlines() if line.partition("=")[0] in names)
        unset = [name for name in names if name not in said]
        # Of a variable that is not set some versions say so and fail, others print nothing after its name.
        if done.code != 0 and not (unset and all(f'"{name}" not defined' in done.said for name in unset)):
            raise InstallError(f"U-Boot's environment cannot be read by {self._config}: fw_printenv: {done.end}")
        return _order(said)

    def _put(self, order: Order) -> None:
        if order == self._load():
            return  # flash wears out
        lines = {ORDER: " ".join(order.slots)}
        for slot, name in LEFT.items():
            lines[name] = f"{order.left[slot]:x}" if slot in order.left else ""
        with NamedTemporaryFile("w", prefix="otaru-") as script:
            script.writelines(f"{name}={value}\n" for name, value in lines.items())
            script.flush()
            run(["fw_setenv", "-c", self._config, "-s", script.name], self._timeout_s)
        if (now := self._load()) != order:
            raise InstallError(f"U-Boot's environment did not take what was written: {now.slots}, {dict(now.left)}")


def check(disk: Disk, config: str) -> None:
    """Whether no cut in a write to the environment can lose it: there are two copies, or it is one sector.

    Raises:
        InvalidInputError: it can, or `config` cannot be read.
    """
    try:
        text = disk.read_at(config, 0, MAX_CONFIG).decode(errors="replace")
    except OSError as error:
        raise InvalidInputError(f"{config}: {error.strerror}") from None
    copies = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    try:
        sizes = [int(words[2], 0) for words in copies]
    except (IndexError, ValueError):
        raise InvalidInputError(f"{config}: each line is a device, an offset and a size") from None
    if len(sizes) != COPIES and sizes != [SECTOR]:
        raise InvalidInputError(
            f"{config}: a power cut could lose U-Boot's environment: it is in {len(sizes)} place(s)",
            hint="Keep two copies of it, or what stands in one sector of 512 bytes (docs/bootloaders.md).",
        )


def _order(said: Mapping[str, str]) -> Order:
    slots = tuple(said.get(ORDER, "").split()) or SLOTS
    if len(set(slots)) < len(slots) or not set(slots) <= set(SLOTS):
        raise InstallError(f"{ORDER} is {said[ORDER][:100]!r}: its slots are called a and b")
    left = {}
    for slot, name in LEFT.items():
        if text := said.get(name, "").strip():
            try:
                left[slot] = int(text, 16)
            except ValueError:
                raise InstallError(f"{name} is {text[:100]!r}, not a number") from None
    return Order(slots, left)
