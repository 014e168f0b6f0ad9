"""Debian's SWUpdate, unmodified, as a device: a daemon in a folder of its own."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ddi import eventually

PROGRAM = shutil.which("swupdate")

_START = Path(tempfile.gettempdir()) / "otaru-tests-swupdate.lock"

_CONFIG = """globals : {{ loglevel = 5; public-key-file = "{certificate}"; }};
suricatta : {{
    tenant = "DEFAULT"; id = "{device}"; url = "{url}";
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

    def configure(
        self, url: str, credential: str | tuple[str, str], certificate: Path, cafile: Path | None = None
    ) -> None:
        """Tell it its server, whom to trust, and its token or the files of its own certificate and key."""
        if isinstance(credential, str):
            more = f'targettoken = "{credential}";'
        else:
            more = f'sslcert = "{credential[0]}"; sslkey = "{credential[1]}";'
        if cafile is not None:
            more += f' cafile = "{cafile}";'
        config = _CONFIG.format(certificate=certificate, device=self.device, url=url, more=more)
        (self.folder / "swupdate.cfg").write_text(config)

    def start(self, *options: str, accept: tuple[str, ...] = ()) -> None:
        """Start the daemon; `-c 2` and `-c 3` are what a boot script says of the last update.

        `accept`: the selections that a client may ask for. The daemon then polls nobody.
        """
        # Instances share a name space of abstract sockets: each takes the first free "NotifyServer…" when it starts. Two
        # that start at once may take the same, and then one of them ends or never hears of its own progress.
        with _START.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._start([word for one in accept for word in ("-q", one)] or ["-u", " ".join(options)])
            eventually(self._up, 20, self.said)

    def _start(self, options: list[str]) -> None:
        assert PROGRAM is not None
        self._socket.unlink(missing_ok=True)
        command = [PROGRAM, "-f", str(self.folder / "swupdate.cfg"), "-H", "default:1.0", "-l", "5"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self.folder)},
                start_new_session=True,
                restore_signals=False,  # SIGPIPE stays ignored, as under systemd: else a busy SWUpdate may die of it
            )

    def _up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        return self._socket.exists()

    @property
    def _socket(self) -> Path:
        return self.folder / "sockinstctrl"

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
        """The end of its log."""
        return "\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])


@contextmanager
def swupdate(device: str, logs: Path) -> Iterator[Swupdate]:
    """A device that is not started yet. Its folder has a short name: socket paths have room for 107 characters."""
    with tempfile.TemporaryDirectory(prefix="swu-") as folder:
        made = Swupdate(device, Path(folder), logs / f"{device}.log")
        try:
            yield made
        finally:
            made.stop()
