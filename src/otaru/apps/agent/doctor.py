"""What a technician looks at beside a device that does not update: each thing that an update needs, and how it stands.

Nothing is changed, no update is begun, and an agent may be at work. What one question finds broken keeps no other from being
asked. What is `bad` keeps updates from going through; a `remark` may, or will one day.
"""

import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from threading import Event as Flag
from typing import Any
from urllib.parse import urlsplit

from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.journal import FileJournal, FileVault
from otaru.adapters.board.program import ended
from otaru.adapters.clock import SystemClock
from otaru.adapters.links.wire import Wire, header
from otaru.apps.agent import identity, neighbours, times, wiring
from otaru.apps.agent.booting import bootloader
from otaru.apps.agent.keys import key
from otaru.apps.agent.settings import SLOTTED, Component, Settings
from otaru.apps.agent.wiring import BUILT, Stop, trusted
from otaru.domain.conditions import condition, forbids, names
from otaru.domain.update import Moment
from otaru.errors import DataFolderError, OtaruError
from otaru.images.delta.patch import Codec, is_here
from otaru.ports.board import Origin
from otaru.ports.link import Link
from otaru.trust.tuf.metadata import read
from otaru.trust.tuf.names import ROOT, TIMESTAMP
from otaru.trust.verify.clock import trusted_time
from otaru.trust.verify.steps import Source, Want

LITTLE_SPACE = 64 * 1024 * 1024
LITTLE_SHARE = 0.05
SOON = timedelta(days=30)
"""What ends within that is a remark."""
SKEW = timedelta(minutes=5)
_PATIENCE_S = 10.0
_MAX_METADATA = 512_000


class Grade(StrEnum):
    """How it stands."""

    GOOD = "good"
    REMARK = "remark"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing, in one line."""

    what: str
    grade: Grade
    said: str

    def told(self) -> dict[str, str]:
        """For programs."""
        return {"what": self.what, "grade": self.grade, "said": self.said}


def examine(settings: Settings) -> list[Finding]:
    """Look at everything. Whatever is wrong is a finding; nothing is raised."""
    questions: list[tuple[str, Callable[[Settings], Iterator[Finding]]]] = [
        ("identity", _identity),
        ("record", _record),
        ("clock", _clock),
        ("space", _space),
        ("server", _server),
        ("certificate", _certificate),
        ("metadata", _metadata),
        ("components", _components),
        ("deltas", _deltas),
        ("programs", _programs),
        ("conditions", _conditions),
        ("local", socket_of),
    ]
    found: list[Finding] = []
    for what, ask in questions:
        try:
            found += ask(settings)
        except OtaruError as error:
            found.append(Finding(what, Grade.BAD, error.message))
        except OSError as error:
            found.append(Finding(what, Grade.BAD, error.strerror or str(error)))
    return found


def is_bad(found: list[Finding]) -> bool:
    """Whether something keeps updates from going through."""
    return any(one.grade is Grade.BAD for one in found)


def _identity(settings: Settings) -> Iterator[Finding]:
    data = Path(settings.data)
    me = identity.load(data)
    yield Finding("identity", Grade.GOOD, f"{me.device} ({me.hardware}) of {me.tenant} at {me.server}")
    if me.by_token:
        identity.token(data)
        return
    if not me.key and not (data / "key.pem").exists():  # `key` would make one
        raise DataFolderError(f"{data}/key.pem: the device's key is gone: it has to be enrolled anew")
    key(data, me)


def _record(settings: Settings) -> Iterator[Finding]:
    data, disk = Path(settings.data), LocalDisk()
    record = FileJournal(disk, str(data / "journal")).load()
    plan = record.plan
    said = record.state if plan is None else f"{record.state}: {plan.release}"
    yield Finding("record", Grade.GOOD, f"{said}, {len(record.history)} updates remembered")
    if quarantined := sorted(release for release in record.strikes if record.quarantines(release)):
        said = f"{', '.join(quarantined)} failed here too often: otaru agent lift tries again"
        yield Finding("record", Grade.REMARK, said)
    try:
        with wiring.alone(data):
            yield Finding("agent", Grade.REMARK, "no agent is at work")
    except DataFolderError:
        yield Finding("agent", Grade.GOOD, "it is at work")


def _clock(settings: Settings) -> Iterator[Finding]:
    now = SystemClock().now()
    state = FileVault(LocalDisk(), f"{settings.data}/trust").load()
    least = trusted_time(state, BUILT)
    if now < least:
        said = f"it says {now:%Y-%m-%d %H:%M} UTC, and it is {least:%Y-%m-%d %H:%M} at least: that is what is used"
        yield Finding("clock", Grade.REMARK, said)
    else:
        yield Finding("clock", Grade.GOOD, f"{now:%Y-%m-%d %H:%M} UTC")


def _space(settings: Settings) -> Iterator[Finding]:
    folders = [settings.data, *(one.folder for one in settings.component if one.folder)]
    for folder in dict.fromkeys(folders):
        if not os.path.isdir(folder):  # noqa: PTH112 - a folder of an app that was never installed is made then
            continue
        found = os.statvfs(folder)
        free, share = found.f_bavail * found.f_frsize, found.f_bavail / max(found.f_blocks, 1)
        said = f"{folder}: {_size(free)} free ({share:.0%})"
        little = free < LITTLE_SPACE or share < LITTLE_SHARE
        if found.f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK):
            yield Finding("space", Grade.BAD, f"{folder} cannot be written to")
        elif not free or (found.f_files and not found.f_favail):
            yield Finding("space", Grade.BAD, f"{folder} is full")
        else:
            yield Finding("space", Grade.REMARK if little else Grade.GOOD, said)


def _server(settings: Settings) -> Iterator[Finding]:
    me = identity.load(Path(settings.data))
    clock = SystemClock()
    with closing(Wire(clock, trusted(me.ca))) as wire:
        answer = wire.ask("GET", f"{me.server}/healthz", [], None, 64 * 1024, _PATIENCE_S)
    if answer.status >= 500:
        yield Finding("server", Grade.BAD, f"{me.server} answers {answer.status}")
        return
    told = header(answer.headers, b"date")
    with suppress(ValueError, TypeError):
        skew = clock.now() - parsedate_to_datetime((told or b"").decode())
        if abs(skew) > SKEW:
            way = "ahead of" if skew > timedelta(0) else "behind"
            yield Finding("clock", Grade.REMARK, f"it is {abs(skew)} {way} the server's")
    with wiring.agent(settings, Stop(Flag())) as made:
        made.link.credential = made.door.credential()
        offer = made.link.poll().offer
        due = "nothing is due" if offer is None else f"{offer.product}:{offer.version} is due"
        yield Finding("server", Grade.GOOD, f"{me.server} knows this device; {due}")
        yield from _timestamps(made.link)


def _timestamps(link: Link) -> Iterator[Finding]:
    """As the server shows them now: by their end a device knows that it is kept in the past."""
    now = SystemClock().now()
    for source in (Source.DIRECTOR, Source.IMAGE):
        found = link.metadata(Want(source, TIMESTAMP, None, _MAX_METADATA))
        if found is None:
            yield Finding("metadata", Grade.REMARK, f"the {source} repository has no timestamp yet")
            continue
        ends = read(TIMESTAMP, found).signed.expires
        grade = Grade.GOOD if ends > now else Grade.BAD
        yield Finding("metadata", grade, f"timestamp of the {source} repository: {_until(ends, now)}")


def _certificate(settings: Settings) -> Iterator[Finding]:
    me = identity.load(Path(settings.data))
    address = urlsplit(me.server)
    if address.scheme != "https":
        said = (
            "the server is asked without encryption: what is installed is signed all the same, who is updated is seen"
        )
        yield Finding("certificate", Grade.REMARK, said)
        return
    context = trusted(me.ca)
    host = address.hostname or ""
    with (
        socket.create_connection((host, address.port or 443), _PATIENCE_S) as line,
        context.wrap_socket(line, server_hostname=host) as secured,
    ):
        shown = secured.getpeercert() or {}
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    yield _ending("certificate", f"the server's, for {host}", ends, SystemClock().now())


def _metadata(settings: Settings) -> Iterator[Finding]:
    """Roots as they are kept here."""
    state = FileVault(LocalDisk(), f"{settings.data}/trust").load()
    now = trusted_time(state, BUILT, SystemClock().now())
    for name, kept in (("director", state.director), ("image", state.image)):
        yield _ending("metadata", f"root of the {name} repository", read(ROOT, kept.root).signed.expires, now)


def _components(settings: Settings) -> Iterator[Finding]:
    if settings.boot is not None and any(one.installer in SLOTTED for one in settings.component):
        boot = bootloader(settings.boot, LocalDisk())
        now, then = boot.current(), boot.primary()
        said = f"slot {now} runs" if now == then else f"slot {now} runs, {then} is started next"
        yield Finding("boot", Grade.GOOD, said)
    for one in settings.component:
        try:
            wiring.installer(one, settings, LocalDisk())
            yield from _component(one)
        except (OtaruError, OSError) as error:
            yield Finding(one.name, Grade.BAD, str(error))


def _component(one: Component) -> Iterator[Finding]:
    for slot, path in (("a", one.a), ("b", one.b)):
        if path is None:
            continue
        size = LocalDisk().size(path)
        if size is None:
            yield Finding(one.name, Grade.BAD, f"slot {slot}: there is no {path}")
        else:
            yield Finding(one.name, Grade.GOOD, f"slot {slot}: {path}, {_size(size)}")
    words = _VERSIONS.get(one.installer)
    if words is None:
        return
    if shutil.which(words[0]) is None:
        yield Finding(one.name, Grade.BAD, f"{one.installer}: there is no program {words[0]}")
        return
    done = ended(words, _PATIENCE_S)
    line = (done.said.strip().splitlines() or [""])[0]
    grade = Grade.GOOD if done.code == 0 else Grade.BAD
    yield Finding(one.name, grade, f"{one.installer}: {line[:200]}")
    if one.installer == "rauc" and shutil.which("busctl") is None:
        yield Finding(one.name, Grade.BAD, "rauc: there is no program busctl to speak to its service")
    if one.installer == "swupdate":
        door = f"{one.sockets or '/tmp'}/sockinstctrl"  # noqa: S108 - where Debian's SWUpdate has it
        there = os.path.exists(door)  # noqa: PTH110 - a name of the device's
        grade, said = (
            (Grade.GOOD, "the daemon's socket is there") if there else (Grade.BAD, f"no daemon listens at {door}")
        )
        yield Finding(one.name, grade, f"swupdate: {said}")


_VERSIONS = {
    "deb": ("dpkg", "--version"),
    "rauc": ("rauc", "--version"),
    "swupdate": ("swupdate", "--version"),
}
"""How the programs say which version they are."""


_NO_ORIGIN = {
    "files": "its archive is not kept (keep_archive)",
    "rauc": "RAUC keeps no bundle; adaptive bundles fetch only what is new",
    "script": "what its commands keep is not known",
    "swupdate": "SWUpdate keeps no .swu; its delta handler fetches only what is new",
}
"""Why nothing leads from what an installer has installed."""


def _deltas(settings: Settings) -> Iterator[Finding]:
    """From what patches may lead, and why from nothing else."""
    if not settings.download.delta_memory:
        yield Finding("deltas", Grade.GOOD, "none are asked for: download.delta_memory is 0")
        return
    said = [f"{one.name}: {_origin(one, settings)}" for one in settings.component]
    room = f"in {_size(settings.download.delta_memory)}"
    if not is_here(Codec.RDIFF):
        room += ', of programs only: pip install "otaru[delta]" for large files'
    yield Finding("deltas", Grade.GOOD, f"{room}; {'; '.join(said)}")


def _origin(component: Component, settings: Settings) -> str:
    made = wiring.installer(component, settings, LocalDisk())
    if not isinstance(made, Origin):
        return f"none, {_NO_ORIGIN[component.installer]}"
    if made.digest() is None:
        unkept = component.unpack and not component.keep_archive
        return f"none, {_NO_ORIGIN['files'] if unkept else 'nothing of it was installed here yet'}"
    return "from what runs"


def _programs(settings: Settings) -> Iterator[Finding]:
    """Those that the configuration names: whether they could be run."""
    for where, words in _named(settings):
        if shutil.which(words[0]) is None:
            yield Finding("programs", Grade.BAD, f"{where}: there is no program {words[0]}")


def _named(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "reboot", settings.reboot
    if settings.boot is not None and settings.boot.script:
        yield "boot.script", settings.boot.script
    if settings.boot is not None and settings.boot.kind == "uboot":
        yield "boot.kind", ("fw_setenv",)
    for words in settings.health.commands:
        yield "health.commands", words
    for moment in Moment:
        if words := getattr(settings.hooks, moment):
            yield f"hooks.{moment}", words
    if settings.health.units:
        yield "health.units", ("systemctl",)
    for name, words in settings.conditions.commands.items():
        yield f"conditions.commands.{name}", words
    yield from _of_components(settings)


def _of_components(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    for one in settings.component:
        if one.after:
            yield f"{one.name}: after", one.after
        commands: Any = one.commands
        for step in () if commands is None else commands.__struct_fields__:
            if words := getattr(commands, step):
                yield f"{one.name}: commands.{step}", words


def _conditions(settings: Settings) -> Iterator[Finding]:
    """Those of the device's maker, and locks: whether an update could go on now."""
    for lock in neighbours.locks(settings.locks):
        if said := lock.held():
            yield Finding("locks", Grade.REMARK, said)
    yield from windows(settings)
    required = [condition(text) for text in settings.conditions.require]
    if not required:
        return
    facts = wiring.senses(settings, LocalDisk()).facts(names(required))
    held = forbids(required, facts)
    yield Finding("conditions", Grade.GOOD if held is None else Grade.REMARK, held or "all of them hold")


def windows(settings: Settings) -> Iterator[Finding]:
    """The device's own: whether something could be installed now."""
    hours, now = times.hours(settings), SystemClock().now()
    if not hours.windows:
        return
    reason, _ = hours.shut(now)
    closes = hours.closes_at(now)
    said = reason if closes is None else f"open until {closes:%Y-%m-%d %H:%M} UTC"
    yield Finding("windows", Grade.REMARK if reason else Grade.GOOD, f"{said} (it is in {hours.zone})")


def socket_of(settings: Settings) -> Iterator[Finding]:
    """Where programs of the device ask the agent."""
    if settings.local is not None:
        there = Path(settings.local.socket).is_socket()
        said = f"programs ask at {settings.local.socket}" if there else f"nobody listens at {settings.local.socket}"
        yield Finding("local", Grade.GOOD if there else Grade.REMARK, said)


def _ending(what: str, which: str, ends: datetime, now: datetime) -> Finding:
    grade = Grade.BAD if ends <= now else Grade.REMARK if ends <= now + SOON else Grade.GOOD
    return Finding(what, grade, f"{which}: {_until(ends, now)}")


def _until(ends: datetime, now: datetime) -> str:
    return f"{'expired' if ends <= now else 'good until'} {ends:%Y-%m-%d %H:%M} UTC"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
