"""`otaru agent install`: an update from a medium, without a network, and a receipt of it for the server."""

from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace as with_
from hashlib import sha256
from pathlib import Path
from threading import Event as Flag
from typing import Any

from otaru.adapters.board.disk import LocalDisk, make_folders, replace
from otaru.adapters.board.outbox import FileOutbox
from otaru.adapters.links.bundle import FolderLink, find
from otaru.apps.agent import identity, keys, wiring
from otaru.apps.agent.run import ended_by_signals
from otaru.apps.agent.settings import Settings
from otaru.apps.agent.wiring import Agent, Stop
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.link import MAX_NOTES, Batch
from otaru.domain.update import RESTING, State
from otaru.domain.update_record import Past
from otaru.errors import DataFolderError, OtaruError, StorageFullError
from otaru.protocols import receipt as form
from otaru.protocols.bundle import RECEIPTS, digest
from otaru.protocols.native import codec
from otaru.protocols.native.codec import Form
from otaru.services.edge.offline import by_medium
from otaru.services.edge.running import installed
from otaru.services.edge.update import Updater
from otaru.trust.receipt import text
from otaru.trust.verify.refusals import OfflineBundleError

_WAITS = frozenset({State.STAGED, State.INSTALLING})
"""Where conditions and locks are looked at."""
_RESTARTS = frozenset({State.REBOOTING, State.RETURNING})


@dataclass(frozen=True, slots=True)
class Installed:
    """What became of it."""

    past: Past | None
    """How it ended; None where it has not."""
    new: bool
    """It ended now, not before."""
    restarts: bool
    """The device was told to restart: its agent goes on from there."""
    held_back: str
    """Why it may not begin now."""
    release: str
    action: int
    bundle: str
    receipts: tuple[str, ...] = ()
    unwritten: str = ""
    """Why there is no receipt."""

    def told(self) -> dict[str, Any]:
        """For people and programs."""
        past = self.past
        return {
            "release": self.release,
            "action": self.action,
            "bundle": self.bundle,
            "outcome": None if past is None else past.outcome,
            "code": "" if past is None else past.code,
            "reason": self.held_back if past is None else past.reason,
            "restarts": self.restarts,
            "receipts": list(self.receipts),
        }


def install(settings: Settings, medium: Path, receipts: Path | None) -> Installed:
    """Install what a bundle on a medium has for this device, as far as it goes before a restart. No agent may be at work.

    The receipt goes to `receipts`, or else to the medium where that can be written.

    Raises:
        OfflineBundleError: nothing there is for this device.
        DataFolderError: it was never enrolled, an agent is at work, or `receipts` cannot be written.
        OtaruError, OSError: something here, or the medium, is not as it should be; what was begun is gone on with.
    """
    stop = Stop(Flag())
    identity.load(Path(settings.data))
    with wiring.alone(Path(settings.data)), wiring.agent(settings, stop) as made, ended_by_signals(stop):
        disk, device = LocalDisk(), DeviceId(made.me.device)
        bundle = find(disk, str(medium), device, made.parts.clock.now())
        link = FolderLink(disk, str(medium), bundle, device)
        updater = Updater(by_medium(made.parts, link, bundle))
        updater.start()
        known = {one.number for one in updater.record.history}
        _go(updater, stop)
        offer = link.poll().offer
        if offer is None:
            raise OfflineBundleError("the bundle tells this device to install nothing")
        release = f"{offer.product}:{offer.version}"
        ended = (
            one for one in reversed(updater.record.history) if (one.action, one.release) == (offer.action, release)
        )
        past = next(ended, None)
        restarts = updater.record.state in _RESTARTS
        if past is None and not restarts and not updater.held_back:
            raise OfflineBundleError("the bundle tells this device something else than it signs")
        found = Installed(
            past,
            past is not None and past.number not in known,
            restarts,
            updater.held_back,
            release,
            int(offer.action),
            bundle.id,
        )
        desk, folder = _Desk(Path(settings.data), made, updater), receipts or medium.resolve() / RECEIPTS
        return _with_receipts(found, desk, folder, asked=receipts is not None)


def _go(updater: Updater, stop: Stop) -> None:
    """Go on until it is over, or the device is to restart, or something has to hold first."""
    while True:
        wait = updater.tick()
        state = updater.record.state
        if state in RESTING or state in _RESTARTS or (state in _WAITS and updater.held_back):
            return
        if state is State.FETCHING:
            raise OfflineBundleError("the medium does not give all of it now; what came is kept")
        stop.pause(wait.total_seconds())


@dataclass(frozen=True, slots=True)
class _Desk:
    """Who writes receipts."""

    data: Path
    made: Agent
    updater: Updater


def _with_receipts(found: Installed, desk: _Desk, folder: Path, *, asked: bool) -> Installed:
    if desk.made.me.by_token:
        return with_(found, unwritten="this device has no key of its own, and tells its server itself")
    try:
        written = _write(desk, found.bundle, folder.absolute())
    except (OSError, StorageFullError) as error:
        said = f"{folder} cannot be written: {error.strerror if isinstance(error, OSError) else error.message}"
        if asked:
            raise DataFolderError(said) from None
        return with_(found, unwritten=said)
    except OtaruError as error:  # its key: the token is not there, or refuses the PIN
        return with_(found, unwritten=error.message)
    return with_(found, receipts=written)


def _write(desk: _Desk, bundle: str, folder: Path) -> tuple[str, ...]:
    """All that the server was not told yet, signed: as many files as it takes, each put in place at once."""
    disk, me, parts = LocalDisk(), desk.made.me, desk.made.parts
    notes = FileOutbox(disk, str(desk.data / "outbox")).everything()
    runs = installed(parts, desk.updater.record)
    key, time_s = keys.key(desk.data, me), int(parts.clock.now().timestamp())
    by, device = sha256(key.der).digest(), DeviceId(me.device)
    make_folders(disk, str(folder))
    written = []
    for number in range(0, max(len(notes), 1), MAX_NOTES):
        said = codec.batch(Batch(notes[number : number + MAX_NOTES], runs), Form.JSON)
        signed = key.sign(text(TenantId(me.tenant), device, bundle, time_s, by, said))
        path = str(folder / f"{digest(device)[:32]}-{bundle}-{number // MAX_NOTES}.json")
        replace(disk, path, form.written(me.tenant, me.device, bundle, time_s, said, key.pem, signed))
        with suppress(OSError):  # FAT knows no permissions of files
            disk.mode(path, 0o644)  # whoever carries it may read it
        written.append(path)
    return tuple(written)
