"""The examples of docs/bootloaders.md: what their scripts write, and what real GRUB makes of it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from otaru.adapters.board.bootloaders import ScriptBootloader
from otaru.errors import InstallError
from tests.support.examples import (
    EXAMPLES,
    first_by_bootctl,
    grub,
    missing_bootctl,
    missing_emulator,
    missing_grub,
    start_grub,
    start_systemd_boot,
    systemd_boot,
)

needs_grub = pytest.mark.skipif(bool(missing_grub()), reason=missing_grub())
needs_emulator = pytest.mark.skipif(bool(missing_emulator()), reason=missing_emulator())
Make = Callable[[Path, str], ScriptBootloader]
Start = Callable[[Path], str]
BOTH = [pytest.param(grub, start_grub, marks=needs_emulator, id="grub"), (systemd_boot, start_systemd_boot)]


@pytest.mark.parametrize(("make", "start"), BOTH)
def test_it_is_tried_so_often_and_then_given_up(tmp_path: Path, make: Make, start: Start) -> None:
    boot = make(tmp_path, "a")
    assert start(tmp_path)[0] == "a"
    boot.condemn("b")
    boot.arm("b", 3)
    assert [start(tmp_path)[0] for _ in range(5)] == ["b", "b", "b", "a", "a"]
    assert boot.primary() == "a"
    boot.arm("b", 10)
    assert [start(tmp_path)[0] for _ in range(11)] == ["b"] * 10 + ["a"]


@pytest.mark.parametrize(("make", "start"), BOTH)
def test_what_is_confirmed_stays_and_so_does_the_way_back(tmp_path: Path, make: Make, start: Start) -> None:
    make(tmp_path, "a").arm("b", 2)
    assert start(tmp_path)[0] == "b"
    make(tmp_path, "b").confirm("b")
    assert [start(tmp_path)[0] for _ in range(4)] == ["b"] * 4
    make(tmp_path, "b").confirm("a")
    assert [start(tmp_path)[0] for _ in range(3)] == ["a"] * 3
    make(tmp_path, "a").arm("b", 2)
    make(tmp_path, "a").confirm("a")
    assert start(tmp_path)[0] == "a"


@pytest.mark.parametrize(("make", "start"), BOTH)
def test_what_is_condemned_is_never_started(tmp_path: Path, make: Make, start: Start) -> None:
    make(tmp_path, "a").arm("b", 3)
    boot = make(tmp_path, "a")
    boot.condemn("b")
    assert start(tmp_path).rstrip(",") == "a", "and is not fallen back to"
    with pytest.raises(InstallError, match="runs: it is not written"):
        boot.condemn("a")


@needs_emulator
def test_grub_has_the_other_good_slot_to_fall_back_to(tmp_path: Path) -> None:
    grub(tmp_path).confirm("a")
    assert start_grub(tmp_path) == "a,b"
    grub(tmp_path).arm("b", 3)
    assert start_grub(tmp_path) == "b,a"


@needs_grub
def test_a_change_of_grubs_block_is_one_sector(tmp_path: Path) -> None:
    boot, block = grub(tmp_path), tmp_path / "otaru.env"
    changes: list[Callable[[], None]] = [
        lambda: boot.condemn("b"),
        lambda: boot.arm("b", 10),
        lambda: boot.confirm("b"),
    ]
    for change in changes:
        before, place = block.read_bytes(), block.stat().st_ino
        change()
        after = block.read_bytes()
        assert before[:512] != after[:512]
        assert before[512:] == after[512:]
        assert (len(after), block.stat().st_ino) == (1024, place), "written in place"
    subprocess.run(["grub-editenv", block, "unset", "order"], check=True)
    subprocess.run(["grub-editenv", block, "set", f"more={'x' * 600}"], check=True)
    with pytest.raises(InstallError, match="too many other variables"):
        boot.arm("b", 3)


@pytest.mark.skipif(bool(missing_bootctl()), reason=missing_bootctl())
def test_systemd_puts_the_entries_in_the_same_order_as_the_double(tmp_path: Path) -> None:
    boot = systemd_boot(tmp_path)
    for number in range(9):  # up to numbers of two digits
        boot.confirm("ba"[number % 2])
    steps: list[Callable[[], None]] = [
        lambda: boot.condemn("b"),
        lambda: boot.arm("b", 2),
        lambda: None,
        lambda: None,
        lambda: boot.arm("b", 10),
        lambda: boot.confirm("a"),
        lambda: boot.confirm("b"),
    ]
    firsts = []
    for step in steps:
        step()
        firsts.append(first_by_bootctl(tmp_path))
        assert firsts[-1] == start_systemd_boot(tmp_path)
    assert firsts == ["a", "b", "b", "a", "b", "a", "b"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "entries").iterdir())


def test_entries_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    boot = systemd_boot(tmp_path)
    boot.condemn("b")
    assert names(tmp_path) == ["debian.conf", "otaru-2-a.conf", "otaru-b.off"]
    boot.arm("b", 3)
    assert names(tmp_path) == ["debian.conf", "otaru-2-a.conf", "otaru-3-b+3.conf"]
    boot.confirm("b")
    assert names(tmp_path) == ["debian.conf", "otaru-2-a.conf", "otaru-3-b.conf"]


@pytest.mark.parametrize("name", ["grub", "systemd-boot"])
def test_a_script_refuses_what_it_does_not_know(tmp_path: Path, name: str) -> None:
    make = {"grub": grub, "systemd-boot": systemd_boot}[name]
    if name == "grub" and missing_grub():
        pytest.skip(missing_grub())
    told = make(tmp_path)._script[:-1]
    for words in (["dance"], ["set-primary", "c"], ["set-state", "b", "odd"]):
        done = subprocess.run([*told, str(EXAMPLES / name), *words], check=False, capture_output=True)
        assert done.returncode == 2, words
