"""What a device measures and collects of itself, from files and programs that are really there."""

import io
import tarfile
from pathlib import Path

import pytest

from otaru.adapters.board.diagnostics import Allowed, AllowedCommands, Collected, FolderDiagnoser
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.gauges import BoardGauges
from otaru.adapters.board.ledger import FileConsent
from otaru.adapters.board.senses import BoardSenses
from otaru.domain.health import Kind
from otaru.errors import InstallError
from otaru.ports.remote import Boot, Sharing

DISK = LocalDisk()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system's /proc and /sys."""
    found = tmp_path / "root"
    for path, text in {
        "proc/uptime": "1234.5 99.0\n",
        "proc/loadavg": "0.42 0.1 0.0 1/100 999\n",
        "proc/meminfo": "MemTotal: 2000 kB\nMemAvailable: 1000 kB\n",
        "proc/sys/kernel/random/boot_id": "b-1\n",
        "sys/class/watchdog/watchdog0/bootstatus": "0\n",
        "sys/BAT0/capacity": "77\n",
    }.items():
        (found / path).parent.mkdir(parents=True, exist_ok=True)
        (found / path).write_text(text)
    return found


def gauges(root: Path, *reason: str, **commands: list[str]) -> BoardGauges:
    senses = BoardSenses(DISK, str(root), f"{root}/sys/BAT0", {"signal": ["echo", "-71"]})
    return BoardGauges(DISK, senses, str(root), commands, 5, reason, str(root))


def test_what_there_is_is_measured(root: Path) -> None:
    found = gauges(root, heat=["echo", "36.6"], words=["echo", "warm"], broken=["false"], gone=["/no/such"]).read([])
    assert found.pop("disk") > 0
    assert found == {
        "battery": 77,
        "signal": -71,
        "uptime": 1234.5,
        "load": 0.42,
        "memory": 1_024_000,
        "heat": 36.6,
    }
    assert set(gauges(root).read(["disk", "battery", "load"])) == {"signal", "uptime", "memory"}
    assert gauges(root).read(["*"]) == {}
    (root / "proc/loadavg").write_text("")
    (root / "proc/meminfo").unlink()
    (root / "sys/BAT0/capacity").write_text("full of holes")
    assert set(gauges(root).read([])) == {"signal", "uptime", "disk"}


@pytest.mark.parametrize(
    ("status", "kind"), [("0", Kind.REBOOT), ("32", Kind.WATCHDOG), ("0x10", Kind.POWER), ("what", Kind.REBOOT)]
)
def test_why_it_was_started(root: Path, status: str, kind: Kind) -> None:
    (root / "sys/class/watchdog/watchdog0/bootstatus").write_text(status)
    found = gauges(root).boot()
    assert (found.id, found.kind) == ("b-1", kind)


def test_a_record_of_a_crash_and_the_makers_word_come_first(root: Path) -> None:
    (root / "sys/fs/pstore").mkdir(parents=True)
    (root / "sys/fs/pstore/dmesg-0").write_text("oops")
    assert gauges(root).boot().kind is Kind.CRASH
    assert gauges(root, "echo", "power brown-out of\nthe modem").boot() == Boot(
        "b-1", Kind.POWER, "brown-out of the modem"
    )
    assert gauges(root, "echo", "sample of something").boot() == Boot("b-1", Kind.REBOOT, "sample of something")
    assert gauges(root, "/no/such").boot().kind is Kind.CRASH


def test_diagnostics_are_bounded_and_say_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("first\n" + "x" * 50_000 + "\nlast\n")
    wanted = Collected(
        {"slow": ["sleep", "9"], "gone": ["/no/such"], "loud": ["sh", "-c", "echo hi; exit 2"]},
        [str(tmp_path / "app.log"), "/no/such.log"],
        40_000,
        0.3,
    )
    diagnoser = FolderDiagnoser(DISK, str(tmp_path / "kept"), wanted, {"a.json": lambda: '{"a": 1}'})
    size, digest = diagnoser.collect(7)
    packed = b"".join(diagnoser.part(7, first, 1000) for first in range(0, size, 1000))
    assert (len(packed), len(digest)) == (size, 64)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = {m.name.removeprefix("diagnostics/"): archive.extractfile(m).read().decode() for m in archive}  # type: ignore[union-attr]
    assert found["a.json"] == '{"a": 1}'
    assert "took longer" in found["commands/slow"]
    assert "/no/such" in found["commands/gone"]
    assert found["commands/loud"] == "hi\n\n(ended with 2)\n"
    log = found[f"files{tmp_path}/app.log"]
    assert log.endswith("last\n")
    assert "first" not in log
    assert sum(map(len, found.values())) < 40_100
    diagnoser.collect(8)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["8.tar.gz"], "an older one makes room"
    diagnoser.forget(8)
    diagnoser.forget(8)
    assert list((tmp_path / "kept").iterdir()) == []


def test_commands_that_take_too_long_in_all_are_left_out(tmp_path: Path) -> None:
    wanted = Collected({"first": ["sleep", "0.3"], "second": ["echo", "hi"]})
    diagnoser = FolderDiagnoser(DISK, str(tmp_path / "kept"), wanted, {}, collecting_s=0.2)
    size, _ = diagnoser.collect(1)
    with tarfile.open(fileobj=io.BytesIO(diagnoser.part(1, 0, size))) as archive:
        second = archive.extractfile("diagnostics/commands/second")
        assert second is not None
        assert b"left out" in second.read()


def test_what_commands_print_is_bounded_and_without_secrets() -> None:
    allowed = {
        "say": Allowed(["sh", "-c", "echo password=hunter2x; echo known-one; printf abcdef"], 5, 6),
        "all": Allowed(["sh", "-c", "echo password=hunter2x; echo known-one; exit 3"], 5),
        "slow": Allowed(["sleep", "9"], 0.2),
        "quiet": Allowed(["echo", "x"], 5, 0),
    }
    commands = AllowedCommands(allowed, lambda: ["known-one"])
    assert commands.names == {"say", "all", "slow", "quiet"}
    assert commands.run("say").said == "abcdef"
    assert (commands.run("all").code, commands.run("all").said) == (3, "password=[redacted]\n[redacted]\n")
    assert commands.run("quiet").said == ""
    with pytest.raises(InstallError, match="longer"):
        commands.run("slow")


def test_an_owners_word_that_cannot_be_read_is_a_no(tmp_path: Path) -> None:
    consent = FileConsent(DISK, str(tmp_path / "sharing"))
    assert consent.now() == Sharing()
    consent.put(Sharing(commands=False))
    assert consent.now() == Sharing(commands=False)
    for path in tmp_path.iterdir():
        path.write_bytes(b"rubbish")
    assert consent.now() == Sharing(telemetry=False, diagnostics=False, commands=False)
