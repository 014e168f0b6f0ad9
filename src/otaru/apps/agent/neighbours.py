"""Who else has a say on the device: applications by locks, programs at the turns of an update, others by how healthy they are."""

import grp
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from otaru.adapters.board.hooks import CommandHooks
from otaru.adapters.board.locks import FileLock, Flock
from otaru.adapters.board.probes import HttpCheck, UnitCheck
from otaru.apps.agent.forms import Folder, Group, Mode, Seconds, Socket, Url
from otaru.domain.update import Moment
from otaru.errors import InvalidInputError
from otaru.ports.board import HealthCheck, Lock
from otaru.ports.clock import Clock

Commandline = Annotated[tuple[str, ...], Meta(max_length=100)]
"""A program and its arguments, or none."""


class Probe(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server that has to answer."""

    url: Url
    statuses: Annotated[tuple[Annotated[int, Meta(ge=100, le=599)], ...], Meta(min_length=1, max_length=20)] = (200,)
    contains: Annotated[str, Meta(max_length=1000)] = ""
    timeout_s: Seconds = 5
    elsewhere: bool = False
    """It may be another machine."""


class Locks(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What keeps updates away while an application says so."""

    files: Annotated[tuple[Folder, ...], Meta(max_length=50)] = ()
    flocks: Annotated[tuple[Folder, ...], Meta(max_length=50)] = ()
    forced_breaks: bool = False


class Hooks(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Programs at the turns of an update."""

    before_download: Commandline = ()
    before_install: Commandline = ()
    after_commit: Commandline = ()
    after_failure: Commandline = ()
    timeout_s: Seconds = 60


class Local(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A socket at which programs of the device ask the agent."""

    socket: Socket
    mode: Mode = "0600"
    group: Group | None = None


def locks(told: Locks) -> list[Lock]:
    """What may be held."""
    return [*map(FileLock, told.files), *map(Flock, told.flocks)]


def hooks(told: Hooks) -> CommandHooks:
    """What is called at each moment."""
    return CommandHooks({moment: getattr(told, moment) for moment in Moment}, told.timeout_s)


def health(probes: tuple[Probe, ...], units: tuple[str, ...], timeout_s: float, clock: Clock) -> Iterator[HealthCheck]:
    """What others tell of the device's health."""
    for one in probes:
        yield HttpCheck(one.url, clock, one.statuses, one.contains, one.timeout_s)
    for unit in units:
        yield UnitCheck(unit, timeout_s)


def check_local(where: str, told: Local) -> None:
    """A socket has a folder and a group. Below /run whoever starts the agent makes the folder: it may not be there yet.

    Raises:
        InvalidInputError: there is none, or it is one itself.
    """
    folder = Path(told.socket).parent
    if told.socket.endswith("/") or Path(told.socket).is_dir():
        raise InvalidInputError(f"{where}.socket: {told.socket} is a folder")
    if not folder.is_dir() and folder.parts[1:2] != ("run",) and folder.parts[1:3] != ("var", "run"):
        raise InvalidInputError(f"{where}.socket: there is no folder {folder}")
    try:
        if told.group is not None:
            grp.getgrnam(told.group)
    except KeyError:
        raise InvalidInputError(f"{where}.group: there is no group {told.group}") from None


def check_probes(where: str, probes: tuple[Probe, ...]) -> None:
    """A probe asks this device, unless it is said otherwise: what another machine answers says nothing of this one's update.

    Raises:
        InvalidInputError: one asks elsewhere, or is no address: no update would ever be healthy.
    """
    for number, one in enumerate(probes):
        try:
            parts = urlsplit(one.url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise InvalidInputError(f"{where}[{number}].url: it is no address: {error}") from None
        if not one.elsewhere and not _is_here(host):
            raise InvalidInputError(
                f"{where}[{number}].url: {host or one.url[:80]} is not this device",
                hint="127.0.0.1, [::1] or localhost; or elsewhere = true.",
            )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
