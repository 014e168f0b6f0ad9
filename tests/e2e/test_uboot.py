"""Debian's U-Boot in QEMU with our boot script, and the agent's installer and bootloader beside it: trials, and what is kept."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.raw import RawInstaller
from otaru.adapters.board.staging import FolderStaging
from otaru.adapters.board.uboot import UbootBootloader
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from tests.support.uboot import Machine, image, missing, told

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
RESTARTS, POWERS_OFF, HANGS = "reset", "poweroff", "while true; do sleep 1; done"


@dataclass
class Device:
    """What a device's slots hold, and the agent's hands on it."""

    folder: Path

    @property
    def machine(self) -> Machine:
        return Machine(self.folder)

    def installer(self, started: str) -> RawInstaller:
        boot = UbootBootloader(str(self.machine.config), started)
        slots = {name: str(self.machine.slot(name)) for name in "ab"}
        return RawInstaller("os", LocalDisk(), slots, boot, str(self.folder / "notes"), 3)

    def image(self, version: str, then: str) -> bytes:
        return image(self.folder / "image", "slot", f'echo "version {version} runs"\n{then}\n')

    def install(self, version: str, data: bytes) -> Piece:
        """Bring a version to slot b while a runs, and switch to it."""
        piece = Piece("os", version, "raw", f"p/os/{version}/os.img", len(data), sha256(data).hexdigest())
        staging = FolderStaging(LocalDisk(), str(self.folder / "staging"))
        partial = staging.partial(piece)
        partial.append(0, data)
        partial.sync()
        installer = self.installer("a")
        installer.install(piece, staging.staged(piece))
        installer.activate(piece)
        assert installer.standing(piece) is Standing.ARMED
        return piece

    def state(self) -> bytes:
        return (self.folder / "env").read_bytes()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    device = Device(tmp_path)
    device.machine.build()
    device.machine.slot("a").write_bytes(device.image("1.0.0", POWERS_OFF))
    return device


TRIAL = ["otaru: slot b on trial", "version 2.0.0 runs"]
BACK = ["otaru: slot a", "version 1.0.0 runs"]


def test_nobody_confirms_and_it_falls_back_by_itself(device: Device) -> None:
    piece = device.install("2.0.0", device.image("2.0.0", RESTARTS))
    console = device.machine.boot()
    assert told(console) == TRIAL * 3 + BACK
    assert device.installer("a").standing(piece) is Standing.ABSENT
    before = device.state()
    assert told(device.machine.boot()) == BACK
    assert device.state() == before, "a slot that is good is not counted"


def test_what_is_confirmed_stays(device: Device) -> None:
    piece = device.install("2.0.0", device.image("2.0.0", POWERS_OFF))
    assert told(device.machine.boot()) == TRIAL
    agent = device.installer("b")
    assert agent.standing(piece) is Standing.RUNS
    agent.commit(piece)
    before = device.state()
    for _ in range(4):
        assert told(device.machine.boot()) == ["otaru: slot b", "version 2.0.0 runs"]
    assert device.state() == before
    agent.revert(piece)
    assert told(device.machine.boot()) == BACK


def test_power_is_cut_while_it_hangs(device: Device) -> None:
    device.install("2.0.0", device.image("2.0.0", HANGS))
    for _ in range(3):
        assert told(device.machine.boot(until="version 2.0.0 runs")) == TRIAL
    assert told(device.machine.boot()) == BACK


def test_an_image_that_cannot_be_loaded_costs_one_start(device: Device) -> None:
    device.install("2.0.0", b"no file system" * 1000)
    assert told(device.machine.boot()) == ["otaru: slot b on trial", *BACK]


def test_a_slot_that_is_about_to_be_written_is_never_started(device: Device) -> None:
    UbootBootloader(str(device.machine.config), "a").condemn("b")
    device.machine.slot("b").write_bytes(device.image("half", POWERS_OFF))
    device.machine.slot("a").write_bytes(b"")
    console = device.machine.boot(until="no slot could be started")
    assert "half" not in console


def test_a_state_that_is_lost_starts_the_first_slot(device: Device) -> None:
    (device.folder / "env").write_bytes(bytes(512))
    device.machine.slot("b").write_bytes(device.image("2.0.0", POWERS_OFF))
    assert told(device.machine.boot()) == BACK
