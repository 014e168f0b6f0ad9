"""The bare prototype: the smallest ASGI application that answers Otaru's bytes, under stock uvicorn.

What a Python server on this stack can't go below. It routes nothing, checks no credential and remembers nothing.
"""

import base64
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.metadata import version
from typing import Any

import uvicorn

from benchmarks.load import Work, write_calls
from benchmarks.subjects import Device, polls
from benchmarks.subjects.process import Process, source_folder

Message = MutableMapping[str, Any]


class Bare:
    """A process that runs this module."""

    name = "bare ASGI"
    settle_s = 0.0

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._process = Process("bare")
        self._devices: list[Device] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def version(self) -> str:
        return f"uvicorn {uvicorn.__version__}, httptools, uvloop {version('uvloop')}"

    def start(self, devices: list[Device]) -> None:
        self._devices = devices
        answer = base64.b64encode(self._answer).decode()
        command = [sys.executable, "-m", "benchmarks.subjects.bare", str(self._process.port), answer]
        self._process.run(command, {"PYTHONPATH": str(source_folder())})

    def polls(self) -> Work:
        calls = self._process.folder / "polls.tsv"
        write_calls(calls, list(polls(self._devices)))
        return Work(self._process.port, calls, len(self._devices))

    def reports(self) -> None:
        return None

    def kept(self) -> int:
        return 0

    def stop(self) -> None:
        self._process.stop()


def application(body: bytes) -> Callable[..., Awaitable[None]]:
    """Answers `body` to whatever is asked."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    end = {"type": "http.response.body", "body": body}

    async def app(scope: Message, receive: object, send: Callable[[Message], Awaitable[None]]) -> None:
        del scope, receive
        await send(start)
        await send(end)

    return app


def main(port: int, body: bytes) -> None:
    config = uvicorn.Config(
        application(body),
        host="127.0.0.1",
        port=port,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        ws="none",
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), base64.b64decode(sys.argv[2]))
