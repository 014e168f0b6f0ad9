"""What an agent is put together of."""

import fcntl
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from typing import cast

import msgspec

from otaru import __version__
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.files import FilesInstaller
from otaru.adapters.board.health import CommandCheck, CommandPower, MemoryCheck, ServerCheck
from otaru.adapters.board.journal import FileJournal, FileVault
from otaru.adapters.board.outbox import FileOutbox
from otaru.adapters.board.raw import RawInstaller
from otaru.adapters.board.senses import BoardSenses
from otaru.adapters.board.staging import FolderStaging
from otaru.adapters.clock import SystemClock
from otaru.adapters.links.admission import Admission, Ticket
from otaru.adapters.links.native import Credential, NativeLink, native_link
from otaru.apps.agent import desired, identity, neighbours, times
from otaru.apps.agent.booting import bootloader
from otaru.apps.agent.identity import Identity
from otaru.apps.agent.keys import key
from otaru.apps.agent.manager import LivingClock, Manager
from otaru.apps.agent.settings import Component, Settings
from otaru.apps.agent.signing import DistantKey
from otaru.domain.conditions import condition
from otaru.domain.device import hardware
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.schedule import ATTRIBUTE
from otaru.errors import DataFolderError, InvalidInputError, StoppedError
from otaru.ports.board import HealthCheck, Installer, Origin, Safe
from otaru.services.edge.courier import Courier, Shelf
from otaru.services.edge.drift import DriftWatch
from otaru.services.edge.fetch import PACE, Manner
from otaru.services.edge.parts import Identity as Me
from otaru.services.edge.parts import Parts, Patience
from otaru.trust.verify.pace import Pace

BUILT = datetime(2026, 11, 1, tzinfo=UTC)
"""It is not earlier than that, whatever a clock without a battery says."""


@dataclass
class Stop:
    """How an agent is told to end: by a signal, from whatever it waits in."""

    flag: Flag
    close: Callable[[], None] = lambda: None
    manager: Manager = field(default_factory=lambda: Manager({}))

    def now(self) -> None:
        """End."""
        self.flag.set()
        self.close()

    def pause(self, seconds: float) -> None:
        """Wait so long. Raises StoppedError."""
        if self.rest(seconds):
            raise StoppedError("the agent ends")

    def rest(self, seconds: float) -> bool:
        """Wait so long, or until it ends: whether it does. The manager is told meanwhile that the agent lives."""
        while seconds > 0 and not self.flag.wait(min(seconds, self.manager.beat_s)):
            seconds -= self.manager.beat_s
            self.manager.alive()
        return self.flag.is_set()


class Door:
    """Shows the server who the device is: the token that it was given, or one for an hour, bought with its key."""

    def __init__(self, data: Path, me: Identity, admission: Admission, clock: SystemClock) -> None:
        self._me = me
        self._admission = admission
        self._clock = clock
        self._key = None if me.by_token else key(data, me) if me.key else DistantKey(data)
        self._given = identity.token(data) if me.by_token else ""
        self._ticket: Ticket | None = None

    def credential(self) -> Credential:
        """What is shown now. Raises as `Admission.ticket`."""
        if self._key is None:
            return Credential.target(DeviceId(self._me.device), self._given)
        if self._ticket is None or self._clock.monotonic() >= self._ticket.until:
            me = self._me
            self._ticket = self._admission.ticket(TenantId(me.tenant), DeviceId(me.device), self._key)
        return Credential.bearer(self._ticket.token)


@dataclass(frozen=True, slots=True)
class Agent:
    """All of it."""

    me: Identity
    parts: Parts
    link: NativeLink
    door: Door
    watch: DriftWatch
    courier: Courier | None
    """Brings backups to the server; None: they stay here."""


@contextmanager
def agent(settings: Settings, stop: Stop) -> Iterator[Agent]:
    """Put an agent together; its connections are closed at the end.

    Raises:
        DataFolderError: it was never enrolled.
        InvalidInputError: the configuration does not fit the device.
    """
    data, disk, clock = Path(settings.data), LocalDisk(), LivingClock(stop.manager)
    me = identity.load(data)
    trust = trusted(me.ca)
    with ExitStack() as stack:
        admission = Admission(me.server, clock, trust)
        stack.callback(admission.close)
        link = stack.enter_context(
            native_link(
                me.server,
                TenantId(me.tenant),
                DeviceId(me.device),
                Credential(),
                clock,
                trust=trust,
                http2=settings.download.http2,
            )
        )
        stop.close = link.close
        installers = {one.name: installer(one, settings, disk) for one in settings.component}
        parts = Parts(
            Me(
                TenantId(me.tenant),
                DeviceId(me.device),
                frozenset({hardware(me.hardware)}),
                BUILT,
                {one.name: one.installed for one in settings.component if one.installed},
            ),
            FileJournal(disk, str(data / "journal")),
            FileVault(disk, str(data / "trust")),
            FileOutbox(disk, str(data / "outbox")),
            FolderStaging(disk, str(data / "staging")),
            installers,
            checks(settings, disk, link),
            CommandPower(settings.reboot),
            link,
            clock,
            stop.pause,
            attributes=described(settings),
            manner=manner(settings),
            senses=senses(settings, disk),
            require=[condition(text) for text in settings.conditions.require],
            origins={name: one for name, one in installers.items() if isinstance(one, Origin)},
            safe=safe(settings, me, clock),
            locks=neighbours.locks(settings.locks),
            forced_breaks=settings.locks.forced_breaks,
            hours=times.hours(settings),
            hooks=neighbours.hooks(settings.hooks),
            patience=Patience(health=timedelta(seconds=settings.health.within_s), listen=listening(settings)),
        )
        watch = desired.watch(settings.component, installers, link, clock)
        yield Agent(
            me, parts, link, Door(data, me, admission, clock), watch, courier(settings, parts.safe, link, clock)
        )


def described(settings: Settings) -> dict[str, str]:
    """What the server is told of the device when it asks; its zone only where somebody has said it here."""
    found = {"agent": __version__, "kernel": os.uname().release, "arch": os.uname().machine}
    return found | ({ATTRIBUTE: settings.timezone} if settings.timezone else {})


def listening(settings: Settings) -> timedelta:
    """How long a poll may be held back. Who asks at the socket is answered between two of them, so they are short then."""
    longest = settings.server.listen_s if settings.local is None else min(settings.server.listen_s, 5)
    return timedelta(seconds=longest)


def manner(settings: Settings) -> Manner:
    """How files are fetched."""
    download = settings.download
    pace = Pace(download.least_bytes_per_s, PACE.stretch, timedelta(seconds=download.within_s))
    return Manner(
        pace=pace,
        limits=times.limits(settings),
        zone=times.zone(settings),
        mirrors=download.mirrors,
        memory=download.delta_memory,
    )


def installer(component: Component, settings: Settings, disk: LocalDisk) -> Installer:
    """Who installs a component."""
    if component.installer == "files":
        assert component.folder is not None  # noqa: S101 - `settings.read` has seen to it
        return FilesInstaller(
            component.name,
            disk,
            component.folder,
            unpack=component.unpack,
            keep_archive=component.keep_archive,
            after=component.after,
            after_timeout_s=component.after_timeout_s,
        )
    if component.installer == "config":
        return desired.installer(component, disk)
    if component.installer == "script":
        from otaru.adapters.board.script import Commands, ScriptInstaller  # noqa: PLC0415 - most devices do without

        assert component.commands is not None  # noqa: S101
        return ScriptInstaller(
            component.name,
            Commands(**msgspec.structs.asdict(component.commands)),
            frozenset(component.takes or ("file",)),
            component.timeout_s or 600,
        )
    if component.installer == "deb":
        from otaru.adapters.board.deb import DebInstaller  # noqa: PLC0415 - most devices do without

        assert component.package is not None  # noqa: S101
        return DebInstaller(
            component.name,
            disk,
            f"{settings.data}/packages-{component.name}",
            component.package,
            root=component.root or "/",
            factory=component.factory,
            timeout_s=component.timeout_s or 600,
        )
    return slotted(component, settings, disk)


def slotted(component: Component, settings: Settings, disk: LocalDisk) -> Installer:
    """Who installs a component that has two slots."""
    assert settings.boot is not None  # noqa: S101
    boot = bootloader(settings.boot, disk)
    notes = f"{settings.data}/slots-{component.name}"
    if component.installer == "rauc":
        from otaru.adapters.board.rauc import RaucInstaller  # noqa: PLC0415 - most devices do without

        timeout_s = component.timeout_s or 1800
        return RaucInstaller(component.name, disk, boot, notes, component.trials, timeout_s=timeout_s)
    if component.installer == "swupdate":
        from otaru.adapters.board.swupdate import SwupdateInstaller  # noqa: PLC0415 - most devices do without

        told = {"a": component.select_a, "b": component.select_b}
        return SwupdateInstaller(
            component.name,
            disk,
            boot,
            notes,
            component.trials,
            select={slot: select for slot, select in told.items() if select},
            sockets=component.sockets or "/tmp",  # noqa: S108 - where Debian's SWUpdate has them
            timeout_s=component.timeout_s or 1800,
        )
    assert component.a is not None  # noqa: S101
    assert component.b is not None  # noqa: S101
    return RawInstaller(component.name, disk, {"a": component.a, "b": component.b}, boot, notes, component.trials)


def checks(settings: Settings, disk: LocalDisk, link: NativeLink) -> list[HealthCheck]:
    """What has to be so before a new version is kept."""
    health = settings.health
    found: list[HealthCheck] = [CommandCheck(words, health.timeout_s) for words in health.commands]
    found += neighbours.health(health.http, health.units, health.timeout_s, SystemClock())
    if health.memory:
        found.append(MemoryCheck(disk, health.memory))
    if health.server:
        found.append(ServerCheck(link.poll))
    return found


def safe(settings: Settings, me: Identity, clock: SystemClock) -> Safe | None:
    """Where data are saved before an update; None: nothing is. Raises InvalidInputError."""
    if settings.backup is None:
        return None
    from otaru.apps.agent import saving  # noqa: PLC0415 - most devices do without

    return saving.safe(settings, me.device, clock)


def courier(settings: Settings, safe: Safe | None, link: NativeLink, clock: SystemClock) -> Courier | None:
    """Who brings backups to the server; None: they stay here."""
    if safe is None or settings.backup is None or not settings.backup.upload:
        return None
    return Courier(cast("Shelf", safe), link, clock)


def senses(settings: Settings, disk: LocalDisk) -> BoardSenses:
    """What the device knows of itself when conditions ask."""
    known = settings.conditions
    return BoardSenses(disk, settings.data, known.battery, known.commands, known.timeout_s)


def trusted(ca: str) -> ssl.SSLContext:
    """Whose certificates are trusted, where they are not the system's.

    Raises:
        InvalidInputError: it cannot be read.
    """
    if not ca:
        return ssl.create_default_context()  # one for all connections: each is a megabyte
    try:
        return ssl.create_default_context(cadata=ca)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"the certificates to trust cannot be read: {error}") from None


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Nobody else works on the data folder.

    Raises:
        DataFolderError: somebody does.
    """
    try:
        file = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataFolderError(f"{data}: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DataFolderError(f"{data}: another agent is at work there") from None
    finally:
        os.close(file)
