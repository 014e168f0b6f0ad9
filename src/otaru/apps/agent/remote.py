"""What an agent does for its server beside updates, put together: telemetry and errands."""

import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from otaru.adapters.board.blotting import Blotter
from otaru.adapters.board.diagnostics import Allowed, AllowedCommands, Collected, FolderDiagnoser, LastLines
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.gauges import BoardGauges
from otaru.adapters.board.ledger import FileConsent, FileLedger, FileSpool
from otaru.apps.agent.settings import Settings
from otaru.domain.link import Told
from otaru.ports.board import Power, Safe, Senses
from otaru.ports.clock import Clock
from otaru.ports.link import Link
from otaru.ports.remote import Sharing
from otaru.services.edge.errands import Errands, Limits
from otaru.services.edge.monitor import Monitor, Rhythm

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Means:
    """What of the agent this needs."""

    server: str
    settings: Settings
    link: Link
    clock: Clock
    senses: Senses
    power: Power
    safe: Safe | None


class Remote:
    """All that is asked of the device from afar."""

    def __init__(self, means: Means) -> None:
        settings, disk, data = means.settings, LocalDisk(), means.settings.data
        self._lines = LastLines()
        logging.getLogger("otaru").addHandler(self._lines)
        consent, blotted = FileConsent(disk, f"{data}/sharing"), Blotter(settings.diagnostics.redact)
        monitor = settings.monitor
        gauges = BoardGauges(disk, means.senses, data, monitor.commands, monitor.timeout_s, monitor.reason)
        rhythm = Rhythm(monitor.on, timedelta(seconds=monitor.period_s), timedelta(seconds=monitor.send_s), monitor.off)
        self.monitor = Monitor(gauges, FileSpool(disk, f"{data}/telemetry"), means.link, means.clock, consent, rhythm)
        wanted = settings.diagnostics
        collected = Collected(wanted.commands, wanted.files, wanted.most_bytes, wanted.timeout_s)
        says = {
            "status.json": lambda: _status(settings),
            "history.json": lambda: _history(settings),
            "agent.log": lambda: "\n".join(self._lines.lines) + "\n",
        }
        secrets = _Secrets(Path(data))
        allowed = {one.name: Allowed(one.run, one.timeout_s, one.output) for one in settings.command}
        remote = settings.remote
        self._errands = Errands(
            FileLedger(disk, f"{data}/errands"),
            means.link,
            means.clock,
            consent,
            AllowedCommands(allowed, secrets, blotted),
            FolderDiagnoser(disk, f"{data}/diagnostics", collected, says, secrets, blotted),
            gauges,
            means.power,
            Limits(
                diagnostics=wanted.on,
                reboot=remote.reboot,
                restore=remote.restore,
                per_hour=remote.per_hour,
                least_uptime_s=remote.least_uptime_s,
                trusted=encrypted(means.server),
            ),
            means.safe,
        )

    def start(self, *, resting: bool) -> None:
        """Take up what was begun. Once. Raises StorageFullError, OSError."""
        self.monitor.start()
        self._errands.start(resting=resting)

    def close(self) -> None:
        """End it."""
        logging.getLogger("otaru").removeHandler(self._lines)

    def hear(self, told: Told, *, resting: bool) -> None:
        """What the server says, with each answer. Raises StoppedError."""
        self.monitor.hear(told.monitoring)
        self._errands.hear(told.errands, resting=resting)
        self.monitor.work()


def encrypted(server: str) -> bool:
    """Whether nobody but the server can speak on a link to this address."""
    parts = urlsplit(server)
    return parts.scheme == "https" or parts.hostname in _LOOPBACK


def share(settings: Settings, **changed: bool | None) -> Sharing:
    """Change what the device's owner lets it share; None leaves it. An agent may be at work: it goes by it at once."""
    consent = FileConsent(LocalDisk(), f"{settings.data}/sharing")
    known = consent.now()
    new = Sharing(**{name: getattr(known, name) if said is None else said for name, said in changed.items()})
    if new != known:
        consent.put(new)
    return new


class _Secrets:
    """What the agent knows to be secret, read when it is asked for."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def __call__(self) -> Collection[str]:
        try:
            return [self._data.joinpath("token").read_text(encoding="utf-8").strip()]
        except (OSError, UnicodeDecodeError):
            return []


def _status(settings: Settings) -> str:
    from otaru.apps.agent import show  # noqa: PLC0415 - it brings what verifies: twice what an idle agent takes

    return _json(show.status(settings))


def _history(settings: Settings) -> str:
    from otaru.apps.agent import show  # noqa: PLC0415 - as above

    return _json(show.history(settings))


def _json(found: object) -> str:
    return json.dumps(found, indent=1, default=str) + "\n"
