"""Makes `dist/otaru-agent_VERSION_ARCH.deb`: the base install (agent and CLI client), for the Python that Debian has. `make deb`.

Nothing is downloaded: the libraries are those that `make setup` installed by their pinned digests. They lie in a folder of
their own, so none of Debian's are touched or used. The same sources and libraries give the same bytes.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
NAME = "otaru-agent"
HOME = "usr/lib/otaru"
PYTHON = f"{HOME}/python"
DOC = f"usr/share/doc/{NAME}"
LATEST = 1_793_491_200
"""What files are dated, unless SOURCE_DATE_EPOCH says else: the beginning of November 2026."""

LAUNCHER = f"""#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/{PYTHON}")
from otaru.apps.cli import main

main()
"""
# The agent may be installing this itself: then it must not be restarted, its programs would end with it.
POSTINST = f"""#!/bin/sh -e
if [ "$1" = configure ]; then
    if command -v py3compile >/dev/null; then py3compile -p {NAME} /{PYTHON}; fi
    deb-systemd-helper unmask {NAME}.service >/dev/null || true
    if deb-systemd-helper --quiet was-enabled {NAME}.service; then
        deb-systemd-helper enable {NAME}.service >/dev/null || true
    fi
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ -z "$2" ]; then deb-systemd-invoke start {NAME}.service || true; fi
    fi
fi
"""
PRERM = f"""#!/bin/sh -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then deb-systemd-invoke stop {NAME}.service || true; fi
if command -v py3clean >/dev/null; then py3clean -p {NAME}; fi
"""
POSTRM = f"""#!/bin/sh -e
if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
if [ "$1" = purge ]; then
    deb-systemd-helper purge {NAME}.service >/dev/null || true
    deb-systemd-helper unmask {NAME}.service >/dev/null || true
    if [ -d /var/lib/otaru ]; then echo "The device's key and trust are left in /var/lib/otaru." >&2; fi
fi
"""


def libraries(wanted: list[str], extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """What these requirements bring, each once or more often."""
    for text in wanted:
        need = Requirement(text)
        if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        yield need.name
        yield from libraries(distribution(need.name).requires or [], frozenset(need.extras))


def copy_library(name: str, to: Path) -> None:
    """Copy an installed library as it is, without its programs."""
    found = distribution(name)
    for file in found.files or []:
        if ".." in file.parts or "__pycache__" in file.parts or file.name in {"RECORD", "INSTALLER", "REQUESTED"}:
            continue
        target = to / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(str(found.locate_file(file))), target)


def copy_own(to: Path) -> None:
    """Copy what is ours, without the pages of the console."""
    ignored = shutil.ignore_patterns("__pycache__", "static", "templates")
    shutil.copytree(ROOT / "src/otaru", to / "otaru", ignore=ignored)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def fill(tree: Path, project: dict[str, object], needs: list[str]) -> None:
    """Put everything where it lies on a device."""
    for name in sorted(set(libraries(needs))):
        copy_library(name, tree / PYTHON)
    copy_own(tree / PYTHON)
    write(tree / "usr/bin/otaru", LAUNCHER, 0o755)
    write(tree / f"usr/lib/systemd/system/{NAME}.service", (ROOT / f"packaging/systemd/{NAME}.service").read_text())
    write(tree / f"{DOC}/copyright", f"{project['description']}\n\n{(ROOT / 'LICENSE').read_text()}")
    for example in sorted((ROOT / "docs/examples/boot").iterdir()):
        runs = example.read_bytes().startswith(b"#!")
        place = tree / (f"{HOME}/boot" if runs else f"{DOC}/examples") / example.name
        write(place, example.read_text(), 0o755 if runs else 0o644)
    page = (ROOT / "docs/agent.md").read_text().partition("```toml\n")[2].partition("```")[0]
    write(tree / f"{DOC}/examples/agent.toml", page)


def describe(tree: Path, version: str, architecture: str, description: str) -> None:
    """Write what dpkg is to know of it."""
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    sums = "".join(f"{hashlib.md5(p.read_bytes()).hexdigest()}  {p.relative_to(tree)}\n" for p in files)  # noqa: S324
    size = sum((path.stat().st_size + 1023) // 1024 for path in files)
    minor = sys.version_info.minor
    write(
        tree / "DEBIAN/control",
        f"""Package: {NAME}
Version: {version}
Architecture: {architecture}
Maintainer: Otaru <otaru@localhost>
Installed-Size: {size}
Depends: python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}), libc6 (>= 2.34), init-system-helpers
Recommends: ca-certificates, systemd
Suggests: libubootenv-tool, grub-common
Section: admin
Priority: optional
Description: agent that keeps a Linux device up to date
 {description}
 This is the device's side, and the command line.
""",
    )
    write(tree / "DEBIAN/md5sums", sums)
    for script, text in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
        write(tree / f"DEBIAN/{script}", text, 0o755)


def date(tree: Path, at_s: int) -> None:
    """Date everything alike, with the rights that everybody expects."""
    for path in [tree, *sorted(tree.rglob("*"))]:
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        os.utime(path, (at_s, at_s))


def main(out: Path) -> Path:
    """Make the package in a folder."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()  # noqa: S607
    version = re.sub(r"(a|b|rc|\.dev)(\d)", r"~\1\2", project["version"])
    at_s = int(os.environ.get("SOURCE_DATE_EPOCH", LATEST))
    out.mkdir(parents=True, exist_ok=True)
    made = out / f"{NAME}_{version}_{architecture}.deb"
    with TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        fill(tree, project, project["dependencies"])
        describe(tree, version, architecture, project["description"])
        date(tree, at_s)
        words = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z2", "--build", str(tree), str(made)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(at_s)}
        subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603
    return made


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")))  # noqa: T201
