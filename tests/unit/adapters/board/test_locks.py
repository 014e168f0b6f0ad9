"""Locks that applications hold, as they really hold them: a file, flock(2) in another process."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from otaru.adapters.board.locks import FileLock, Flock


def test_a_file_that_is_there_is_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock(str(path))
    assert lock.held() == ""
    path.symlink_to("nowhere")
    assert lock.held() == f"{path} is there"
    path.unlink()
    assert lock.held() == ""


@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_a_lock_is_held_until_its_holder_lets_it_go(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "lock"
    lock = Flock(str(path))
    assert lock.held() == "", "there is no such file yet"
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    assert lock.held() == ""
    fcntl.flock(file, kind)
    assert lock.held() == f"{path} is locked"
    os.close(file)
    assert lock.held() == ""


def test_who_dies_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    words = ["flock", str(path), "sh", "-c", "echo held; exec sleep 600"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            assert Flock(str(path)).held()
        finally:
            os.killpg(holder.pid, 9)
    assert Flock(str(path)).held() == ""


def test_looking_takes_no_lock_away(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    assert Flock(str(path)).held() == ""
    file = os.open(path, os.O_RDWR)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(file)


def test_what_cannot_be_seen_is_held(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    assert "cannot be seen" in Flock(str(loop)).held()
    os.mkfifo(tmp_path / "fifo")
    assert Flock(str(tmp_path / "fifo")).held() == "", "it does not wait for a writer"
