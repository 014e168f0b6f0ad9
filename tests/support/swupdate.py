"""Debian's SWUpdate, unmodified, as a device: a daemon in a folder of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = shutil.which("swupdate")

_CONFIG = """globals : {{ loglevel = 5; public-key-file = "{certificate}"; }};
suricatta : {{
    tenant = "DEFAULT"; id = "{device}"; url = "{url}"; targettoken = "{token}";
    retry = 10; retrywait = 1; {more}
}};
identify : (
    {{ name = "sw_version"; value = "1.0.0"; }}, {{ name = "hw_boardname"; value = "default"; }},
    {{ name = "hw_revision"; value = "1.0"; }}, {{ name = "serial"; value = "{device}"; }}
);
"""


@dataclass
class Swupdate:
    """One device. Its sockets stand in its own TMPDIR, so that many run side by side."""

    device: str
    folder: Path
    log: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def target(self) -> Path:
        """The file that an update writes."""
        return self.folder / "installed.bin"

    def configure(self, url: str, token: str, certificate: Path, cafile: Path | None = None) -> None:
        """Tell it its server, and whom to trust."""
        more = f'cafile = "{cafile}";' if cafile is not None else ""
        config = _CONFIG.format(certificate=certificate, device=self.device, url=url, token=token, more=more)
        (self.folder / "swupdate.cfg").write_text(config)

    def start(self, *options: str) -> None:
        """Start the daemon; `-c 2` and `-c 3` are what a boot script says of the last update."""
        assert PROGRAM is not None
        command = [PROGRAM, "-f", str(self.folder / "swupdate.cfg"), "-H", "default:1.0", "-l", "5"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "-u", " ".join(options)] if options else [*command, "-u", ""],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self.folder)},
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it, as a reboot would."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # its own session: itself and its children
            self.process.wait()
        self.process = None

    def restart(self, *options: str) -> None:
        """Reboot."""
        self.stop()
        self.start(*options)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")


@contextmanager
def swupdate(device: str, logs: Path) -> Iterator[Swupdate]:
    """A device that is not started yet. Its folder has a short name: socket paths have room for 107 characters."""
    with tempfile.TemporaryDirectory(prefix="swu-") as folder:
        made = Swupdate(device, Path(folder), logs / f"{device}.log")
        try:
            yield made
        finally:
            made.stop()
