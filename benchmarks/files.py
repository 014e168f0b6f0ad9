"""Downloads and uploads beside nginx: what a byte costs, in turns.

A download is a device's: its token is checked, its deployment looked up, then the bytes come from Otaru itself, or from
nginx in front of it, which Otaru tells where they are (X-Accel-Redirect). The baseline is the same nginx giving out the
same file by itself. An upload is `POST /api/v1/artifacts`: three digests, synced, a row. It has two baselines: nginx's
WebDAV PUT, which writes what comes and neither hashes nor syncs it, and a loop that does with bytes in memory what has to
be done with them (written, three digests, synced) without a network. CPU is the process trees'.
"""

import hashlib
import http.client
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.measure import Spread, cpu_s, spread
from benchmarks.report import Mark, Section
from benchmarks.subjects import TENANT, Device, fleet, polls
from benchmarks.subjects.nginx import program
from benchmarks.subjects.otaru import Otaru
from benchmarks.subjects.process import Process, ask_bytes

MIB = 1024 * 1024
SIZE = 64 * MIB
RANGE = 128 * 1024
_STEP = MIB
_REST_S = 0.3

NGINX, DIRECT, ACCEL = "nginx sendfile", "Otaru, direct", "Otaru behind nginx, X-Accel"
OTARU, PUT, LOOP = "Otaru", "nginx WebDAV PUT", "loop: write, three digests, sync"

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
  client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream otaru {{ server 127.0.0.1:{upstream}; keepalive 32; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location /plain/ {{ alias {root}/; }}
    location /put/ {{ alias {folder}/put/; dav_methods PUT DELETE; }}
    location /_otaru/ {{ internal; alias {root}/; etag off; add_header ETag $upstream_http_etag; }}
    location / {{ proxy_pass http://otaru; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

_SCRIPT = """
wrk.headers["Authorization"] = "{authorization}"
local size, part, turn = {size}, {part}, 0
if part > 0 then
  request = function()
    turn = (turn + 7919) % math.floor(size / part)
    wrk.headers["Range"] = string.format("bytes=%d-%d", turn * part, (turn + 1) * part - 1)
    return wrk.format()
  end
end
done = function(summary) io.stderr:write(string.format("%d %d %d\\n", summary.requests, summary.bytes,
  summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status)) end
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one entrant."""

    requests: int
    size: int
    cpu_s: float
    took_s: float

    @property
    def us_per_mib(self) -> float:
        """By the bytes that arrived: what was under way when the load stopped is work, too."""
        return self.cpu_s * 1e6 / (self.size / MIB)


@dataclass(frozen=True, slots=True)
class FileRace:
    """Samples by entrant; the first is the one that others are measured by."""

    title: str
    words: str
    base: str
    samples: Mapping[str, Sequence[Sample]]

    def ratio(self, name: str) -> Spread:
        """An entrant's CPU by the baseline's, round by round."""
        pairs = zip(self.samples[name], self.samples[self.base], strict=True)
        return spread([mine.us_per_mib / base.us_per_mib for mine, base in pairs])

    def rows(self) -> list[Sequence[str]]:
        """For a table."""
        return [self._row(name, samples) for name, samples in self.samples.items()]

    def _row(self, name: str, samples: Sequence[Sample]) -> Sequence[str]:
        ratio = self.ratio(name)
        return (
            name,
            f"{ratio.middle:.2f} ({ratio.least:.2f} to {ratio.greatest:.2f})",
            f"{median([sample.us_per_mib for sample in samples]):,.0f}",
            f"{median([sample.cpu_s / sample.requests for sample in samples]) * 1e6:,.0f}",
            f"{median([sample.size / sample.took_s for sample in samples]) / MIB:,.0f}",
            f"{sum(sample.requests for sample in samples):,}",
        )


_MARKS = (
    ("a whole file", ACCEL, Mark("full download, X-Accel, against nginx", 1.3, 1.1, at_most=True)),
    ("a whole file", DIRECT, Mark("full download, direct, against nginx", 2.0, 1.4, at_most=True)),
    ("ranges", ACCEL, Mark("128 KiB ranges, X-Accel, against nginx", 2.0, 1.8, at_most=True)),
    ("ranges", DIRECT, Mark("128 KiB ranges, direct, against nginx", 3.0, 2.5, at_most=True)),
)


def section(race: FileRace) -> Section:
    """The report's part of it."""
    goals = [mark.row("1", race.ratio(name)) for what, name, mark in _MARKS if f": {what}" in race.title]
    return Section(race.title, race.words, HEAD, race.rows(), goals=goals)


HEAD = ("who", "CPU by the baseline's", "CPU µs per MiB", "CPU µs per request", "MiB/s", "requests")


def _race(turns: Mapping[str, Callable[[], Sample]], rounds: int) -> Mapping[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {name: [] for name in turns}
    order = list(turns)
    for number in range(rounds):
        turn = number % len(order)
        for name in [*order[turn:], *order[:turn]]:
            samples[name].append(turns[name]())
    return samples


def measure(*, rounds: int, seconds: int) -> list[FileRace]:
    """Whole files, ranges, uploads.

    Raises:
        MissingError: nginx or wrk is not there.
        RuntimeError: a request went wrong.
    """
    with ExitStack() as stack:
        direct, behind, nginx = Otaru(), Otaru("--x-accel", "/_otaru/"), Process("nginx")
        for ending in (direct.stop, behind.stop, nginx.stop):
            stack.callback(ending)
        content = random.Random(1).randbytes(SIZE)
        device = fleet(1)[0]
        paths = [_offered(otaru, device, content) for otaru in (direct, behind)]
        _serve_files(nginx, behind)
        return [*_downloads(nginx, direct, behind, paths, device, rounds, seconds), _uploads(nginx, direct, rounds)]


def _offered(otaru: Otaru, device: Device, content: bytes) -> str:
    """Bring the device to where it may download; the path of its file."""
    otaru.start([device])
    otaru.release("app", "1.1.0", ["default"], content)
    otaru.ask("POST", "/rollouts", {"release": "app:1.1.0", "target": "id==*", "start": True})
    ((method, path, authorization),) = polls([device])
    ask_bytes(otaru.port, method, path, authorization)
    action = otaru.ask("GET", f"/devices/{device.id}")["history"][0]["action"]
    return f"/{TENANT}/controller/v1/{device.id}/softwaremodules/{action}/artifacts/app.swu"


def _serve_files(nginx: Process, behind: Otaru) -> None:
    (nginx.folder / "put").mkdir()
    text = _CONFIG.format(
        folder=nginx.folder,
        port=nginx.port,
        upstream=behind.port,
        root=behind.data / "artifacts",
        user="user root;" if os.geteuid() == 0 else "",
    )
    (nginx.folder / "nginx.conf").write_text(text)
    nginx.run([program(), "-p", str(nginx.folder), "-c", str(nginx.folder / "nginx.conf")])


def _downloads(
    nginx: Process, direct: Otaru, behind: Otaru, paths: Sequence[str], device: Device, rounds: int, seconds: int
) -> list[FileRace]:
    (blob,) = (behind.data / "artifacts" / "blobs").glob("*/*")
    found: list[FileRace] = []
    for part, connections in ((0, 4), (RANGE, 16)):
        script = nginx.folder / f"load-{part}.lua"
        script.write_text(_SCRIPT.format(authorization=device.authorization, size=SIZE, part=part))
        get = partial(_get, script, connections, seconds)
        turns: Mapping[str, Callable[[], Sample]] = {
            NGINX: partial(get, nginx.port, f"/plain/{blob.relative_to(behind.data / 'artifacts')}", [nginx.pid]),
            DIRECT: partial(get, direct.port, paths[0], [direct.pid]),
            ACCEL: partial(get, nginx.port, paths[1], [nginx.pid, behind.pid]),
        }
        what = f"ranges of {part // 1024} KiB" if part else f"a whole file of {SIZE // MIB} MiB"
        words = f"{rounds} interleaved rounds of {seconds} s, {connections} connections with keep-alive."
        found.append(FileRace(f"Downloads: {what}", words, NGINX, _race(turns, rounds)))
    return found


def _get(script: Path, connections: int, seconds: int, port: int, path: str, pids: Sequence[int]) -> Sample:
    before, began = sum(map(cpu_s, pids)), time.monotonic()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script)]
    command.append(f"http://127.0.0.1:{port}{path}")
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 120)
    took = time.monotonic() - began
    time.sleep(_REST_S)
    requests, size, errors = map(int, done.stderr.split()[-3:])
    if errors:
        raise RuntimeError(f"{path}: {errors} errors\n{done.stdout}")
    return Sample(requests, size, sum(map(cpu_s, pids)) - before, took)


def _uploads(nginx: Process, otaru: Otaru, rounds: int) -> FileRace:
    contents = _contents(3 * rounds)
    headers = {"Authorization": otaru.authorization, "Content-Type": "application/octet-stream"}
    put = nginx.folder / "put" / "file"

    def ours() -> Sample:
        return _send(otaru.port, otaru.pid, "POST", "/api/v1/artifacts?filename=f.bin", headers, next(contents))

    def davs() -> Sample:
        sample = _send(nginx.port, nginx.pid, "PUT", "/put/file", {}, next(contents))
        put.unlink()
        return sample

    def loop() -> Sample:
        content = next(contents)
        before, began = time.process_time(), time.monotonic()
        _keep(nginx.folder / "loop", content)
        return Sample(1, SIZE, time.process_time() - before, time.monotonic() - began)

    words = f"{rounds} interleaved rounds of one upload of {SIZE // MIB} MiB, new bytes each time, over one connection."
    samples = _race({LOOP: loop, OTARU: ours, PUT: davs}, rounds)
    return FileRace(f"Uploads of {SIZE // MIB} MiB", words, LOOP, samples)


def _contents(number: int) -> Iterator[bytes]:
    rest = random.Random(2).randbytes(SIZE - 8)
    for one in range(number):
        yield one.to_bytes(8, "big") + rest


def _send(port: int, pid: int, method: str, path: str, headers: Mapping[str, str], content: bytes) -> Sample:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    before, began = cpu_s(pid), time.monotonic()
    connection.request(method, path, content, dict(headers))
    answer = connection.getresponse()
    said = answer.read()
    took = time.monotonic() - began
    connection.close()
    if answer.status != 201:
        raise RuntimeError(f"{method} {path}: {answer.status} {said.decode(errors='replace')[:500]}")
    time.sleep(_REST_S)
    return Sample(1, SIZE, cpu_s(pid) - before, took)


def _keep(path: Path, content: bytes) -> None:
    digests = [hashlib.sha256(), hashlib.sha1(usedforsecurity=False), hashlib.md5(usedforsecurity=False)]
    view = memoryview(content)
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(view), _STEP):
            file.write(view[start : start + _STEP])
            for digest in digests:
                digest.update(view[start : start + _STEP])
        os.fsync(file.fileno())
    path.unlink()
