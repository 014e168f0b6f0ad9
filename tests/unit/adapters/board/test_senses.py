"""What a device knows of itself: files of the system, programs of its maker, and nothing that cannot be asked."""

from pathlib import Path

import pytest

from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.senses import MAX_SAID, BoardSenses

ALL = ("battery", "charging", "free_space", "idle", "signal")


@pytest.mark.parametrize(
    ("status", "charging"),
    [("Charging", "true"), ("Full", "true"), ("Discharging", "false"), ("Not charging", "false"), ("Unknown", None)],
)
def test_a_battery_by_sysfs(tmp_path: Path, status: str, charging: str | None) -> None:
    (tmp_path / "capacity").write_text("87\n")
    (tmp_path / "status").write_text(f"{status}\n")
    found = BoardSenses(LocalDisk(), str(tmp_path), str(tmp_path)).facts(("battery", "charging"))
    assert found == {"battery": "87"} | ({} if charging is None else {"charging": charging})


def test_programs_say_what_the_system_does_not(tmp_path: Path) -> None:
    commands = {
        "idle": ("echo", "true"),
        "signal": ("sh", "-c", "echo -71; exit 1"),
        "battery": ("echo", "12"),
        "site": ("sh", "-c", "yes depot | head -500"),
    }
    senses = BoardSenses(LocalDisk(), str(tmp_path), str(tmp_path / "none"), commands)
    found = senses.facts(ALL)
    assert int(found.pop("free_space")) > 0
    assert found == {"battery": "12", "idle": "true"}
    assert len(senses.facts(["site"])["site"]) == MAX_SAID


def test_what_cannot_be_asked_is_not_known(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert BoardSenses(LocalDisk(), gone, gone, {"idle": (gone,)}).facts(ALL) == {}
    slow = BoardSenses(LocalDisk(), gone, None, {"idle": ("sleep", "60")}, 0.05)
    assert slow.facts(["idle"]) == {}
