"""RAUC and the agent over one environment of U-Boot: Debian's RAUC with `bootloader=uboot` writes the slot that we switch to."""

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.rauc import RaucInstaller
from otaru.adapters.board.staging import FolderStaging
from otaru.adapters.board.uboot import UbootBootloader
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from tests.support import rauc
from tests.support.rauc import Rauc
from tests.support.uboot import environment, environment_of, missing_tools

lacking = rauc.missing() or missing_tools()
pytestmark = pytest.mark.skipif(bool(lacking), reason=lacking)


def configure(folder: Path) -> Path:
    """RAUC asks its tools without saying where the environment is: these do."""
    config = environment(folder)
    conf = folder / "system.conf"
    told = conf.read_text().replace("bootloader=custom", "bootloader=uboot")
    conf.write_text(told.replace(f"[handlers]\nbootloader-custom-backend={folder}/loader\n", ""))
    (folder / "bin").mkdir()
    for tool in ("fw_printenv", "fw_setenv"):
        (folder / "bin" / tool).write_text(f'#!/bin/sh\nexec /usr/bin/{tool} -c {config} "$@"\n')
        (folder / "bin" / tool).chmod(0o755)
    return config


def primary(device: Rauc) -> str | None:
    """Which slot RAUC takes for the one that is started next."""
    words = ["rauc", "status", "--detailed", "--output-format=json"]
    done = subprocess.run(words, check=True, capture_output=True, env={**os.environ, **device.environment})
    found: str | None = json.loads(done.stdout)["boot_primary"]
    return found


def test_rauc_writes_and_the_agent_switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rauc.rauc(tmp_path) as device:
        config = configure(tmp_path)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", device.environment["DBUS_SYSTEM_BUS_ADDRESS"])
        device.start()
        bundle = device.bundle(b"new", "2.0.0")
        piece = Piece("os", "2.0.0", "rauc", "p/os/2.0.0/os.raucb", len(bundle), sha256(bundle).hexdigest())
        staging = FolderStaging(LocalDisk(), str(tmp_path / "staging"))
        partial = staging.partial(piece)
        partial.append(0, bundle)
        partial.sync()
        agent = RaucInstaller(
            "os", LocalDisk(), UbootBootloader(str(config), "a"), str(tmp_path / "notes"), timeout_s=60
        )
        agent.install(piece, staging.staged(piece))
        assert (tmp_path / "b").read_bytes().startswith(b"new")
        assert agent.standing(piece) is Standing.ABSENT
        agent.activate(piece)
        found = environment_of(tmp_path)
        assert (found["BOOT_ORDER"], found["BOOT_b_LEFT"]) == ("b a", "3")
        assert primary(device) == "rootfs.1"
        UbootBootloader(str(config), "b").confirm("b")
        assert environment_of(tmp_path) == {"BOOT_ORDER": "b a"}
        assert primary(device) is None, "RAUC takes one that is not counted for one without a start left"
