"""Backups on the device: where they are, and how people list them and put one back."""

import os
from dataclasses import asdict
from pathlib import Path
from threading import Event as Flag
from typing import Any

from otaru.adapters.age import Recipient
from otaru.adapters.board.backup import FolderSafe, Item, Rules, own_identity
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.clock import SystemClock
from otaru.apps.agent import identity, wiring
from otaru.apps.agent.settings import Settings
from otaru.apps.agent.wiring import Stop
from otaru.domain.update import RESTING
from otaru.errors import InvalidInputError, InvalidStateError
from otaru.services.edge.restoring import chosen
from otaru.services.edge.update import Updater


def safe(settings: Settings, device: str, clock: SystemClock) -> FolderSafe:
    """The backups of a device.

    Raises:
        InvalidInputError: the tenant's key is none, a path cannot be put back as a whole, or nothing is to be saved.
    """
    told = settings.backup
    if told is None:
        raise InvalidInputError("agent.toml has no [backup]: nothing is saved")
    disk = LocalDisk()
    items = []
    for one in told.item:
        path = one.path or ""
        if path and (os.path.ismount(path) or os.path.islink(path)):  # noqa: PTH114 - as the disk's own calls
            raise InvalidInputError(
                f"backup: {path} is a mount point or a link, which nothing can be put in the place of",
                hint="Name the files and folders in it, or what it leads to.",
            )
        items.append(
            Item(
                name=one.name, path=path, save=one.save or (), restore=one.restore or (), component=one.component or ""
            )
        )
    rules = Rules(
        items=items,
        keep=told.keep,
        max_bytes=told.max_bytes,
        pause=told.pause,
        resume=told.resume,
        timeout_s=told.timeout_s,
        device=device,
    )
    return FolderSafe(
        disk,
        told.folder or f"{settings.data}/backups",
        rules,
        own_identity(disk, f"{settings.data}/backup.key"),
        None if told.tenant is None else Recipient.parse(told.tenant),
        lambda: clock.now().isoformat(timespec="seconds"),
    )


def backups(settings: Settings) -> list[dict[str, Any]]:
    """All that are on the device, the newest first.

    Raises:
        DataFolderError: it was never enrolled.
        InvalidInputError: as `safe`.
    """
    me = identity.load(Path(settings.data))
    return [asdict(one) for one in safe(settings, me.device, SystemClock()).kept()][::-1]


def withheld(settings: Settings) -> str:
    """Why the newest one is not at the server, where something was in the way. Raises as `backups`."""
    return safe(settings, identity.load(Path(settings.data)).device, SystemClock()).reason()


def restore(settings: Settings, name: str | None) -> str:
    """Put a backup back, the newest without a name; its name. No agent may be at work, and no update under way.

    Raises:
        DataFolderError: it was never enrolled, or an agent is at work.
        InvalidStateError: an update is under way.
        NothingToDoError: there is no backup.
        BackupError, StorageFullError, OSError: as `Safe.restore`.
    """
    identity.load(Path(settings.data))
    with wiring.alone(Path(settings.data)), wiring.agent(settings, Stop(Flag())) as made:
        updater = Updater(made.parts)
        updater.start()
        if updater.record.state not in RESTING:
            raise InvalidStateError(f"an update is {updater.record.state}", hint="Let the agent finish it.", allowed=[])
        kept = safe(settings, made.me.device, SystemClock())
        which = chosen(kept, name or "")
        kept.restore(which)
        return which
