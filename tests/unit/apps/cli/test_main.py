"""The edge of the command line: what starts it, and what leaves it."""

import subprocess
import sys

import pytest

from otaru.apps import cli
from otaru.apps.cli import app as tree
from otaru.errors import InvalidInputError, RefusedError

HEAVY = {"httpx", "rich", "pydantic", "sqlalchemy", "fastapi", "uvicorn", "aiohttp", "asyncio", "ssl", "lark", "numpy"}


def test_help_imports_nothing_that_takes_long() -> None:
    program = "import sys; from otaru.apps.cli import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "rollout" in done.stdout
    assert not HEAVY & set(done.stderr.split())


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def broken(**_: object) -> None:
        raise error

    monkeypatch.setattr(tree, "app", broken)
    return cli.run([])


def test_our_errors_are_one_line_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(monkeypatch, RefusedError("the policy\nsays \x1b[31mno", hint="Ask.")) == 4
    assert capsys.readouterr().err == "otaru: the policy says �[31mno\n       Ask.\n"
    assert raising(monkeypatch, InvalidInputError("x")) == 2
    assert capsys.readouterr().err == "otaru: x\n"


def test_what_nobody_foresaw_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OTARU_DEBUG", raising=False)
    assert raising(monkeypatch, KeyError("a\nb")) == 1
    said = capsys.readouterr().err
    assert "KeyError" in said
    assert len(said.splitlines()) == 2


def test_a_traceback_is_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTARU_DEBUG", "1")
    with pytest.raises(KeyError):
        raising(monkeypatch, KeyError("a"))


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["--help"], 0), ([], 2), (["device"], 2), (["x"], 2)])
def test_usage(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words) == code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.out or printed.err
