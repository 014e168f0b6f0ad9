"""The command line in the process of the test."""

import contextlib
import io
import os
import subprocess
from unittest import mock

from otaru.apps.cli import run
from tests.support.server import Serving, environment


def call(server: Serving | None, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in this process: as `otaru` does it in its own, without the time that a start takes."""
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    given = environment(**(server.env if server else {}) | env)
    with (
        mock.patch.dict(os.environ, given, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        code = run(list(words))
    return subprocess.CompletedProcess(words, code, _written(out), _written(errors))


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
