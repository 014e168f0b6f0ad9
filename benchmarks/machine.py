"""What the run ran on: without it the numbers say nothing."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

_SYNCS = 200


def facts() -> list[tuple[str, str]]:
    """Name and value of each fact, in the order they are shown."""
    return [
        ("Processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("Memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"),
        ("System", f"{_system()}, Linux {platform.release()}"),
        (
            "Data folder",
            f"{_filesystem(tempfile.gettempdir())}; 4 KiB written and fdatasync: {_sync_us():.0f} µs (median)",
        ),
        ("Python", platform.python_version()),
        ("Load generator", _load_generator()),
        ("Other load at the start", f"{os.getloadavg()[0]:.1f} running processes on average over the last minute"),
        ("Otaru's source", _commit()),
    ]


def stolen_s() -> float:
    """CPU time that the hypervisor has given to others, seconds since start."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", sys.platform)


def _filesystem(folder: str) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() or "unknown file system"


def _sync_us() -> float:
    took = []
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e6)
    return median(took)


def _load_generator() -> str:
    wrk = shutil.which("wrk")
    if wrk is None:
        return "benchmarks/loader.py, since wrk is not installed: req/s of the fast ones are the loader's"
    said = subprocess.run([wrk, "-v"], capture_output=True, text=True, timeout=10, check=False)
    return f"{(said.stdout or said.stderr).split(' Copyright')[0].split(' [')[0].strip()}, one thread"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    if shutil.which("git") is None:
        return "unknown"
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() or "unknown"
