"""What the local folder owes beyond the port's contract: crashes, other processes, full disks, private files."""

import fcntl
import os
import random
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from otaru.adapters.blobs import uploads
from otaru.adapters.blobs.local import LocalBlobs
from otaru.domain.ids import Sha256
from otaru.errors import InvalidStateError, NotFoundError, StorageFullError
from tests.support.blobs import chunks, content, digest, get, in_pieces, put, writer

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024
LATER = timedelta(days=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


async def sweep_all(blobs: LocalBlobs) -> None:
    await blobs.sweep(datetime.now(UTC) + LATER)  # noqa: TID251


def torn(root: Path) -> list[str]:
    """Files under a final name that are not what it says."""
    return [path.name for path in (root / "blobs").glob("*/*") if digest(path.read_bytes()) != path.name]


def leftovers(root: Path) -> list[str]:
    return [path.name for path in (root / "uploads").iterdir()]


# --- crashes

STEPS = """
import os, signal
from pathlib import Path

root, steps = Path(sys.argv[1]), 0

def dies_at(last, step):
    def call(*args, **kwargs):
        global steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*args, **kwargs)
    return call

async def upload(folder):
    blobs, data = LocalBlobs(folder), content(7, 2_500_000)
    await blobs.begin("a", len(data))
    await blobs.append("a", 0, in_pieces(data[:1_200_000]))
    await blobs.append("a", 1_200_000, in_pieces(data[1_200_000:]))
    await blobs.finish("a")

for last in range(1, 1000):
    child = os.fork()
    if child == 0:
        for name in "open close mkdir pwrite fsync fdatasync fchmod utime replace unlink ftruncate".split():
            setattr(os, name, dies_at(last, getattr(os, name)))
        asyncio.run(upload(root / str(last)))
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(last)
"""


async def test_killed_before_any_step_an_upload_goes_on_or_is_swept(tmp_path: Path) -> None:
    killed = int(writer(tmp_path, STEPS).communicate(timeout=120)[0]) - 1
    assert killed > 30, "the steps were not counted"
    data, done = content(7, 2_500_000), 0
    for number in range(1, killed + 1):
        folder = tmp_path / str(number)
        swept = tmp_path / f"{number}-swept"
        if folder.exists():  # the first step makes it
            shutil.copytree(folder, swept)
        await sweep_all(LocalBlobs(swept))
        assert leftovers(swept) == []
        blobs = LocalBlobs(folder)
        assert torn(folder) == []
        if list(blobs.stored()):
            done += 1
        else:
            await blobs.begin("a", len(data))
            offset = await blobs.offset("a")
            await blobs.append("a", offset, in_pieces(data[offset:]))
            await blobs.finish("a", digest(data))
        assert await get(blobs, digest(data)) == data
        await sweep_all(blobs)
        assert leftovers(folder) == []
    assert 0 < done < killed


LOAD = """
async def load():
    size = random.Random(int(sys.argv[2]))
    for number in range(1_000_000):
        name = f"{sys.argv[2]}-{number}"
        data = content(number, size.choice([10, 70_000, 1_500_000, 4_000_000]))
        print("begun", name, len(data), flush=True)
        print("done", name, await put(blobs, name, data), flush=True)

asyncio.run(load())
"""


async def _crash(root: Path, rounds: int) -> tuple[int, int]:
    """Kill a writing process at random moments; how many uploads were acknowledged, how many went on afterwards."""
    chance, acknowledged, resumed = random.Random(20261121), 0, 0
    for number in range(rounds):
        words = _kill(root, number, chance)
        blobs = LocalBlobs(root)
        assert torn(root) == []
        for _, _, sha256 in (line for line in words if line[0] == "done"):
            assert blobs.path(Sha256(sha256)) is not None, "an acknowledged blob is lost"
            acknowledged += 1
        resumed += await _go_on(blobs, words[-1])
        await sweep_all(blobs)
        assert leftovers(root) == []
    return acknowledged, resumed


def _kill(root: Path, number: int, chance: random.Random) -> list[list[str]]:
    """Kill one writing process; what it said until then."""
    process = writer(root, LOAD, str(number))
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(chance.randrange(1, 8))]
    time.sleep(chance.uniform(0, 0.03))  # the moment of the power cut, not a wait for something
    process.kill()
    said += process.communicate()[0].splitlines(keepends=True)
    return [line.split() for line in said if line.endswith("\n")]


async def _go_on(blobs: LocalBlobs, last: list[str]) -> bool:
    """Resume what was under way, where it got far enough to be."""
    if last[0] != "begun":
        return False
    data = content(int(last[1].split("-")[1]), int(last[2]))
    try:
        offset = await blobs.offset(last[1])
    except NotFoundError:
        return False
    await blobs.append(last[1], offset, in_pieces(data[offset:]))
    return (await blobs.finish(last[1], digest(data))).size == len(data)


async def test_kill_9_of_a_writing_process(root: Path) -> None:
    acknowledged, _ = await _crash(root, 8)
    assert acknowledged > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_kill_9_of_a_writing_process_many_times(
    root: Path, record_property: Callable[[str, object], None]
) -> None:
    acknowledged, resumed = await _crash(root, 150)
    record_property("blobs", f"{acknowledged} acknowledged and found, {resumed} resumed after 150 kills")
    assert resumed > 10


async def test_bytes_are_synced_before_they_have_their_name_and_the_name_after(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = LocalBlobs(root)
    calls = _record(monkeypatch)
    sha256 = await put(blobs, "a", content(1, 3 * MIB))
    name = f"blobs/{sha256[:2]}/{sha256}"
    what = [call for call, _ in calls]
    named = what.index(("replace", name))
    assert ("fsync", "uploads/a") in what[:named]
    assert not [call for call in what[what.index(("fsync", "uploads/a")) :] if call[0] == "pwrite"]
    assert ("fsync", f"blobs/{sha256[:2]}") in what[named:]
    assert ("fsync", "blobs") in what[what.index(("mkdir", f"blobs/{sha256[:2]}")) :]
    # The state file may say only what is durable.
    says = len(what) - 1 - what[::-1].index(("pwrite", "uploads/a.state"))
    written = len(what) - 1 - what[::-1].index(("pwrite", "uploads/a"))
    assert ("fdatasync", "uploads/a") in what[written:says]


async def test_the_disk_is_worked_outside_the_event_loop_and_bytes_are_hashed_as_they_come(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = LocalBlobs(root)
    calls = _record(monkeypatch)
    sha256 = await put(blobs, "a", content(1, 3 * MIB))
    assert {thread for _, thread in calls} & {threading.main_thread().name} == set()
    assert [call for call, _ in calls if call[0] == "pread"] == []
    with blobs.open(sha256) as blob:
        await blob.read_at(0, 10)
    assert calls[-1][0][0] == "pread"
    assert calls[-1][1] != threading.main_thread().name


def _record(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, str], str]]:
    """Every call that concerns the disk: what, on which file, in which thread."""
    calls: list[tuple[tuple[str, str], str]] = []

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            subject = args[1] if name == "replace" else args[0]
            path = str(Path(f"/proc/self/fd/{subject}").readlink()) if isinstance(subject, int) else str(subject)
            calls.append(((name, re.sub(r".*/store/", "", path)), threading.current_thread().name))
            return call(*args, **kwargs)

        return step

    for name in ("mkdir", "pread", "pwrite", "fsync", "fdatasync", "replace"):
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    return calls


# --- other processes

TOGETHER = """
async def both():
    for number in range(30):
        print(await put(blobs, f"{sys.argv[2]}-{number}", content(number, 200_000)), flush=True)

asyncio.run(both())
"""


async def test_two_processes_store_the_same_bytes(root: Path) -> None:
    LocalBlobs(root)
    processes = [writer(root, TOGETHER, name) for name in ("one", "two")]
    said = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    expected = [digest(content(number, 200_000)) for number in range(30)]
    assert said == [expected, expected]
    assert {sha for sha, _, _ in LocalBlobs(root).stored()} == set(expected)
    assert torn(root) == []
    assert leftovers(root) == []


HELD = """
async def slow():
    yield b"1"
    print("holds", flush=True)
    sys.stdin.read()
    yield b"2"

asyncio.run(blobs.append("a", 0, slow()))
"""


async def test_an_append_of_another_process_keeps_ours_out_until_it_dies(root: Path) -> None:
    blobs = LocalBlobs(root)
    await blobs.begin("a", 10)
    read, write = os.pipe()
    process = writer(root, HELD, stdin=read)
    os.close(read)
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    with pytest.raises(InvalidStateError):
        await blobs.append("a", 0, chunks(b"x"))
    process.kill()
    process.communicate()
    os.close(write)
    offset = await blobs.offset("a")
    assert await blobs.append("a", offset, chunks(b"x")) == offset + 1


async def test_what_another_process_wrote_is_not_taken_for_ours(root: Path) -> None:
    blobs, other = LocalBlobs(root), LocalBlobs(root)
    await blobs.begin("a", 10)
    await blobs.append("a", 0, chunks(b"mine"))
    await other.abort("a")
    await other.begin("a", 10)
    await other.append("a", 0, chunks(b"them"))
    assert (await blobs.finish("a")).sha256 == digest(b"them")


async def test_who_opened_an_upload_just_before_it_became_a_blob_does_not_write_into_the_blob(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, other = LocalBlobs(root), LocalBlobs(root)
    await blobs.begin("a", 100)
    await blobs.append("a", 0, chunks(b"done"))
    lock = fcntl.flock

    def finished_meanwhile(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        other._finish("a", None, None)
        uploads.begin(root / "uploads", "a", 100)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", finished_meanwhile)
    with pytest.raises(NotFoundError):
        await blobs.append("a", 0, chunks(b"other"))
    assert await get(blobs, digest(b"done")) == b"done"


# --- full disks


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB and 40 files."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=40", "otaru-test", folder], check=False, capture_output=True
    )
    if mount.returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_loses_nothing_and_the_upload_goes_on(tiny: Path) -> None:
    blobs = LocalBlobs(tiny / "store")
    kept = await put(blobs, "kept", content(1, 2 * MIB))
    data = content(2, 3 * MIB)
    await blobs.begin("a", len(data))
    with pytest.raises(StorageFullError):
        await blobs.append("a", 0, in_pieces(data))
    offset = await blobs.offset("a")
    assert MIB < offset < 2 * MIB
    assert digest(await get(blobs, kept)) == kept
    with pytest.raises(StorageFullError):
        await blobs.append("a", offset, in_pieces(data[offset:]))
    await blobs.remove(kept)
    offset = await blobs.offset("a")
    await blobs.append("a", offset, in_pieces(data[offset:]))
    assert (await blobs.finish("a")).sha256 == digest(data)


def _fill(folder: Path) -> None:
    """Make files until no more can be made."""
    folder.mkdir()
    with suppress(OSError):
        for number in range(100):
            (folder / str(number)).touch()


async def test_a_disk_without_room_for_a_file_refuses_beginnings_and_keeps_what_is_to_be_finished(tiny: Path) -> None:
    blobs = LocalBlobs(tiny / "store")
    await blobs.begin("a", 10)
    await blobs.append("a", 0, chunks(b"data"))
    _fill(tiny / "filler")
    with pytest.raises(StorageFullError):
        await blobs.begin("b", 10)
    with pytest.raises(StorageFullError):
        await blobs.finish("a")
    shutil.rmtree(tiny / "filler")
    with pytest.raises(NotFoundError):
        await blobs.offset("b")
    assert (await blobs.finish("a")).sha256 == digest(b"data")


LIMITED = """
import resource
from otaru.errors import StorageFullError

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def full():
    data = content(3, 3_000_000)
    await blobs.begin("a", len(data))
    limit(1_234_567)
    try:
        await blobs.append("a", 0, in_pieces(data))
    except StorageFullError as error:
        print(error.code)
    offset = await blobs.offset("a")
    print(offset)
    limit(resource.RLIM_INFINITY)
    await blobs.append("a", offset, in_pieces(data[offset:]))
    print(await blobs.finish("a") is not None and torn)

torn = "whole"
asyncio.run(full())
"""


async def test_a_file_that_may_not_grow_is_a_full_disk(root: Path) -> None:
    """Needs no root: the system's limit of a file's size fails a write in its middle, as a full disk does."""
    process = writer(root, LIMITED)
    assert process.communicate(timeout=60)[0].split() == ["storage_full", "1234567", "whole"]
    assert [sha for sha, _, _ in LocalBlobs(root).stored()] == [digest(content(3, 3_000_000))]


# --- files, memory


@pytest.mark.parametrize("umask", [0, 0o077])
async def test_files_are_private(root: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        await _one_of_each(LocalBlobs(root))
    finally:
        os.umask(before)
    assert set(_modes(root).values()) == {0o600, 0o700}


async def test_blobs_are_open_to_a_group_that_may_read_the_root_but_uploads_are_not(root: Path) -> None:
    os.mkdir(root, 0o750)  # noqa: PTH102 - a folder that an operator made
    await _one_of_each(LocalBlobs(root))
    modes = {re.sub("/[0-9a-f]{2,}", "/x", name): mode for name, mode in _modes(root).items()}
    assert modes == {
        ".": 0o750, "blobs": 0o750, "blobs/x": 0o750, "blobs/x/x": 0o640,
        "uploads": 0o700, "uploads/open": 0o600, "uploads/open.state": 0o600,
    }  # fmt: skip


async def _one_of_each(blobs: LocalBlobs) -> None:
    await put(blobs, "done", b"x")
    await blobs.begin("open", 1)


def _modes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mode & 0o7777 for path in (root, *root.rglob("*"))}


async def test_a_damaged_blob_heals_when_its_bytes_come_again(root: Path) -> None:
    blobs = LocalBlobs(root)
    sha256 = await put(blobs, "a", b"right")
    (root / (blobs.path(sha256) or "")).write_bytes(b"wrong")
    await put(blobs, "b", b"right")
    assert await get(blobs, sha256) == b"right"


async def test_what_lies_beyond_the_durable_bytes_is_cut_off(root: Path) -> None:
    """As after a power cut: the file grew, its bytes did not come along."""
    blobs = LocalBlobs(root)
    await blobs.begin("a", 100)
    await blobs.append("a", 0, chunks(b"durable"))
    with (root / "uploads" / "a").open("ab") as file:
        file.write(bytes(20))
    assert await LocalBlobs(root).offset("a") == 7
    await blobs.append("a", 7, chunks(b" and more"))
    assert (await blobs.finish("a")).sha256 == digest(b"durable and more")


async def test_strange_files_in_the_folder_are_left_alone(root: Path) -> None:
    blobs = LocalBlobs(root)
    await put(blobs, "a", b"x")
    (root / "blobs" / "zz").mkdir()
    (root / "blobs" / "zz" / ".note").touch()
    (root / "uploads" / "lost+found").mkdir()
    await sweep_all(blobs)
    assert len(list(blobs.stored())) == 1
    assert (root / "blobs" / "zz" / ".note").exists()


STREAM = """
def peak_kib():
    # Not ru_maxrss: that begins with the memory of whoever started us.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

async def flow(count):
    chunk = random.Random(1).randbytes(65_536)
    for _ in range(count):
        yield chunk

async def one(name, mib):
    await blobs.begin(name, mib << 20)
    await blobs.append(name, 0, flow(mib * 16))
    await blobs.finish(name)

asyncio.run(one("warm", 8))
before = peak_kib()
asyncio.run(one("large", int(sys.argv[2])))
print(peak_kib() - before)
"""


def _growth_kib(root: Path, mib: int) -> int:
    return int(writer(root, STREAM, str(mib)).communicate(timeout=300)[0])


def test_memory_does_not_grow_with_the_file(root: Path) -> None:
    assert _growth_kib(root, 200) < 8 * 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_a_file_of_a_gibibyte(
    root: Path, record_property: Callable[[str, object], None]
) -> None:
    growth = _growth_kib(root, 1024)
    record_property("rss_growth_kib", growth)
    assert growth < 32 * 1024
