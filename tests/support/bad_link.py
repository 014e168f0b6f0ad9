"""Run in a network namespace of its own: a download over a loopback of 5 kB/s that loses packets, from a server that breaks off.

Prints what happened as JSON.
"""

import contextlib
import json
import random
import re
import socket
import subprocess
import sys
import time
from hashlib import sha256

from otaru.adapters.clock import SystemClock
from otaru.adapters.links.native import Credential, native_link
from otaru.domain.ids import DEFAULT_TENANT, DeviceId, Version
from otaru.errors import OtaruError
from otaru.services.edge.fetch import Fetch
from otaru.trust.verify.payload import Payload
from otaru.trust.verify.target import Target
from tests.support.hostile import answer, hostile
from tests.support.sources import Memory

SIZE = 120_000
RATE = ("rate", "40kbit", "burst", "3000", "limit", "6000")
"""5 kB/s; what does not fit into a queue of four packets is lost."""


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def main() -> None:
    run("ip", "link", "set", "lo", "mtu", "1500", "up")
    run("tc", "qdisc", "add", "dev", "lo", "root", "tbf", *RATE)
    lots = random.Random(7)
    content = lots.randbytes(SIZE)
    asked: list[int] = []

    def serve(head: bytes, client: socket.socket) -> None:
        first = int(head.lower().partition(b"range: bytes=")[2].partition(b"-")[0] or 0)
        asked.append(first)
        lines = [f"Content-Range: bytes {first}-{SIZE - 1}/{SIZE}", f"Content-Length: {SIZE - first}", 'ETag: "t"']
        body = content[first : first + lots.randrange(20_000, 60_000)]
        client.sendall(answer("206 Partial Content" if first else "200 OK", *lines, body=body))

    memory, clock = Memory(), SystemClock()
    target = Target("a/stable/1/f", SIZE, {"sha256": sha256(content).hexdigest()}, "a", (), Version("1"), 0, "file")
    began = time.monotonic()
    errors: list[str] = []
    with hostile(serve) as server, native_link(server.url, DEFAULT_TENANT, DeviceId("d"), Credential(), clock) as link:
        fetching = Fetch(
            link, memory, SIZE, lambda: Payload(target), [f"{server.url}/f"], clock, time.sleep, lots.random
        )
        for _ in range(50):
            try:
                fetching.run()
            except OtaruError as error:
                errors.append(error.code)
                time.sleep(min(error.facts["retry_after_s"], 2))
            else:
                break
    with contextlib.suppress(IndexError):
        sent, dropped = re.findall(r"Sent (\d+) bytes .*dropped (\d+)", run("tc", "-s", "qdisc", "show", "dev", "lo"))[
            0
        ]
    told = {
        "right": bytes(memory.data) == content,
        "seconds": round(time.monotonic() - began, 1),
        "connections": asked,
        "errors": errors,
        "bytes_on_the_wire": int(sent),
        "packets_lost": int(dropped),
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
