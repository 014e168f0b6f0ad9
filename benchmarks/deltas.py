"""`python -m benchmarks.deltas`: deltas of real files, beside the programs of this machine that make them too.

For each pair: bytes, and their share of the whole file compressed by zstd -19
(-12 above 32 MiB), processor seconds to make and to apply, and the
most memory that either had resident. Every row was applied and made the new file, or is said to have failed. Each runs in a
process of its own; ours has Python and its command line in it, about 43 MiB and half a second. 11 MiB is what measuring shows at
least.

Files are fetched once into `.cache/deltas` (pip, apt-get; a root file system is built by mmdebstrap as root), and never
committed; what cannot be had is said. Programs that are not installed are left out, and said too.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from otaru.images.delta.patch import Codec

CACHE = Path(__file__).parent / ".cache" / "deltas"
MIB = 1 << 20
SLOW_S = 600
"""What takes longer is ended and said to have failed."""
LARGE = 32 * MIB
"""Above it bsdiff is left out: it takes long, and many times the file in memory."""

ROOT = Path(__file__).parents[1]
_DEBIAN = os.environ.get("OTARU_DEBIAN", "")
"""The address of a mirror of Debian (…/debian, beside …/debian-security): root file systems are made of its packages."""
_SECURITY = f"{_DEBIAN}-security"


class UnreachableError(Exception):
    """A file cannot be had here."""


@dataclass(frozen=True)
class Pair:
    """Two versions of a file."""

    name: str
    fetch: Callable[[], tuple[Path, Path]]


@dataclass(frozen=True)
class Way:
    """How a delta is made and applied. `{old}`, `{new}`, `{patch}` and `{out}` are files."""

    name: str
    make: Sequence[str]
    apply: Sequence[str]
    fits: Callable[[int], bool] = lambda _: True
    needs: str = ""

    @property
    def missing(self) -> bool:
        return bool(self.needs) and shutil.which(self.needs) is None


def ours(codec: Codec, fits: Callable[[int], bool], window: str = "") -> Way:
    """One of our codecs, by the command line."""
    otaru = (sys.executable, "-c", "from otaru.apps.cli import main; main()", "delta")
    more = ("--window", window) if window else ()
    name = f"otaru {codec}{f', {window} windows' if window else ''}"
    return Way(
        name,
        (*otaru, "diff", "{old}", "{new}", "{patch}", "--codec", codec.value, *more),
        (*otaru, "apply", "{old}", "{patch}", "{out}", "--memory", "1GiB"),
        fits,
    )


ZCK = "zck --chunk-hash-type sha256"
_BSDIFF = ("bsdiff", "{old}", "{new}", "{patch}"), ("bspatch", "{old}", "{out}", "{patch}")
_XDELTA = (
    ("xdelta3", "-e", "-9", "-S", "lzma", "-f", "-B", "{size}", "-s", "{old}", "{new}", "{patch}"),
    ("xdelta3", "-d", "-f", "-B", "{size}", "-s", "{old}", "{patch}", "{out}"),
)
_ZSTD = (
    ("zstd", "-q", "-f", "-19", "--long=31", "--patch-from={old}", "{new}", "-o", "{patch}"),
    ("zstd", "-q", "-f", "-d", "--long=31", "--patch-from={old}", "{patch}", "-o", "{out}"),
)
_RDIFF_MAKE = (
    "rdiff -f signature -b 1024 {old} {patch}.sig && rdiff -f delta {patch}.sig {new} {patch}.raw"
    " && zstd -q -f -19 {patch}.raw -o {patch}"
)
_RDIFF_APPLY = "zstd -q -f -d {patch} -o {patch}.raw && rdiff -f patch {old} {patch}.raw {out}"
WAYS = (
    ours(Codec.LZMA, lambda size: size <= 32 * MIB),
    ours(Codec.HEATSHRINK, lambda size: size <= 4 * MIB),
    ours(Codec.ZSTD, lambda _: True),
    ours(Codec.ZSTD, lambda size: size > 32 * MIB, "8MiB"),
    ours(Codec.RDIFF, lambda _: True),
    Way("bsdiff", *_BSDIFF, lambda size: size <= LARGE, "bsdiff"),
    Way("xdelta3 -9", *_XDELTA, needs="xdelta3"),
    Way("zstd -19 --patch-from", *_ZSTD, needs="zstd"),
    Way("rdiff and zstd -19", ("sh", "-c", _RDIFF_MAKE), ("sh", "-c", _RDIFF_APPLY), needs="rdiff"),
)


def main() -> None:
    """Measure what can be had."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deltas", description=__doc__)
    parser.add_argument("--only", help="pairs, with commas between them")
    given = parser.parse_args()
    wanted = None if given.only is None else set(given.only.split(","))
    CACHE.mkdir(parents=True, exist_ok=True)
    absent = sorted({way.needs for way in WAYS if way.missing} | ({"zck"} if shutil.which("zck") is None else set()))
    print(f"Not installed here: {', '.join(absent) or 'nothing'}.\n")
    for pair in PAIRS:
        if wanted is not None and pair.name not in wanted:
            continue
        try:
            old, new = pair.fetch()
        except UnreachableError as error:
            print(f"### {pair.name}\n\nNot measured: {error}.\n", flush=True)
            continue
        print(f"### {pair.name}\n\n{table(old, new)}\n", flush=True)


def table(old: Path, new: Path) -> str:
    """One pair, each way a row."""
    whole = compressed(new)
    lines = [
        f"{old.stat().st_size:,} → {new.stat().st_size:,} bytes; {whole:,} compressed.",
        "",
        "| | bytes | share | make, CPU s | MiB | apply, CPU s | MiB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [row(way, old, new, whole) for way in WAYS if not way.missing and way.fits(new.stat().st_size)]
    if shutil.which("zck") is not None:
        lines.append(chunked(old, new, whole))
    return "\n".join(lines)


def row(way: Way, old: Path, new: Path, whole: int) -> str:
    """What a way makes of a pair."""
    names = {
        "old": old,
        "new": new,
        "patch": CACHE / "patch",
        "out": CACHE / "out",
        "size": max(old.stat().st_size, MIB),
    }
    for file in ("patch", "out"):
        (CACHE / file).unlink(missing_ok=True)
    try:
        made = run([word.format(**names) for word in way.make])
        applied = run([word.format(**names) for word in way.apply])
    except (subprocess.SubprocessError, OSError) as error:
        why = "too slow" if isinstance(error, subprocess.TimeoutExpired) else "failed"
        return f"| {way.name} | {why} | | | | | |"
    if (CACHE / "out").read_bytes() != new.read_bytes():
        return f"| {way.name} | made another file | | | | | |"
    size = (CACHE / "patch").stat().st_size
    numbers = (*made, *applied)
    cells = " | ".join(f"{cpu:.1f} | {memory:.0f}" for cpu, memory in (numbers[:2], numbers[2:]))
    return f"| {way.name} | {size:,} | {size / whole:.1%} | {cells} |"


def chunked(old: Path, new: Path, whole: int) -> str:
    """What a client of zchunk that has the old file would fetch; it applies nothing here."""
    files = [CACHE / "old.zck", CACHE / "new.zck"]
    try:
        spent = [run([*ZCK.split(), "-o", str(out), str(file)]) for file, out in zip((old, new), files, strict=True)]
        told = subprocess.run(
            ["zck_delta_size", *map(str, files)], capture_output=True, text=True, check=True, timeout=SLOW_S
        )
    except (subprocess.SubprocessError, OSError):
        return "| zchunk | failed | | | | | |"
    found = re.search(r"Would download (\d+) of (\d+) bytes", told.stdout)
    if found is None:
        return "| zchunk | says no size | | | | | |"
    size = int(found[1])
    return f"| zchunk | {size:,} | {size / whole:.1%} | {sum(cpu for cpu, _ in spent):.1f} | {max(m for _, m in spent):.0f} | | |"


def run(command: Sequence[str]) -> tuple[float, float]:
    """Processor seconds and MiB resident of a command, by a process that does nothing but wait for it."""
    told = subprocess.run(
        [sys.executable, "-c", _WAITER, *command],
        capture_output=True, text=True, check=True, timeout=SLOW_S, env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    ).stdout.splitlines()[-1]  # fmt: skip
    cpu, kib = told.split()
    return float(cpu), float(kib) / 1024


_WAITER = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(done.returncode)
"""


def compressed(file: Path) -> int:
    """The bytes of a file compressed by zstd -19."""
    out = CACHE / "whole.zst"
    if shutil.which("zstd") is None:
        raise SystemExit("zstd is needed to say what the whole file would take (apt-get install zstd)")
    level = "-19" if file.stat().st_size <= LARGE else "-12"
    subprocess.run(["zstd", "-q", "-f", level, "--long=27", str(file), "-o", str(out)], check=True)
    return out.stat().st_size


def wheel(name: str, versions: tuple[str, str], member: str) -> Callable[[], tuple[Path, Path]]:
    """A file out of two versions of a package of Python's index."""

    def fetched(version: str) -> Path:
        out = CACHE / f"{name}-{version}-{Path(member).name}"
        if not out.exists():
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--only-binary",
                ":all:",
                "-d",
                str(CACHE),
            ]
            asked([*command, f"{name}=={version}"], f"pip cannot fetch {name} {version}")
            with zipfile.ZipFile(next(CACHE.glob(f"{name}-{version}-*.whl"))) as archive:
                out.write_bytes(archive.read(member))
        return out

    return lambda: (fetched(versions[0]), fetched(versions[1]))


def package(name: str, pattern: str) -> tuple[Path, Path]:
    """A file out of the two newest versions of a Debian package that apt knows."""
    told = asked(["apt-cache", "madison", name], "there is no apt here").splitlines()
    versions = list(dict.fromkeys(line.split("|")[1].strip() for line in told))[:2][::-1]
    if len(versions) < 2:
        raise UnreachableError(f"apt knows {len(versions)} version of {name}")
    found = []
    for version in versions:
        out = CACHE / f"{name}-{version}"
        if not out.exists():
            asked(["apt-get", "download", "-q", f"{name}={version}"], f"apt cannot fetch {name} {version}")
            deb = next(CACHE.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"))
            asked(["dpkg", "-x", str(deb), str(CACHE / "deb")], "dpkg cannot unpack it")
            shutil.copy(next((CACHE / "deb").glob(pattern)), out)
            shutil.rmtree(CACHE / "deb")
        found.append(out)
    return found[0], found[1]


def root(kind: str) -> Callable[[], tuple[Path, Path]]:
    """A small Debian as it was released, and with its updates, as an image of a file system without what is only read."""

    def image(name: str, sources: Sequence[str]) -> Path:
        tar, out = CACHE / f"root-{name}.tar", CACHE / f"root-{name}.{kind}"
        if not tar.exists():
            if not _DEBIAN:
                raise UnreachableError("it takes OTARU_DEBIAN, the address of a mirror")
            if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
                raise UnreachableError("it takes mmdebstrap and root to build one")
            command = [
                "mmdebstrap",
                "--mode=root",
                "--variant=essential",
                "--include=ca-certificates,openssl,libpython3.11",
            ]
            lines = [f"deb {source}" for source in sources]
            asked(
                [*command, "bookworm", str(tar), *lines], "mmdebstrap cannot build it", SOURCE_DATE_EPOCH="1790000000"
            )
        if not out.exists():
            folder = CACHE / "tree"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            asked(
                ["tar", "xf", str(tar), "-C", str(folder), *(f"--exclude={path}" for path in NOT_INSTALLED)],
                "tar cannot unpack it",
            )
            asked([word.format(tree=folder, out=out) for word in FILE_SYSTEMS[kind]], f"{kind} cannot be made")
            shutil.rmtree(folder)
        return out

    plain = [f"{_DEBIAN} bookworm main"]
    updates = [*plain, f"{_SECURITY} bookworm-security main", f"{_DEBIAN} bookworm-updates main"]
    return lambda: (image("old", plain), image("new", updates))


_SQUASH = (
    "mksquashfs",
    "{tree}",
    "{out}",
    "-quiet",
    "-no-progress",
    "-mkfs-time",
    "0",
    "-all-time",
    "0",
    "-processors",
    "1",
)
NOT_INSTALLED = ("./dev/*", "./usr/share/*", "./var/lib/*", "./var/cache/*", "./usr/lib/python3*", "./usr/lib/*/perl*")
FILE_SYSTEMS = {
    "squashfs": (*_SQUASH, "-noI", "-noD", "-noF", "-noX", "-noId"),
    "squashfs-xz": (*_SQUASH, "-comp", "xz"),
    "ext4": ("mkfs.ext4", "-q", "-F", "-E", "hash_seed=6f746172-7500-4000-8000-000000000000,lazy_itable_init=0",
             "-U", "6f746172-7500-4000-8000-000000000001", "-d", "{tree}", "{out}", "128M"),
}  # fmt: skip


def asked(command: Sequence[str], otherwise: str, **env: str) -> str:
    """What a program says, in the folder of files.

    Raises:
        UnreachableError: it fails or is not there.
    """
    try:
        done = subprocess.run(
            command, cwd=CACHE, env=os.environ | env, capture_output=True, text=True, check=True, timeout=1800
        )
    except (subprocess.SubprocessError, OSError):
        raise UnreachableError(otherwise) from None
    return done.stdout


def _pairs() -> Iterator[Pair]:
    bit = "cynthion/assets/CynthionPlatformRev1D4/facedancer.bit"
    yield Pair("greatfet", wheel("greatfet", ("2025.0.0", "2026.0.0"), "greatfet/assets/greatfet_usb.bin"))
    yield Pair("moondancer", wheel("cynthion", ("0.2.4", "0.2.5"), "cynthion/assets/moondancer.bin"))
    yield Pair("facedancer", wheel("cynthion", ("0.2.4", "0.2.5"), bit))
    yield Pair("libpython3.11", lambda: package("libpython3.11", "usr/lib/*/libpython3.11.so.1.0"))
    yield Pair("root-squashfs", root("squashfs"))
    yield Pair("root-squashfs-xz", root("squashfs-xz"))
    yield Pair("root-ext4", root("ext4"))


PAIRS = tuple(_pairs())

if __name__ == "__main__":
    main()
