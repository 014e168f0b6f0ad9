"""The scripts of docs/examples/installers, with doubles of the programs that they call."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "docs/examples/installers"

PODMAN = """#!/bin/sh
# A double of podman: an image is a file.
cd "$(dirname "$0")" || exit 1
case "$1" in
load) cp "$4" loaded; echo "Loaded image: localhost/loaded:latest";;
tag) [ "$2" = localhost/loaded:latest ] && mkdir -p "$(dirname "$3")" && cp loaded "$3";;
image) [ -f "$3" ];;
*) exit 2;;
esac
"""

MODULES = {
    "depmod": 'readlink "$(dirname "$0")/modules/extra/example.ko" > "$(dirname "$0")/depended" || true',
    "modinfo": 'case "$(cat "$3")" in *alien*) echo "2.4.0 SMP" ;; *) echo "$(uname -r) SMP" ;; esac',
    "modprobe": 'mkdir "$(dirname "$0")/sys"',
    "rmmod": 'rmdir "$(dirname "$0")/sys"',
}
"""Doubles of what a kernel has to be asked for."""

MCUMGR = f"""#!{sys.executable}
# A double of mcumgr and of the child behind it, which MCUboot starts: two slots, one start on trial.
import hashlib, json, pathlib, sys
at = pathlib.Path(__file__).with_name("state")
now = json.loads(at.read_text())
def boot():
    if now["pending"] or not now["confirmed"]:
        now["slots"].reverse()
    now["confirmed"], now["pending"] = not now["pending"], False
match sys.argv[3:]:
    case ["echo", "up"]: print("up")
    case ["image", "list"]:
        for number, name in enumerate(now["slots"]):
            flags = ("active confirmed" if now["confirmed"] else "active") if number == 0 else ""
            if name: print(f" image=0 slot={{number}}\\n    version: 0.0.0\\n    flags: {{flags}}\\n    hash: {{name}}")
    case ["image", "upload", path]:
        data = pathlib.Path(path).read_bytes()
        now["slots"][1] = ("dead" if b"dead" in data else "") + hashlib.sha1(data).hexdigest()
    case ["image", "test", name] if name == now["slots"][1]: now["pending"] = True
    case ["image", "confirm"]: now["confirmed"] = True
    case ["reset"]:
        boot()
        if now["slots"][0].startswith("dead"): boot()  # its watchdog
    case _: sys.exit(f"not known: {{sys.argv}}")
at.write_text(json.dumps(now))
"""


def example(folder: Path, name: str, doubles: Mapping[str, str], places: Mapping[str, str]) -> str:
    """The program `name` in `folder`, where what it calls are doubles, and its places are in there, too."""
    text = (EXAMPLES / name).read_text()
    for place, ours in places.items():
        assert place in text
        text = text.replace(place, str(folder / ours))
    text = text.replace("\n", f"\nPATH={folder}:$PATH\n", 1)
    for program, body in {**doubles, name: text}.items():
        (folder / program).write_text(body if body.startswith("#!") else f"#!/bin/sh -e\n{body}\n")
        (folder / program).chmod(0o755)
    return str(folder / name)


def container(folder: Path) -> str:
    """Containers, from the factory with an image that is no piece's."""
    (folder / "now").write_text("localhost/web:factory\n")
    return example(
        folder,
        "container",
        {"podman": PODMAN, "systemctl": 'cd "$(dirname "$0")" && cp now running'},
        {"/var/lib/web": "."},
    )


def kernel_module(folder: Path, doubles: Mapping[str, str] | None = None) -> str:
    """A module that is not there from the factory."""
    for made in ("store", "modules/extra"):
        (folder / made).mkdir(parents=True)
    places = {
        "/var/lib/module": "store",
        "/lib/modules/$(uname -r)": "modules",
        "/run/module": "loaded",
        "/sys/module/example": "sys",
    }
    return example(folder, "kernel-module", {**MODULES, **(doubles or {})}, places)


def child_device(folder: Path) -> str:
    """A child that runs its factory's image."""
    (folder / "state").write_text(json.dumps({"slots": ["factory", None], "confirmed": True, "pending": False}))
    return example(folder, "child-device", {"mcumgr": MCUMGR, "sleep": "true"}, {"/var/lib/child": "."})
