"""A machine with an agent: its folders, what starts its slots, and the process itself, killed and started anew."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otaru.adapters.board.bootloaders import select
from otaru.adapters.board.disk import LocalDisk
from tests.support.server import OTARU, environment, otaru

OLD = b"os 1.0.0 " * 1000


@dataclass
class Host:
    """A device's folder, and what its maker wrote into `agent.toml`."""

    folder: Path
    health: str = ""
    slots: bool = True
    dead: bytes = b"\0nothing starts with this"
    """An os that begins so does not come up."""
    under: tuple[str, ...] = ()
    """What the agent is started by: a program that takes rights away, say."""
    starts: int = 0
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.app = self.folder / "app"
        self.config = self.folder / "agent.toml"
        self.marker = self.folder / "reboot"
        self.folder.mkdir(parents=True)
        (self.folder / "a").write_bytes(OLD)
        (self.folder / "b").write_bytes(b"")
        (self.folder / "started").write_text("a")
        boot = f"""
[boot]
{self.loader()}
started = "{self.folder}/started"

[[component]]
name = "os"
installer = "raw"
a = "{self.folder}/a"
b = "{self.folder}/b"
installed = "1.0.0"
"""
        self.config.write_text(
            f"""data = "{self.data}"
reboot = ["touch", "{self.marker}"]
{boot if self.slots else ""}
[[component]]
name = "app"
installer = "files"
folder = "{self.app}"
unpack = true

[health]
within_s = 4
{self.health}
"""
        )

    def loader(self) -> str:
        """What starts the slots, in `agent.toml`."""
        return f'kind = "file"\npath = "{self.folder}/boot"'

    def power_on(self) -> str:
        """The bootloader chooses a slot, and another one where nothing comes up."""
        slot = "a"
        for _ in range(10):
            slot = select(LocalDisk(), str(self.folder / "boot"))
            if not (self.folder / slot).read_bytes().startswith(self.dead):
                break
        return slot

    def enroll(
        self, url: str, *words: str, device: str = "gw-1", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Enroll by a claim or a token (`words`)."""
        where = ("--server", url, "--data", str(self.data), "--device", device, "--hardware", "gateway")
        return otaru("agent", "enroll", *where, *words, "--json", check=check)

    def ask(self, command: str, check: bool = True) -> Any:
        """`otaru agent COMMAND --json`."""
        done = otaru("agent", command, "--config", str(self.config), "--json", check=check)
        return json.loads(done.stdout) if done.stdout else None

    def running(self) -> str:
        """What runs: the app's version, as it says itself."""
        current = self.app / "current" / "version"
        return current.read_text() if current.exists() else ""

    def os(self) -> bytes:
        """The bytes of the slot that is started."""
        return (self.folder / (self.folder / "started").read_text()).read_bytes()

    @contextmanager
    def process(self) -> Iterator["subprocess.Popen[str]"]:
        """Power comes: the bootloader chooses a slot, and what is in it starts the agent."""
        (self.folder / "started").write_text(self.power_on())
        self.marker.unlink(missing_ok=True)
        self.starts += 1
        with (self.folder / "agent.log").open("a") as log:
            process = subprocess.Popen(
                [*self.under, *OTARU, "agent", "run", "--config", str(self.config)],
                stderr=log,
                text=True,
                env=environment(),
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def live(self, until: Callable[[], bool], *, timeout_s: float = 60, kill_after: Iterator[float] = iter(())) -> None:  # noqa: B008
        """Run, reboot when it is ordered, and be killed after so many seconds each, until something has come about."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self.process() as process:
                killed = time.monotonic() + next(kill_after, timeout_s)
                while not self.marker.exists() and time.monotonic() < killed:
                    if until():
                        return
                    assert process.poll() is None, self.said()
                    assert time.monotonic() < deadline, self.said()
                    time.sleep(0.02)

    def said(self) -> str:
        """The agents' log."""
        return (self.folder / "agent.log").read_text()
