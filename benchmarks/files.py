"""`python -m benchmarks.files`: downloads and uploads of our file engine beside nginx's sendfile, in turns.

The engine runs alone (`files.serve_artifact` under `apps/server/http.py`, no credentials, no database), so the numbers
are what a byte costs; what a request costs besides is the poll benchmark's business. CPU is the process tree's.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.measure import cpu_s, spread
from benchmarks.subjects.process import Process, source_folder
from otaru.adapters.blobs.local import LocalBlobs
from otaru.apps.server.body import Receive, Scope, Send
from otaru.apps.server.files import serve_artifact
from otaru.apps.server.http import Server, config
from otaru.domain.ids import Sha256, sha256

MIB = 1024 * 1024
SIZE = 64 * MIB
RANGE = 128 * 1024

_CONFIG = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream engine {{ server 127.0.0.1:{upstream}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location /plain/ {{ alias {root}/; }}
    location /_otaru/ {{ internal; alias {root}/; etag off; add_header ETag $upstream_http_etag; }}
    location / {{ proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

_RANGES = """
local size, part, turn = {size}, {part}, 0
request = function()
  turn = (turn + 7919) % math.floor(size / part)
  wrk.headers["Range"] = string.format("bytes=%d-%d", turn * part, (turn + 1) * part - 1)
  return wrk.format()
end
"""
_DONE = """
done = function(summary) io.stderr:write(string.format("%d %d %d\\n", summary.requests, summary.bytes,
  summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status)) end
"""


class Files:
    """The application: `/SHA256` by itself, `/accel/SHA256` for nginx."""

    def __init__(self, root: Path) -> None:
        self._blobs = LocalBlobs(root)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        x_accel = "/_otaru/" if path.startswith("/accel/") else ""
        name = sha256(path.rpartition("/")[2])
        await serve_artifact(scope, receive, send, self._blobs, name, filename="f.bin", x_accel=x_accel)


def serve(root: str, port: str) -> None:
    """A process of its own."""
    import uvloop  # noqa: PLC0415

    settings = config(Files(Path(root)))
    settings.host, settings.port = "127.0.0.1", int(port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Server(settings).serve())


@dataclass(frozen=True, slots=True)
class Entrant:
    """A way to fetch the file."""

    name: str
    url: str
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One round."""

    requests: int
    size: int
    cpu_s: float
    took_s: float


def _load(entrant: Entrant, script: Path, connections: int, seconds: int) -> Sample:
    before, began = sum(map(cpu_s, entrant.pids)), time.monotonic()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), entrant.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 120)
    time.sleep(0.3)
    requests, size, errors = map(int, done.stderr.split()[-3:])
    if errors:
        raise RuntimeError(f"{entrant.name}: {errors} errors\n{done.stdout}")
    return Sample(requests, size, sum(map(cpu_s, entrant.pids)) - before, time.monotonic() - began)


def _race(entrants: list[Entrant], script: Path, *, connections: int, rounds: int, seconds: int) -> None:
    samples: dict[str, list[Sample]] = {entrant.name: [] for entrant in entrants}
    for number in range(rounds):
        turn = number % len(entrants)
        for entrant in [*entrants[turn:], *entrants[:turn]]:
            samples[entrant.name].append(_load(entrant, script, connections, seconds))
    base = samples[entrants[0].name]
    for entrant in entrants:
        found = samples[entrant.name]
        # By the bytes that arrived: what was under way when the load stopped is work, too.
        cost = [sample.cpu_s / sample.size for sample in found]
        ratio = spread([mine / (other.cpu_s / other.size) for mine, other in zip(cost, base, strict=True)])
        print(
            f"  {entrant.name:24} {ratio.middle:5.2f} ({ratio.least:.2f}-{ratio.greatest:.2f}) x nginx   "
            f"{median(cost) * MIB * 1e6:7.1f} us/MiB   "
            f"{median([s.cpu_s / s.requests for s in found]) * 1e6:8.1f} us/request   "
            f"{median([s.size / s.took_s for s in found]) / MIB:7.0f} MiB/s"
        )


async def _fill(root: Path) -> Sha256:
    blobs = LocalBlobs(root)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(SIZE // MIB):
            yield os.urandom(MIB)

    await blobs.begin("file", SIZE)
    await blobs.append("file", 0, chunks())
    return (await blobs.finish("file")).sha256


def downloads(folder: Path, rounds: int, seconds: int) -> None:
    root = folder / "artifacts"
    name = asyncio.run(_fill(root))
    path = LocalBlobs(root).path(name)
    (folder / "whole.lua").write_text(_DONE)
    (folder / "ranges.lua").write_text(_RANGES.format(size=SIZE, part=RANGE) + _DONE)
    with ExitStack() as stack:
        ours, nginx = Process("engine"), Process("nginx")
        stack.callback(ours.stop)
        stack.callback(nginx.stop)
        source = source_folder()
        ours.run(
            [sys.executable, "-m", "benchmarks.files", "--serve", str(root), str(ours.port)],
            {"PYTHONPATH": f"{source}:{source / 'src'}"},
        )
        text = _CONFIG.format(
            folder=nginx.folder,
            port=nginx.port,
            upstream=ours.port,
            root=root,
            user="user root;" if os.geteuid() == 0 else "",
        )
        (nginx.folder / "nginx.conf").write_text(text)
        nginx.run([_nginx(), "-p", str(nginx.folder), "-c", str(nginx.folder / "nginx.conf")])
        entrants = [
            Entrant("nginx sendfile", f"http://127.0.0.1:{nginx.port}/plain/{path}", (nginx.pid,)),
            Entrant("ours, kernel copy", f"http://127.0.0.1:{ours.port}/{name}", (ours.pid,)),
            Entrant("X-Accel (nginx + ours)", f"http://127.0.0.1:{nginx.port}/accel/{name}", (nginx.pid, ours.pid)),
        ]
        print(f"whole file of {SIZE // MIB} MiB, 4 connections, {rounds} rounds of {seconds} s")
        _race(entrants, folder / "whole.lua", connections=4, rounds=rounds, seconds=seconds)
        print(f"ranges of {RANGE // 1024} KiB, 16 connections")
        _race(entrants, folder / "ranges.lua", connections=16, rounds=rounds, seconds=seconds)


def _nginx() -> str:
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") or "nginx"


_UPLOAD = """
import asyncio, random, sys, time
from pathlib import Path
from otaru.adapters.blobs.local import LocalBlobs

chunk = random.Random(1).randbytes(65_536)

async def chunks(count):
    for _ in range(count):
        yield chunk

async def upload(blobs, name, mib):
    await blobs.begin(name, mib << 20)
    await blobs.append(name, 0, chunks(mib * 16))
    return await blobs.finish(name)

def kib():
    # Not ru_maxrss: that begins with the memory of whoever started us.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

def main(folder, mib):
    blobs = LocalBlobs(Path(folder))
    asyncio.run(upload(blobs, "warm", 8))
    before, began, used = kib(), time.monotonic(), time.process_time()
    asyncio.run(upload(blobs, "large", mib))
    took, cpu = time.monotonic() - began, time.process_time() - used
    print(f"  {mib} MiB: RSS grew by {(kib() - before) / 1024:.1f} MiB, {mib / took:.0f} MiB/s, CPU {cpu / mib * 1e3:.2f} ms/MiB")

main(sys.argv[1], int(sys.argv[2]))
"""


def uploads(folder: Path, mib: int) -> None:
    source = source_folder()
    environment = {**os.environ, "PYTHONPATH": f"{source}:{source / 'src'}"}
    print("upload: append and finish, three digests, synced")
    for size in (64, mib):
        target = folder / f"up-{size}"
        subprocess.run([sys.executable, "-c", _UPLOAD, str(target), str(size)], check=True, env=environment)
        shutil.rmtree(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--upload-mib", type=int, default=1024)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(*chosen.serve)
        return
    with tempfile.TemporaryDirectory(prefix="otaru-bench-files-") as name:
        downloads(Path(name), chosen.rounds, chosen.seconds)
        uploads(Path(name), chosen.upload_mib)


if __name__ == "__main__":
    main()
