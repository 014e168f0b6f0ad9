"""What the device's maker decides: `agent.toml`. docs/agent.md describes each; a test compares."""

import posixpath
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from otaru.apps.agent import places, remote_settings
from otaru.apps.agent.forms import Folder, Mirror, Name, Package, Seconds, Selection, Unit, Words
from otaru.apps.agent.neighbours import Hooks, Local, Locks, Probe, check_local, check_probes
from otaru.apps.agent.remote_settings import Command, Diagnostics, Monitor, Remote
from otaru.apps.agent.slips import slip
from otaru.domain.conditions import MAX_CONDITIONS, condition
from otaru.domain.conditions import check as check_all
from otaru.domain.schedule import MAX_WINDOWS, window, zone
from otaru.errors import InvalidInputError

MAX_BYTES = 1 << 20
"""Of `agent.toml`."""


class Commands(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a component is installed by programs; see `adapters.board.script`."""

    install: Words
    activate: Words
    standing: Words
    revert: Words
    check: tuple[str, ...] = ()
    commit: tuple[str, ...] = ()


class Component(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is updated, and by whom. Their order is the one in which they are installed and switched."""

    name: Name
    installer: Literal["config", "deb", "files", "raw", "rauc", "script", "swupdate"]
    installed: str = ""
    """The version that it has from the factory."""
    folder: Folder | None = None
    unpack: bool = False
    keep_archive: bool = False
    after: tuple[str, ...] = ()
    after_timeout_s: Seconds = 60
    a: Folder | None = None
    b: Folder | None = None
    trials: Annotated[int, Meta(ge=1, le=10)] = 3
    commands: Commands | None = None
    takes: Annotated[tuple[Name, ...], Meta(max_length=16)] | None = None
    timeout_s: Seconds | None = None
    select_a: Selection | None = None
    select_b: Selection | None = None
    sockets: Folder | None = None
    package: Package | None = None
    factory: Folder | None = None
    root: Folder | None = None
    test: Words | None = None
    schemas: Annotated[dict[Name, Folder], Meta(max_length=64)] | None = None
    drift: Literal["mend", "tell"] | None = None
    look_every_s: Annotated[float, Meta(ge=1, le=7 * 86_400)] | None = None


NEEDED: Mapping[str, tuple[str, ...]] = {
    "config": ("folder",),
    "deb": ("package",),
    "files": ("folder",),
    "rauc": (),
    "raw": ("a", "b"),
    "script": ("commands",),
    "swupdate": (),
}
"""What an installer cannot do without."""
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "config": ("drift", "look_every_s", "schemas", "test"),
    "deb": ("factory", "root", "timeout_s"),
    "files": (),
    "rauc": ("timeout_s",),
    "raw": (),
    "script": ("takes", "timeout_s"),
    "swupdate": ("select_a", "select_b", "sockets", "timeout_s"),
}
"""What it has a use for besides."""
SLOTTED = frozenset({"rauc", "raw", "swupdate"})
"""Those that need something that starts slots."""


class Boot(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What starts slots."""

    kind: Literal["file", "script", "uboot"]
    path: Folder | None = None
    environment: Folder = "/etc/fw_env.config"
    started: Folder | None = None
    script: tuple[str, ...] = ()
    timeout_s: Seconds = 20


class Health(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What has to be so before a new version is kept."""

    within_s: Seconds = 300
    server: bool = True
    commands: tuple[Words, ...] = ()
    timeout_s: Seconds = 30
    memory: Annotated[int, Meta(ge=0)] = 0
    http: Annotated[tuple[Probe, ...], Meta(max_length=16)] = ()
    units: Annotated[tuple[Unit, ...], Meta(max_length=64)] = ()


class Conditions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What has to hold before an update begins, and how the device knows it."""

    require: Annotated[tuple[str, ...], Meta(max_length=MAX_CONDITIONS)] = ()
    battery: Folder | None = None
    commands: Annotated[dict[Name, Words], Meta(max_length=50)] = {}
    timeout_s: Seconds = 10


class Saved(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that is saved before an update; see `adapters.board.backup`."""

    name: Name
    path: Folder | None = None
    save: Words | None = None
    restore: Words | None = None
    component: Name | None = None


class Backup(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is saved before an update, and where."""

    item: Annotated[tuple[Saved, ...], Meta(min_length=1, max_length=64)]
    tenant: Annotated[str, Meta(max_length=200)] | None = None
    folder: Folder | None = None
    keep: Annotated[int, Meta(ge=1, le=100)] = 3
    upload: bool = False
    max_bytes: Annotated[int, Meta(ge=1, le=1 << 44)] = 1 << 30
    pause: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    timeout_s: Seconds = 600


class Limit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How fast downloads may be at a time of day."""

    window: str
    bytes_per_s: Annotated[int, Meta(ge=0)]


class Windows(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the device may be disturbed."""

    install: Annotated[tuple[str, ...], Meta(max_length=MAX_WINDOWS)] = ()
    forced_breaks: bool = False


class Download(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How files are fetched."""

    mirrors: Annotated[tuple[Mirror, ...], Meta(max_length=8)] = ()
    limits: Annotated[tuple[Limit, ...], Meta(max_length=16)] = ()
    least_bytes_per_s: Annotated[int, Meta(ge=1)] = 64
    within_s: Annotated[float, Meta(ge=60, le=365 * 86_400)] = 7 * 86_400
    delta_memory: Annotated[int, Meta(ge=0, le=1 << 32)] = 40_000_000
    http2: bool = True


class Server(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the server is asked."""

    listen_s: Annotated[int, Meta(ge=0, le=300)] = 0


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it."""

    data: Folder
    component: Annotated[tuple[Component, ...], Meta(min_length=1, max_length=64)]
    boot: Boot | None = None
    health: Health = Health()
    download: Download = Download()
    server: Server = Server()
    conditions: Conditions = Conditions()
    timezone: str = ""
    windows: Windows = Windows()
    backup: Backup | None = None
    locks: Locks = Locks()
    hooks: Hooks = Hooks()
    local: Local | None = None
    reboot: Words = ("systemctl", "reboot")
    renew_after_s: Annotated[float, Meta(ge=0)] = 3600
    monitor: Monitor = Monitor()
    diagnostics: Diagnostics = Diagnostics()
    remote: Remote = Remote()
    command: Annotated[tuple[Command, ...], Meta(max_length=64)] = ()


def longest_s(settings: Settings) -> float:
    """How long one program, or one answer, may take that the agent waits for."""
    parts = [max(one.timeout_s or 1800, one.after_timeout_s) for one in settings.component]
    parts += [one.timeout_s for one in settings.command]
    parts += [settings.health.timeout_s, settings.conditions.timeout_s, settings.monitor.timeout_s]
    parts += [settings.diagnostics.timeout_s, settings.server.listen_s]
    if settings.backup is not None:
        parts.append(settings.backup.timeout_s)
    return max(parts)


def read(path: Path) -> Settings:
    """Read a configuration.

    Raises:
        InvalidInputError: it cannot be read, or something in it is not as it should be: the key and why, in one line.
    """
    try:
        told = tomllib.loads(_text(path))
        if (where := places.with_nul(told)) is not None:
            raise InvalidInputError(f"{path}: {where}: there is a zero byte in it")
        settings = msgspec.convert(told, Settings)
    except OSError as error:
        raise InvalidInputError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise InvalidInputError(f"{path}: it nests too deep") from None
    except msgspec.ValidationError as error:
        where, reason = slip(str(error))
        raise InvalidInputError(f"{path}: {where}: {reason}", hint="docs/agent.md lists what there is.") from None
    for number, component in enumerate(settings.component):
        _check(path, f"component[{number}]", component, settings)
    names = [component.name for component in settings.component]
    if len(set(names)) < len(names):
        raise InvalidInputError(f"{path}: component: two have the same name")
    if (two := places.shared(settings)) is not None:
        raise InvalidInputError(f"{path}: {two[0]}: it is the same place as {two[1]}")
    _check_boot(path, settings.boot)
    _check_times(path, settings)
    _check_conditions(path, settings.conditions)
    _check_backup(path, settings)
    remote_settings.check(path, settings.monitor, settings.diagnostics, settings.command)
    if settings.local is not None:
        check_local(f"{path}: local", settings.local)
    check_probes(f"{path}: health.http", settings.health.http)
    return settings


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InvalidInputError(f"{path}: it is larger than {MAX_BYTES} bytes")
    return content.decode()


def _check(path: Path, where: str, component: Component, settings: Settings) -> None:
    """What belongs together. Raises InvalidInputError."""
    needed = NEEDED[component.installer]
    of_some = {name for table in (NEEDED, ALLOWED) for names in table.values() for name in names}
    others = of_some - {*needed, *ALLOWED[component.installer]}
    for name in needed:
        if getattr(component, name) is None:
            raise InvalidInputError(f"{path}: {where}.{name}: the installer {component.installer} needs it")
    for name in sorted(others):
        if getattr(component, name) is not None:
            raise InvalidInputError(f"{path}: {where}.{name}: the installer {component.installer} has no use for it")
    if component.keep_archive and not component.unpack:
        raise InvalidInputError(f"{path}: {where}.keep_archive: only what is unpacked (unpack = true) has an archive")
    if component.installer in SLOTTED and settings.boot is None:
        raise InvalidInputError(f"{path}: boot: {component.name} has two slots, and nothing says what starts them")


def _check_boot(path: Path, boot: Boot | None) -> None:
    if boot is None:
        return
    if boot.kind == "script" and not boot.script:
        raise InvalidInputError(f"{path}: boot.script: the kind script needs it")
    if boot.kind == "file" and (boot.path is None or boot.started is None):
        raise InvalidInputError(f"{path}: boot.{'path' if boot.path is None else 'started'}: the kind file needs it")


def _check_times(path: Path, settings: Settings) -> None:
    told = [(f"download.limits[{number}].window", one.window) for number, one in enumerate(settings.download.limits)]
    told += [(f"windows.install[{number}]", text) for number, text in enumerate(settings.windows.install)]
    try:
        where = "timezone"
        if settings.timezone:
            zone(settings.timezone)
        for where, text in told:  # noqa: B007 - said where one is none
            window(text)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {where}: {error.message}", hint=error.hint) from None


def _check_conditions(path: Path, conditions: Conditions) -> None:
    try:
        check_all([condition(text) for text in conditions.require])
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: conditions.require: {error.message}", hint=error.hint) from None


def _check_backup(path: Path, settings: Settings) -> None:
    backup = settings.backup
    if backup is None:
        return
    if backup.tenant is not None:
        _check_owner(path, backup.tenant)
    held = [settings.data, backup.folder or settings.data]
    for number, item in enumerate(backup.item):
        where = f"{path}: backup.item[{number}]"
        others = [one for one in backup.item if one is not item]
        if item.name in {one.name for one in others} or item.name == "backup.json":
            raise InvalidInputError(f"{where}.name: another one has it")
        if item.component is not None and item.component not in {one.name for one in settings.component}:
            raise InvalidInputError(f"{where}.component: there is no component {item.component}")
        if (item.path is None) == (item.save is None) or (item.save is None) != (item.restore is None):
            raise InvalidInputError(f"{where}: it is a path, or commands save and restore")
        if item.path is None:
            continue
        if item.path != posixpath.normpath(item.path) or item.path == "/":
            raise InvalidInputError(f"{where}.path: write it without . and .., and without / at its end")
        inner = [*held, *(one.path for one in others if one.path is not None)]
        if clash := next((one for one in inner if f"{one}/".startswith(f"{item.path}/")), None):
            raise InvalidInputError(f"{where}.path: {clash} is in it")


def _check_owner(path: Path, tenant: str) -> None:
    from otaru.adapters.age import Recipient  # noqa: PLC0415 - who has no backups does without

    try:
        Recipient.parse(tenant)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: backup.tenant: {error.message}", hint=error.hint) from None
