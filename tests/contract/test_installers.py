"""What `ports.board.Installer` and `Bootloader` promise, over ours: each call again, from its beginning, with the same effect."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

from otaru.adapters.board.bootloaders import FileBootloader, ScriptBootloader, select
from otaru.adapters.board.disk import LocalDisk, make_folders
from otaru.adapters.board.files import FilesInstaller
from otaru.adapters.board.program import MAX_OUTPUT, ended
from otaru.adapters.board.raw import RawInstaller
from otaru.adapters.board.script import Commands, ScriptInstaller
from otaru.adapters.board.staging import FolderStaging
from otaru.adapters.board.uboot import UbootBootloader
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError, UnsuitableError
from otaru.ports.board import Bootloader, Installer, Staged
from otaru.trust.verify.refusals import TargetDigestError, TargetTooLongError, TargetTooShortError
from tests.support import installer_examples
from tests.support.examples import grub, missing_grub, systemd_boot
from tests.support.uboot import environment, missing_tools

SCRIPT = """#!/bin/sh
# A bootloader of two files: what is first, and the state of each slot.
cd "$(dirname "$0")" || exit 1
case "$1" in
get-current) cat current;;
get-primary) if [ "$(cat "state-$(cat first)")" = bad ]; then [ "$(cat first)" = a ] && echo b || echo a; else cat first; fi;;
set-primary) echo "$2" > first.new; mv first.new first; echo good > "state-$2"; echo "${OTARU_TRIALS:-0}" > trials;;
set-state) echo "$3" > "state-$2";;
*) exit 2;;
esac
"""


@dataclass
class Bench:
    """An installer, and the board it is on."""

    folder: Path
    installer: Installer
    reboots: bool
    restart: Callable[[], None] | None = None
    """What a reboot does to it, where another bench is not simply made of the same folder."""

    def piece(self, data: bytes, version: str = "2.0.0", component: str = "part") -> Piece:
        return Piece(component, version, "file", f"p/c/{version}/part.bin", len(data), sha256(data).hexdigest())

    def staged(self, piece: Piece, data: bytes) -> Staged:
        staging = FolderStaging(LocalDisk(), str(self.folder / "staging"))
        partial = staging.partial(piece)
        partial.append(0, data)
        partial.sync()
        return staging.staged(piece)

    def install(self, data: bytes, version: str = "2.0.0") -> Piece:
        piece = self.piece(data, version)
        self.installer.install(piece, self.staged(piece, data))
        return piece


def raw(folder: Path, current: str = "a") -> Bench:
    disk = LocalDisk()
    for slot in "ab":
        if not (folder / slot).exists():
            (folder / slot).write_bytes(b"old" if slot == "a" else b"")
    boot = FileBootloader(disk, str(folder / "boot"), current)
    slots = {slot: str(folder / slot) for slot in "ab"}
    return Bench(folder, RawInstaller("part", disk, slots, boot, str(folder / "notes")), reboots=True)


def files(folder: Path) -> Bench:
    return Bench(folder, FilesInstaller("part", LocalDisk(), str(folder / "root")), reboots=False)


def scripted(folder: Path, program: str) -> Bench:
    return Bench(folder, ScriptInstaller("part", commands(program)), reboots=False)


def container(folder: Path) -> Bench:
    return scripted(folder, installer_examples.container(folder))


def module(folder: Path) -> Bench:
    return scripted(folder, installer_examples.kernel_module(folder))


def module_in_use(folder: Path) -> Bench:
    """A module that is there from the factory, and that cannot be taken out while the system runs."""
    bench = scripted(folder, installer_examples.kernel_module(folder, {"rmmod": "echo it is in use; exit 1"}))
    (folder / "sys").mkdir()
    (folder / "factory.ko").write_text("factory")
    (folder / "modules/extra/example.ko").symlink_to(folder / "factory.ko")
    return replace(bench, reboots=True, restart=lambda: (folder / "loaded").unlink(missing_ok=True))


def child(folder: Path) -> Bench:
    return scripted(folder, installer_examples.child_device(folder))


def commands(program: str) -> Commands:
    names = ("check", "install", "activate", "standing", "revert", "commit")
    return Commands(**{name: (program, name) for name in names})


@pytest.fixture(params=[raw, files, container, module, module_in_use, child], ids=lambda made: made.__name__)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    made: Bench = request.param(tmp_path)
    return made


def started(bench: Bench) -> Bench:
    """After a reboot."""
    if bench.restart is not None:
        bench.restart()
        return bench
    return raw(bench.folder, select(LocalDisk(), str(bench.folder / "boot"))) if bench.reboots else bench


def test_an_update_each_step_twice(bench: Bench) -> None:
    data = b"new" * 50_000
    piece = bench.piece(data)
    assert bench.installer.standing(piece) is Standing.ABSENT
    for _ in range(2):
        bench.installer.install(piece, bench.staged(piece, data))
        assert bench.installer.standing(piece) is Standing.ABSENT
    for _ in range(2):
        bench.installer.activate(piece)
        assert bench.installer.standing(piece) is (Standing.ARMED if bench.reboots else Standing.RUNS)
    bench = started(bench)
    assert bench.installer.standing(piece) is Standing.RUNS
    bench.installer.activate(piece)
    for _ in range(2):
        bench.installer.commit(piece)
    assert started(bench).installer.standing(piece) is Standing.RUNS


@pytest.mark.parametrize("until", ["nothing", "install", "activate", "start", "commit"])
def test_the_way_back_from_everywhere(bench: Bench, until: str) -> None:
    first = bench.install(b"first" * 1000, "1.5.0")
    bench.installer.activate(first)
    bench = started(bench)
    bench.installer.commit(first)
    data = b"new" * 50_000
    piece = bench.piece(data)
    if until != "nothing":
        bench.installer.install(piece, bench.staged(piece, data))
    if until not in {"nothing", "install"}:
        bench.installer.activate(piece)
    if until in {"start", "commit"}:
        bench = started(bench)
    if until == "commit":
        bench.installer.commit(piece)
    for _ in range(2):
        bench.installer.revert(piece)
    bench = started(bench)
    assert bench.installer.standing(piece) is Standing.ABSENT
    assert bench.installer.standing(first) is Standing.RUNS
    again = bench.install(data)
    bench.installer.activate(again)
    assert started(bench).installer.standing(again) is Standing.RUNS


def test_a_new_image_that_never_comes_up_is_given_up(tmp_path: Path) -> None:
    bench = raw(tmp_path)
    piece = bench.install(b"dead")
    bench.installer.activate(piece)
    starts = [select(LocalDisk(), str(tmp_path / "boot")) for _ in range(5)]
    assert starts == ["b", "b", "b", "a", "a"]
    assert raw(tmp_path, "a").installer.standing(piece) is Standing.ABSENT


@pytest.mark.parametrize(
    ("data", "refusal"),
    [(b"other", TargetDigestError), (b"too long", TargetTooLongError), (b"no", TargetTooShortError)],
)
def test_bytes_that_changed_since_they_were_verified_are_not_installed(
    bench: Bench, data: bytes, refusal: type[Exception]
) -> None:
    piece = bench.piece(b"right")
    with pytest.raises(refusal):
        bench.installer.install(piece, bench.staged(piece, data))
    with pytest.raises(InstallError):
        bench.installer.activate(piece)
    assert bench.installer.standing(piece) is Standing.ABSENT


def test_the_slot_that_runs_is_never_written(tmp_path: Path) -> None:
    for current, other in (("a", "b"), ("b", "a")):
        bench = raw(tmp_path, current)
        before = (tmp_path / current).read_bytes()
        bench.install(f"for {other}".encode())
        assert (tmp_path / current).read_bytes() == before
        assert (tmp_path / other).read_bytes() == f"for {other}".encode()
        with pytest.raises(InstallError):
            FileBootloader(LocalDisk(), str(tmp_path / "boot"), current).condemn(current)


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:xz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "", mode: int = 0o755) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, to, mode
    return info


def unpacking(folder: Path, most: int = 1 << 20) -> Bench:
    return Bench(
        folder, FilesInstaller("part", LocalDisk(), str(folder / "root"), unpack=True, max_unpacked=most), False
    )


def test_an_archive_is_unpacked_as_it_was_packed(tmp_path: Path) -> None:
    bench = unpacking(tmp_path)
    data = packed(
        (member("bin/deep/tool", mode=0o4755), b"#!/bin/sh"),
        (member("bin/link", tarfile.SYMTYPE, "deep/tool"), b""),
        (member("empty", tarfile.DIRTYPE), b""),
        (member("read", mode=0o644), b"me"),
    )
    piece = bench.install(data)
    bench.installer.activate(piece)
    root = tmp_path / "root/current"
    assert (root / "bin/link").read_bytes() == b"#!/bin/sh"
    assert (root / "bin/deep/tool").stat().st_mode & 0o7777 == 0o755, "nothing sets a user id"
    assert (root / "read").stat().st_mode & 0o7777 == 0o644
    assert (root / "empty").is_dir()


def test_the_archive_of_what_runs_is_kept_for_deltas(tmp_path: Path) -> None:
    root = tmp_path / "root"
    kept = FilesInstaller("part", LocalDisk(), str(root), unpack=True, keep_archive=True)
    bench = Bench(tmp_path, kept, reboots=False)
    old, new = (packed((member("app", mode=0o644), text)) for text in (b"old", b"new"))
    first = bench.install(old, "1.0.0")
    assert kept.digest() is None, "it does not run yet"
    kept.activate(first)
    assert kept.digest() == first.sha256
    second = bench.install(new, "2.0.0")
    for piece, data in ((second, new), (first, old)):
        kept.activate(second) if piece is second else kept.revert(second)
        source = kept.source(len(data))
        assert source is not None
        assert (kept.digest(), source.read_at(0, len(data))) == (piece.sha256, data)
        assert kept.source(len(data) + 1) is None
    kept.activate(second)
    bench.install(packed((member("app"), b"third")), "3.0.0")
    assert len(list((root / "archives").iterdir())) == 2, "what runs, and what was written aside"
    plain = FilesInstaller("part", LocalDisk(), str(root), unpack=True)
    replace(bench, installer=plain).install(old, "4.0.0")
    assert [path.name for path in (root / "archives").iterdir()] == [f"2.0.0-{second.sha256}"]


@pytest.mark.parametrize(
    "bad",
    [
        member("../out"),
        member("/out"),
        member("a/../../out"),
        member("out", tarfile.SYMTYPE, "/etc/passwd"),
        member("a/out", tarfile.SYMTYPE, "../../etc"),
        member("out", tarfile.LNKTYPE, "/etc/passwd"),
        member("out", tarfile.CHRTYPE),
        member("out", tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_an_archive_that_leads_elsewhere_is_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    bench = unpacking(tmp_path)
    with pytest.raises(UnsuitableError):
        bench.install(packed((member("good"), b"1"), (bad, b"")))
    assert not (tmp_path / "root/current").exists()
    assert not (tmp_path / "out").exists()


def test_a_link_is_no_door_for_the_members_that_come_after_it(tmp_path: Path) -> None:
    inner, door = member("inner", tarfile.DIRTYPE), member("door", tarfile.SYMTYPE, "inner")
    late = member("inner", tarfile.SYMTYPE, "other")
    for before in ([inner, door, member("door/x")], [inner, late, member("inner/x")]):
        with pytest.raises(UnsuitableError):
            unpacking(tmp_path).install(packed(*((info, b"") for info in before)))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bench = unpacking(tmp_path, most=100_000)
    with pytest.raises(UnsuitableError):
        bench.install(packed((member("bomb"), bytes(200_000))))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallError):
        unpacking(tmp_path).install(b"no archive at all" * 1000)


def test_two_versions_are_kept(tmp_path: Path) -> None:
    bench = files(tmp_path)
    for number in range(6):
        piece = bench.install(b"%d" % number, f"{number}.0.0")
        bench.installer.activate(piece)
        bench.installer.commit(piece)
    assert len(list((tmp_path / "root/versions").iterdir())) == 2


def test_a_module_is_in_the_index_as_soon_as_its_link_leads_there(tmp_path: Path) -> None:
    bench = module(tmp_path)
    piece = bench.install(b"module")
    assert not (tmp_path / "depended").exists()
    bench.installer.activate(piece)
    assert (tmp_path / "depended").read_text() == f"{tmp_path}/store/{piece.sha256}.ko\n"
    bench.installer.revert(piece)
    assert (tmp_path / "depended").read_text() == "", "there was none before"
    assert not (tmp_path / "sys").exists()


def test_a_module_for_another_kernel_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="it is not for"):
        module(tmp_path).install(b"an alien one")


def test_a_module_in_use_runs_until_the_next_start_also_on_the_way_back(tmp_path: Path) -> None:
    bench = module_in_use(tmp_path)
    piece = bench.install(b"module")
    bench.installer.activate(piece)
    started(bench)
    bench.installer.revert(piece)
    assert bench.installer.standing(piece) is Standing.RUNS, "so the agent reboots"
    assert started(bench).installer.standing(piece) is Standing.ABSENT


def test_a_child_that_does_not_come_up_is_given_up_by_its_own_bootloader(tmp_path: Path) -> None:
    bench = child(tmp_path)
    piece = bench.install(b"dead")
    with pytest.raises(InstallError, match="it did not start"):
        bench.installer.activate(piece)
    assert bench.installer.standing(piece) is Standing.ABSENT
    bench.installer.revert(piece)
    state = json.loads((tmp_path / "state").read_text())
    assert (state["slots"][0], state["confirmed"]) == ("factory", True)


def test_a_child_that_does_not_answer_is_told_before_the_download(tmp_path: Path) -> None:
    bench = child(tmp_path)
    bench.installer.check(bench.piece(b"any"))
    (tmp_path / "mcumgr").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UnsuitableError, match="the child does not answer"):
        bench.installer.check(bench.piece(b"any"))


def shell(**lines: str) -> Commands:
    """Commands that are each a line of shell; the others do nothing."""
    words = {name: ("sh", "-c", lines.get(name, "true")) for name in ("install", "activate", "standing", "revert")}
    more = {name: ("sh", "-c", lines[name]) for name in ("check", "commit") if name in lines}
    return Commands(**words, **more)


def test_commands_learn_of_the_piece(tmp_path: Path) -> None:
    told = tmp_path / "told"
    line = f'echo "$OTARU_COMPONENT $OTARU_VERSION $OTARU_SIZE $OTARU_SHA256 $(cat "$OTARU_FILE")" > {told}'
    bench = Bench(tmp_path, ScriptInstaller("part", shell(install=line)), reboots=False)
    piece = bench.install(b"bytes")
    assert told.read_text() == f"part 2.0.0 5 {piece.sha256} bytes\n"


def test_a_command_says_before_the_download_that_a_piece_does_not_fit(tmp_path: Path) -> None:
    installer = ScriptInstaller("part", shell(check='echo "no $OTARU_VERSION here"; exit 1'))
    piece = Bench(tmp_path, installer, reboots=False).piece(b"any")
    with pytest.raises(UnsuitableError, match=r"no 2\.0\.0 here"):
        installer.check(piece)
    ScriptInstaller("part", shell()).check(piece)
    with pytest.raises(InstallError, match="took longer than"):
        ScriptInstaller("part", shell(check="sleep 60"), timeout_s=0.3).check(piece)


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    installer = ScriptInstaller("part", shell(activate="echo flash is worn; exit 3", standing="echo perhaps"))
    piece = Bench(tmp_path, installer, reboots=False).piece(b"any")
    with pytest.raises(InstallError, match="ended with 3: flash is worn"):
        installer.activate(piece)
    with pytest.raises(InstallError, match="'perhaps', not runs, armed or absent"):
        installer.standing(piece)
    with pytest.raises(InstallError, match="does not run"):
        ScriptInstaller("part", shell(standing="echo armed", commit="true")).commit(piece)


def test_what_a_program_prints_is_bounded_while_it_runs() -> None:
    # It prints 4 MiB, waits until somebody has thrown them away, and goes on.
    line = (
        "head -c 4194304 /dev/zero; while [ $(stat -Lc %s /proc/$$/fd/1) -ge 4194304 ]; do sleep 0.05; done; echo end"
    )
    done = ended(["sh", "-c", line], 60)
    assert (done.code, done.said) == (0, "end\n")
    done = ended(["head", "-c", "100000", "/dev/zero"], 60)
    assert len(done.said) == MAX_OUTPUT


def test_all_of_a_program_ends_with_its_time(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="took longer than"):
        ended(["sh", "-c", f"(sleep 1; touch {tmp_path}/late) & sleep 60"], 0.3)
    ended(["sleep", "1.2"], 10)
    assert not (tmp_path / "late").exists()


@pytest.fixture(
    params=[
        "file",
        "script",
        pytest.param("uboot", marks=pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())),
        pytest.param("grub", marks=pytest.mark.skipif(bool(missing_grub()), reason=missing_grub())),
        "systemd-boot",
    ]
)
def bootloader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bootloader]:
    make_folders(LocalDisk(), str(tmp_path / "boot"))
    if request.param == "file":
        yield FileBootloader(LocalDisk(), str(tmp_path / "boot/env"), "a")
        return
    if request.param == "uboot":
        yield UbootBootloader(str(environment(tmp_path / "boot")), "a")
        return
    if request.param in {"grub", "systemd-boot"}:
        yield grub(tmp_path) if request.param == "grub" else systemd_boot(tmp_path)
        return
    script = tmp_path / "boot/script"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    for name, said in (("current", "a"), ("first", "a"), ("state-a", "good"), ("state-b", "good")):
        (tmp_path / "boot" / name).write_text(said + "\n")
    yield ScriptBootloader([str(script)])


def test_a_bootloader_starts_what_it_is_told_to(bootloader: Bootloader) -> None:
    assert (bootloader.current(), bootloader.primary()) == ("a", "a")
    for _ in range(2):
        bootloader.condemn("b")
        assert bootloader.primary() == "a"
    for _ in range(2):
        bootloader.arm("b", 3)
        assert bootloader.primary() == "b"
    assert bootloader.current() == "a"
    for _ in range(2):
        bootloader.confirm("a")
        assert bootloader.primary() == "a"
    bootloader.arm("b", 3)
    bootloader.condemn("b")
    assert bootloader.primary() == "a"
    bootloader.confirm("b")
    assert bootloader.primary() == "b"


def test_a_script_that_fails_or_says_nonsense_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="took longer than"):
        ScriptBootloader(["sh", "-c", "sleep 60"], timeout_s=0.2).current()
    with pytest.raises(InstallError, match="not a or b"):
        ScriptBootloader(["echo"]).current()
    with pytest.raises(InstallError, match="No such file"):
        ScriptBootloader([str(tmp_path / "none")]).current()
    with pytest.raises(InstallError, match="ended with 1"):
        ScriptBootloader(["false"]).current()
