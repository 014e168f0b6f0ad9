"""`python -m benchmarks.inspection`: what it takes to read a large image, as the server does when a release is made of it.

Time is that of the whole inspection, with the start of its process; memory is the most that process had resident. Beside
it stands the floor: the SHA-256 of the same file.
"""

import argparse
import asyncio
import gzip
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from otaru.adapters.blobs.local import LocalBlobs
from otaru.adapters.inspector.process import ProcessInspector
from otaru.images import recognise
from otaru.images.facts import Facts, Format, Payload
from otaru.ports.blobs import OpenBlob
from tests.support import images
from tests.support.images import signer

MIB = 1 << 20


def main() -> None:
    """Make images of a size, and read them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspection", description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of an image (default: %(default)s)")
    given = parser.parse_args()
    print(f"{given.mib} MiB, processor time and wall time in seconds, MiB resident at most")
    for name, make in {"plain": _plain, "swu": _swu, "rauc": _rauc, "mender": _mender}.items():
        with tempfile.TemporaryDirectory() as folder:
            print(asyncio.run(_measured(name, make, given.mib, Path(folder))), flush=True)


async def _measured(name: str, make: Callable[[IO[bytes], int], None], size: int, folder: Path) -> str:
    blobs = LocalBlobs(folder)
    made = folder / "made"
    with made.open("wb") as out:
        make(out, size)

    await blobs.begin("u", 1 << 40)
    await blobs.append("u", 0, _pieces(made))
    blob = await blobs.finish("u")
    started, cpu = time.monotonic(), time.process_time()
    with made.open("rb") as source:
        hashlib.file_digest(source, "sha256")
    floor, floor_cpu = time.monotonic() - started, time.process_time() - cpu
    made.unlink()
    started, cpu, most = time.monotonic(), _children_s(), [0]
    with blobs.open(blob.sha256) as opened, _watched(most):
        facts = await _inspected(opened)
    took, cpu = time.monotonic() - started, _children_s() - cpu
    return (
        f"{name:8} {facts.format:8} {facts.verdict:8} read: {cpu:6.2f} s of CPU, {took:6.2f} s, "
        f"{most[0] / 1024:4.0f} MiB; SHA-256 alone: {floor_cpu:6.2f} s of CPU, {floor:6.2f} s"
    )


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(MIB):
            yield piece


async def _inspected(blob: OpenBlob) -> Facts:
    """As `services.control.inspection` does."""
    start, end = await blob.read_at(0, recognise.START), await blob.read_at(blob.size - recognise.END, recognise.END)
    if recognise.is_plain(blob.size, start, end):
        return Facts(Format.PLAIN, payloads=(Payload("", blob.size),))
    anchor = images.anchor().encode()
    return await ProcessInspector().inspect(blob, dict.fromkeys((Format.SWU, Format.RAUC, Format.MENDER), (anchor,)))


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


@contextmanager
def _watched(most: list[int]) -> Iterator[None]:
    """Note the most kilobytes that a process of ours has resident."""
    over = threading.Event()
    children = Path(f"/proc/self/task/{os.getpid()}/children")

    def look() -> None:
        while not over.wait(0.02):
            for child in children.read_text().split():
                try:
                    status = Path(f"/proc/{child}/status").read_text()
                except OSError:
                    continue
                for line in status.splitlines():
                    if line.startswith("VmHWM:"):
                        most[0] = max(most[0], int(line.split()[1]))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _payload(size: int) -> Iterator[bytes]:
    block = os.urandom(MIB)
    for number in range(size):
        yield number.to_bytes(8) + block[8:]


def _plain(out: IO[bytes], size: int) -> None:
    for block in _payload(size):
        out.write(block)


def _swu(out: IO[bytes], size: int) -> None:
    """With the sums of cpio's form `crc`, as SWUpdate wants it, and a payload that sw-description names the digest of."""
    digest, total, blocks = hashlib.sha256(), 0, list(_payload(size))
    for block in blocks:
        digest.update(block)
        total += sum(block)
    text = images.description(b"", sha256=digest.hexdigest())
    proof = signer().cms(text)
    head = images.cpio(("sw-description", text), ("sw-description.sig", proof))
    head = head[: head.index(b"TRAILER!!!") - 110]
    numbers = (1, 0o100644, 0, 0, 1, 0, size * MIB, 0, 0, 0, 0, 9, total & 0xFFFFFFFF)
    member = b"070702" + b"".join(b"%08X" % number for number in numbers) + b"root.img\0"
    out.write(head + member)
    out.write(bytes(-out.tell() % 4))
    for block in blocks:
        out.write(block)
    out.write(images.cpio())


def _rauc(out: IO[bytes], size: int) -> None:
    payload = bytearray(b"".join(_payload(size)))
    payload[:4] = b"hsqs"
    out.write(images.rauc(bytes(payload), signer()))


def _mender(out: IO[bytes], size: int) -> None:
    payload = b"".join(_payload(size))
    out.write(images.mender(payload, signer(), data=gzip.compress(images.tar(("rootfs.ext4", payload)), 1)))


if __name__ == "__main__":
    main()
