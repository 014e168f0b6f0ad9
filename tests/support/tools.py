"""The programs that make firmware images in the world."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def found(name: str) -> str | None:
    """A program beside this Python, of the system, or in the folder OTARU_TOOLS names (imgtool and esptool are big)."""
    folders = [str(Path(sys.executable).parent), os.environ.get("OTARU_TOOLS", ""), os.environ.get("PATH", "")]
    return shutil.which(name, path=os.pathsep.join(filter(None, folders)))


def run(name: str, *arguments: object, cwd: Path | None = None) -> bytes:
    """Run a program, or skip the test where it is not installed."""
    program = found(name)
    if program is None:
        pytest.skip(f"{name} is not installed: its images are not tested")
    done = subprocess.run([program, *map(str, arguments)], cwd=cwd, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return done.stdout
