"""What starts one of two slots: a file of ours, or whatever a script speaks to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from otaru.adapters.board.disk import Disk
from otaru.adapters.board.program import run
from otaru.adapters.board.sealed import Sealed
from otaru.errors import InstallError, JournalBrokenError
from otaru.ports.board import Slot

SLOTS = ("a", "b")


def other(slot: Slot) -> Slot:
    """The slot that is not this one."""
    return "b" if slot == "a" else "a"


@dataclass(frozen=True, slots=True)
class Boot:
    """What is started: `first`, or `trial` as long as `trials` are left."""

    first: Slot = "a"
    trial: Slot | None = None
    trials: int = 0


_boot = msgspec.json.Decoder(Boot)


class FileBootloader:
    """`ports.board.Bootloader` in a file, for whoever starts slots by a program of his own: it calls `select`.

    `started` is what `select` returned when this system was started (from the kernel's command line, say).
    """

    def __init__(self, disk: Disk, path: str, started: Slot) -> None:
        self._kept = Sealed(disk, path)
        self._started = started

    def current(self) -> Slot:
        return self._started

    def primary(self) -> Slot:
        boot = self._load()
        return boot.trial if boot.trial is not None and boot.trials > 0 else boot.first

    def arm(self, slot: Slot, trials: int) -> None:
        boot = self._load()
        if boot.first == slot:  # it is what is started anyway: the other one is what it falls back to
            boot = replace(boot, first=other(slot))
        self._put(replace(boot, trial=slot, trials=trials))

    def confirm(self, slot: Slot) -> None:
        self._put(Boot(slot))

    def condemn(self, slot: Slot) -> None:
        if slot == self._started:
            raise InstallError(f"slot {slot} runs: it is not written")
        boot = self._load()
        if boot.first == slot:
            boot = replace(boot, first=other(slot))
        if boot.trial == slot:
            boot = replace(boot, trial=None, trials=0)
        self._put(boot)

    def _load(self) -> Boot:
        return _loaded(self._kept)

    def _put(self, boot: Boot) -> None:
        if boot != self._load():
            self._kept.put(msgspec.json.encode(boot))


def select(disk: Disk, path: str) -> Slot:
    """What a bootloader does at each start: say which slot, and count a trial before it begins."""
    kept = Sealed(disk, path)
    boot = _loaded(kept)
    if boot.trial is None or boot.trials <= 0:
        return boot.first
    kept.put(msgspec.json.encode(replace(boot, trials=boot.trials - 1)))
    return boot.trial


class ScriptBootloader:
    """`ports.board.Bootloader` by a script with the commands of RAUC's custom bootloader backend.

        get-current                  prints the slot that runs
        get-primary                  prints the slot that is started next
        set-primary SLOT             start it next, for OTARU_TRIALS starts at most if it is given
        set-state SLOT good|bad      good: no longer counted; bad: not to be started

    GRUB and systemd-boot are driven by it (docs/bootloaders.md).
    """

    def __init__(self, script: Sequence[str], timeout_s: float = 20) -> None:
        self._script = tuple(script)
        self._timeout_s = timeout_s

    def current(self) -> Slot:
        return self._slot("get-current")

    def primary(self) -> Slot:
        return self._slot("get-primary")

    def arm(self, slot: Slot, trials: int) -> None:
        self._ask("set-primary", slot, trials=trials)

    def confirm(self, slot: Slot) -> None:
        # In this order: a slot that is good and not yet first is still the one to fall back to.
        self._ask("set-state", slot, "good")
        if self.primary() != slot:
            self._ask("set-primary", slot)
            self._ask("set-state", slot, "good")

    def condemn(self, slot: Slot) -> None:
        if slot == self.current():
            raise InstallError(f"slot {slot} runs: it is not written")
        self._ask("set-state", slot, "bad")

    def _slot(self, command: str) -> Slot:
        said = self._ask(command).strip()
        if said not in SLOTS:
            raise InstallError(f"{self._script[0]} {command} said {said[:100]!r}, not a or b")
        return said

    def _ask(self, *words: str, trials: int | None = None) -> str:
        more = {} if trials is None else {"OTARU_TRIALS": str(trials)}
        return run([*self._script, *words], self._timeout_s, more)


def _loaded(kept: Sealed) -> Boot:
    try:
        data = kept.load()
        return Boot() if data is None else _boot.decode(data)
    except (JournalBrokenError, msgspec.DecodeError) as error:
        raise InstallError(f"what is to be started cannot be read: {error}") from None
