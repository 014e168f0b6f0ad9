"""Programs of the device: what they are started with, and how it is told that they failed."""

from pathlib import Path

import pytest

from otaru.adapters.board import dumping
from otaru.adapters.board.health import CommandCheck
from otaru.adapters.board.program import run
from otaru.errors import InstallError


def test_a_program_is_not_told_what_opens_the_key_of_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTARU_PIN", "648219")
    monkeypatch.setenv("OTARU_TOKEN", "of-a-person")
    monkeypatch.setenv("OTARU_OTHER", "theirs")
    found = run(["env"], 10, {"OTARU_FILE": "/f"}).splitlines()
    assert {"OTARU_OTHER=theirs", "OTARU_FILE=/f"} <= set(found)
    assert not [line for line in found if line.startswith(("OTARU_PIN", "OTARU_TOKEN"))]
    dumping.dumped(["env"], str(tmp_path / "saved"), 10, 1 << 20)
    saved = (tmp_path / "saved").read_bytes()
    assert b"OTARU_OTHER=theirs" in saved
    assert b"OTARU_PIN" not in saved
    assert b"OTARU_TOKEN" not in saved


def test_one_that_says_nothing_failed_all_the_same() -> None:
    with pytest.raises(InstallError) as caught:
        run(["false"], 10)
    assert caught.value.message == "false ended with 1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["false"], "ended with 1"),
        (["sh", "-c", "echo no: it is ill; exit 3"], "ended with 3: no: it is ill"),
        (["/nowhere"], "No such file or directory"),
        (["true"], ""),
    ],
)
def test_a_check_names_its_program_once(words: list[str], said: str) -> None:
    assert CommandCheck(words, 10).wrong() == said
