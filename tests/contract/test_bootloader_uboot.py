"""`ports.board.Bootloader` in U-Boot's environment, by libubootenv's tools on files: torn writes, and what else may be there."""

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.uboot import UbootBootloader, check
from otaru.apps.agent.booting import bootloader, started
from otaru.apps.agent.settings import Boot
from otaru.errors import InstallError, InvalidInputError
from tests.support.uboot import environment, environment_of, missing_tools, run

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())
LOCK = Path("/var/lock/fw_printenv.lock")
FILLER = {f"zz_{number}": "filler" * 10 for number in range(9)}
"""So that a change of the first variable moves all the others."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return environment(tmp_path, values={"BOOT_ORDER": "a b", **FILLER})


def uboot(config: Path, started: str = "a", timeout_s: float = 20) -> UbootBootloader:
    return UbootBootloader(str(config), started, timeout_s)


def values(config: Path) -> dict[str, str]:
    return {name: value for name, value in environment_of(config.parent).items() if not name.startswith("zz_")}


def test_what_each_call_leaves_in_the_environment(config: Path) -> None:
    uboot(config).condemn("b")
    assert values(config) == {"BOOT_ORDER": "a"}
    uboot(config).arm("b", 10)
    assert values(config) == {"BOOT_ORDER": "b a", "BOOT_b_LEFT": "a"}, "U-Boot counts in hexadecimal"
    uboot(config, "b").confirm("b")
    assert values(config) == {"BOOT_ORDER": "b a"}, "the one before is there if the new one cannot be loaded"
    uboot(config, "b").condemn("a")
    uboot(config, "b").arm("a", 3)
    uboot(config, "b").confirm("b")
    assert values(config) == {"BOOT_ORDER": "b"}, "what was on trial is not what is fallen back to"


def test_one_that_has_used_up_its_trials_is_not_the_one_that_is_started(config: Path) -> None:
    uboot(config).arm("b", 3)
    run("fw_setenv", "-c", config, "BOOT_b_LEFT", "0")
    assert uboot(config).primary() == "a"
    run("fw_setenv", "-c", config, "BOOT_ORDER", "b")
    with pytest.raises(InstallError, match="no slot is left to start"):
        uboot(config).primary()
    uboot(config).condemn("b")
    assert values(config) == {"BOOT_ORDER": "a"}


def test_what_is_so_already_is_not_written_again(config: Path) -> None:
    uboot(config).arm("b", 3)
    before = (config.parent / "env").read_bytes()
    uboot(config).arm("b", 3)
    assert (config.parent / "env").read_bytes() == before
    uboot(config).confirm("a")
    assert (config.parent / "env").read_bytes() != before


def torn(before: bytes, after: bytes) -> Iterator[bytes]:
    """What a cut may leave of a write: its beginning, its end, and each of its sectors alone."""
    for at in range(0, len(after), 16):
        yield after[:at] + before[at:]
        yield before[:at] + after[at:]
    for at in range(0, len(after), 512):
        yield before[:at] + after[at : at + 512] + before[at + 512 :]


CHANGES: list[tuple[str, Callable[[UbootBootloader], None]]] = [
    ("condemn", lambda boot: boot.condemn("b")),
    ("arm", lambda boot: boot.arm("b", 3)),
    ("confirm", lambda boot: boot.confirm("b")),
    ("back", lambda boot: boot.confirm("a")),
]


def test_a_torn_write_leaves_what_was_or_what_was_written(config: Path) -> None:
    env, boot, cuts = config.parent / "env", uboot(config), 0
    for name, change in CHANGES:
        old, before = values(config), env.read_bytes()
        change(boot)
        new, after = values(config), env.read_bytes()
        assert old != new
        seen = []
        for left in {before, after, *torn(before, after)}:
            env.write_bytes(left)
            found = values(config)
            assert found in (old, new), name
            seen.append(found)
            cuts += 1
        assert old in seen, "a cut that nothing noticed"
        assert new in seen
        env.write_bytes(after)
    assert cuts > 100


def test_after_a_torn_write_the_same_call_does_it(config: Path) -> None:
    env = config.parent / "env"
    before = env.read_bytes()
    uboot(config).arm("b", 3)
    after = env.read_bytes()
    middle = 0x400 + 0x100 if before[0x400:] != after[0x400:] else 0x100
    env.write_bytes(after[:middle] + before[middle:])
    assert uboot(config).primary() == "a"
    uboot(config).arm("b", 3)
    assert uboot(config).primary() == "b"


def test_an_environment_that_is_lost_is_said_so(config: Path) -> None:
    (config.parent / "env").write_bytes(b"\xff" * 0x800)
    for call in (uboot(config).primary, lambda: uboot(config).arm("b", 3)):
        with pytest.raises(InstallError, match="cannot be read"):
            call()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BOOT_ORDER", "A B", "'A B': its slots are called a and b"),
        ("BOOT_ORDER", "a a", "'a a'"),
        ("BOOT_b_LEFT", "many", "BOOT_b_LEFT is 'many', not a number"),
    ],
)
def test_what_others_wrote_there_is_not_guessed_at(config: Path, name: str, value: str, said: str) -> None:
    run("fw_setenv", "-c", config, name, value)
    with pytest.raises(InstallError, match=said):
        uboot(config).primary()


def test_tools_that_hang_or_are_not_there(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InstallError, match=r"fw_printenv .* took longer than 0\.3 s"):
            uboot(config, timeout_s=0.3).primary()
    monkeypatch.setenv("PATH", str(config.parent))
    with pytest.raises(InstallError, match=r"fw_printenv .*No such file"):
        uboot(config).primary()


def test_a_tool_that_writes_nothing_is_found_out(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = config.parent / "fw_setenv"
    double.write_text("#!/bin/sh\n")
    double.chmod(0o755)
    monkeypatch.setenv("PATH", f"{config.parent}:/usr/bin:/bin")
    with pytest.raises(InstallError, match="did not take what was written"):
        uboot(config).arm("b", 3)


def test_an_environment_that_a_cut_could_lose_is_refused(tmp_path: Path) -> None:
    disk = LocalDisk()
    check(disk, str(environment(tmp_path)))
    check(disk, str(environment(tmp_path, 512, 1)))
    with pytest.raises(InvalidInputError, match=r"could lose U-Boot's environment: it is in 1 place"):
        check(disk, str(environment(tmp_path, 0x4000, 1)))
    with pytest.raises(InvalidInputError, match="No such file"):
        check(disk, str(tmp_path / "none"))
    (tmp_path / "odd").write_text("uboot:\n  size: 16384\n")
    with pytest.raises(InvalidInputError, match="a device, an offset and a size"):
        check(disk, str(tmp_path / "odd"))


def test_which_slot_runs_is_on_the_kernels_command_line(tmp_path: Path) -> None:
    line = tmp_path / "cmdline"
    for said, slot in (
        ("root=/dev/mmcblk0p3 otaru.slot=b quiet\n", "b"),
        ("rauc.slot=a", "a"),
        ("rauc.slot=a otaru.slot=b", "b"),
        ("b\n", "b"),
    ):
        line.write_text(said)
        assert started(LocalDisk(), str(line)) == slot
    boot = Boot(kind="uboot", environment=str(environment(tmp_path)), started=str(line))
    assert bootloader(boot, LocalDisk()).current() == "b"
    for said in ("root=/dev/mmcblk0p3 quiet", "otaru.slot=c", ""):
        line.write_text(said)
        with pytest.raises(InvalidInputError, match="not which slot was started"):
            started(LocalDisk(), str(line))
    with pytest.raises(InvalidInputError, match="not which slot was started"):
        started(LocalDisk(), str(tmp_path / "none"))
