"""The commands of README and quick start are run as they stand there."""

import contextlib
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import call
from tests.support.ddi import eventually
from tests.support.server import OTARU, environment, serving

ROOT = Path(__file__).parents[2]


def commands(page: str) -> list[str]:
    """The lines of a page's plain code blocks that are for the second terminal; `serve` is the test's own."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    wanted = [line for line in lines if line.startswith(("otaru ", "head ", "export OTARU_TOKEN"))]
    return [line for line in wanted if not line.startswith("otaru serve")]


@pytest.mark.parametrize("page", ["README.md", "docs/quick-start.md"])
def test_commands_work_as_written(page: str, tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    script = bin_ / "otaru"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{OTARU[2]}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    lines = commands(page)
    assert len(lines) >= 6, lines
    with serving(tmp_path / "otaru-data") as server:
        # One shell for all, as a person has.
        for at, line in enumerate(lines):
            shell = "\n".join(["set -e", *[one for one in lines[:at] if one.startswith("export")], line])
            env = environment(OTARU_SERVER=server.url, PATH=f"{bin_}:{os.environ['PATH']}")
            done = subprocess.run(
                ["bash", "-c", shell], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            if "--json" in line:
                json.loads(done.stdout)
    assert "1.1.0" in done.stdout


def test_the_page_on_the_log_works_as_written(tmp_path: Path) -> None:
    (tmp_path / "app.swu").write_bytes(b"app")
    lines = commands("docs/log.md")
    assert {line.split()[2] for line in lines} == {
        "show",
        "verify",
        "prove",
        "check",
        "witness",
        "entries",
        "checkpoint",
        "erase",
    }
    with serving(tmp_path / "otaru-data") as server, contextlib.chdir(tmp_path):
        added = "release add app.swu --name app --version 1.1.0 --hardware default"
        assert call(server, *added.split()).returncode == 0
        with server.api() as api:
            eventually(lambda: all(log["signed"] for log in api.get("/log").json()["logs"]))
        for line in lines:
            done = call(server, *shlex.split(line)[1:])
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
