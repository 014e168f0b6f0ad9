"""Programs whose output is a backup: bounded in time and bytes, and their own words where they fail. And a real disk."""

import os
from pathlib import Path

import pytest

from otaru.adapters.age import Identity
from otaru.adapters.board.backup import FolderSafe, Item, Rules, own_identity
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.dumping import dumped, fed
from otaru.errors import BackupError


def test_what_a_program_prints_is_the_file_and_comes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "out")
    dumped(["sh", "-c", "printf 'a\\0b'; echo words >&2"], path, 20, 100)
    assert (tmp_path / "out").read_bytes() == b"a\0b"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    fed(["sh", "-c", f"cat > {tmp_path}/back"], path, 20)
    assert (tmp_path / "back").read_bytes() == b"a\0b"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/no/such"], "No such file"),
        (["sh", "-c", "echo why >&2; exit 3"], "ended with 3: why"),
        (["sh", "-c", "sleep 60"], "longer than 0.3 s"),
        (["sh", "-c", "while :; do echo more; done"], "more than is allowed"),
        (["head", "-c", "101", "/dev/zero"], "more than is allowed"),
    ],
)
def test_one_that_fails_says_why(words: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=said):
        dumped(words, str(tmp_path / "out"), 0.3 if "sleep" in words[-1] else 30, 100)


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "deep/er").mkdir(parents=True, mode=0o700)
    (state / "deep/er/file").write_bytes(os.urandom(200_000))
    (state / "deep/er/file").chmod(0o4711)
    (state / "deep/ünï \n").write_text("odd")
    os.fsencode(state)
    (state / os.fsdecode(b"\xff\xfe")).write_text("no UTF-8")
    (state / ("long" * 50)).mkdir()
    (state / ("long" * 50) / ("er" * 100)).write_text("")
    (state / "dangling").symlink_to("/nowhere/at/all")
    os.mkfifo(state / "pipe")

    def seen() -> dict[str, object]:
        found: dict[str, object] = {}
        for path in sorted(state.rglob("*")):
            if not path.is_fifo():
                what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
                found[str(path)] = (what, path.lstat().st_mode)
        return found

    before, disk = seen(), LocalDisk()
    own = own_identity(disk, str(tmp_path / "data/backup.key"))
    assert own_identity(disk, str(tmp_path / "data/backup.key")) == own
    assert (tmp_path / "data/backup.key").stat().st_mode & 0o777 == 0o600
    rules = Rules(items=[Item(name="state", path=str(state))])
    safe = FolderSafe(disk, str(tmp_path / "backups"), rules, own, now=lambda: "2026-11-22T00:00:00+00:00")
    name = safe.save([], "app:2")
    (state / "deep/er/file").write_text("spoiled")
    (state / "dangling").unlink()
    safe.restore(name)
    assert seen() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups", "data", "state"]
    assert next(safe.kept()).at == "2026-11-22T00:00:00+00:00"
    other = FolderSafe(disk, str(tmp_path / "backups"), rules, Identity.new())
    with pytest.raises(BackupError, match="encrypted for others"):
        other.restore(name)
    assert "cannot be opened" in next(other.kept()).release
