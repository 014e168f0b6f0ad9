"""The demo's server: `otaru serve` as a child process on loopback, and how the demo gets at it."""

import asyncio
import contextlib
import ctypes
import errno
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from otaru.apps.cli.demo.folder import Folder
from otaru.errors import UnavailableError

PORT = 8080
START_S = 60.0
STOP_S = 20.0

_OTARU = (sys.executable, "-c", "import sys; from otaru.apps.cli import main; sys.exit(main())")
_PR_SET_PDEATHSIG = 1
_URL = re.compile(r"https?://\S+")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    url: str
    login: str
    """Logs a browser in, once."""


@asynccontextmanager
async def serving(folder: Folder) -> AsyncIterator[Server]:
    """Run a server on the demo's folder and end it cleanly afterwards.

    Raises:
        UnavailableError: it does not come up; the message is its own.
    """
    port = PORT if _free(PORT) else 0
    log = folder.log
    with log.open("ab") as errors:
        start = errors.tell()
        child = await asyncio.create_subprocess_exec(
            *_OTARU,
            *("serve", "--data", "..", "--listen", f"127.0.0.1:{port}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment(),
            cwd=folder.own,  # no otaru.toml of another server is read there, and the socket's path stays short
            start_new_session=True,  # Ctrl-C is for us; we end the server when the devices are down
            preexec_fn=_bound_to_us(),
        )
    try:
        server = await _greeting(child)
        if server is None:
            raise UnavailableError(
                f"the server does not start on {folder.data}: {_last_line(log, start)}", hint=f"Its log: {log}."
            )
        yield server
    finally:
        await _end(child)


async def command(*words: str) -> str:
    """Run a command of ours to its end, and return what it prints.

    Raises:
        UnavailableError: it fails; the message is its own.
    """
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*_OTARU, *words, stdout=pipe, stderr=pipe, env=environment())
    try:
        out, problems = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode != 0:
        raise UnavailableError(f"otaru {words[0]} failed: {problems.decode(errors='replace').strip()}")
    return out.decode()


def environment() -> dict[str, str]:
    """Ours without settings of Otaru: the demo shows the defaults, and touches nobody else's server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTARU_")}


def _bound_to_us() -> Callable[[], None] | None:
    """What makes a child end (SIGTERM) when we end, however that was: without it a killed demo leaves its server behind.

    Linux alone has it (prctl(2), PR_SET_PDEATHSIG); None elsewhere.
    """
    if sys.platform != "linux":
        return None
    prctl, ours = ctypes.CDLL(None).prctl, os.getpid()  # found before the fork: after it only the call is left to do

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != ours:  # we ended before it was set
            os._exit(1)

    return bind


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


async def _greeting(child: asyncio.subprocess.Process) -> Server | None:
    """The addresses that the server prints when it answers; None where it ends before, or does not come up in time."""
    if child.stdout is None:
        return None
    url = ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            async for line in child.stdout:
                found = _URL.search(line.decode())
                if found is not None and "/login?code=" in found[0]:
                    return Server(url, found[0])
                url = found[0] if found is not None else url
    return None


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def _last_line(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        lines = [line.strip() for line in file.read(64 * 1024).decode(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("otaru:")] or lines
    return said[-1].removeprefix("otaru:").strip() if said else "it says nothing"
