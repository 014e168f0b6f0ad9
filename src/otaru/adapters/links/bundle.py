"""`ports.link.Link` over a folder: a stick in the place of a server. It is only read.

Names on a medium are looked up, never followed: each is a digest, or has the form of a metadata file. What it cannot do a
server has to: hear reports, let its owner answer.
"""

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NoReturn

from otaru.adapters.board.disk import Disk
from otaru.domain.deployment import State
from otaru.domain.device import Merge
from otaru.domain.errand import State as ErrandState
from otaru.domain.errand import Went
from otaru.domain.health import Told as HealthTold
from otaru.domain.ids import ActionId, DeviceId
from otaru.domain.link import Answer, Batch, File, Heard, Taking, Told
from otaru.errors import InvalidInputError, NotFoundError, OtaruError, RangeNotSatisfiableError, UnavailableError
from otaru.protocols.bundle import (
    BUNDLES,
    DIRECTOR,
    DOCUMENT,
    FILES,
    IMAGE,
    MAX_BUNDLES,
    MAX_ORDER,
    PROOF,
    Order,
    device_file,
    read_order,
)
from otaru.trust.tuf.names import ROOT
from otaru.trust.verify.offline import MAX_SIZE, OfflineBundle, read_bundle
from otaru.trust.verify.refusals import OfflineBundleError
from otaru.trust.verify.steps import Source, Want

AGAIN = timedelta(seconds=5)
"""What does not hold now may in a moment."""
_CHUNK = 64 * 1024
_ADDRESS = re.compile(FILES + "/[0-9a-f]{64}")
_BAD_NAMES = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})


class FolderDownload:
    """`ports.link.Download` of a file of the medium."""

    tag = ""

    def __init__(self, disk: Disk, path: str, first: int) -> None:
        self._disk = disk
        self._path = path
        self._at = first
        self.first = first
        self.total: int | None = None
        """What it should be is signed; what it is shows."""

    def read(self) -> bytes:
        """See the port. Raises OSError where the medium fails, or was pulled."""
        data = self._disk.read_at(self._path, self._at, _CHUNK)
        self._at += len(data)
        return data

    def close(self) -> None:
        """See the port."""


@dataclass(frozen=True, slots=True)
class FolderLink:
    """One device's side of one bundle on a medium."""

    disk: Disk
    medium: str
    bundle: OfflineBundle
    device: DeviceId

    def poll(self, wait: timedelta = timedelta(0), taking: Taking | None = None) -> Told:  # noqa: ARG002 - see the port
        """What the bundle tells this device. Windows are not told: whoever comes with a stick has chosen the hour."""
        told = self._order().told
        offer = told.offer
        if offer is None:
            return Told(AGAIN)
        files = tuple(self._near(file) for file in offer.files)
        return Told(AGAIN, replace(offer, files=files, window=None))

    def metadata(self, want: Want) -> bytes | None:
        """See the port."""
        if want.source is Source.LOG:
            return self._read(PROOF, want.max_length + 1)
        if want.source is Source.DIRECTOR and want.role != ROOT:
            found = self._order().of(want.role)
            return None if found is None else found[: want.max_length + 1]
        folder = IMAGE if want.source is Source.IMAGE else DIRECTOR
        return self._read(f"{folder}/{want.name}", want.max_length + 1)

    def open(self, address: str, first: int = 0, tag: str = "") -> FolderDownload:  # noqa: ARG002 - see the port
        """See the port."""
        path = f"{self.medium}/{address}"
        size = _size(self.disk, path) if _ADDRESS.fullmatch(address) else None
        if size is None:
            raise NotFoundError(f"the medium has no {address}")
        if first >= size:
            raise RangeNotSatisfiableError(f"{address} has {size} bytes", size=size)
        return FolderDownload(self.disk, path, first)

    def report(self, said: Batch) -> list[Heard]:
        """See the port: nobody hears it."""
        self._nobody(said)

    def decide(self, action: ActionId, answer: Answer, until: datetime | None = None, reason: str = "") -> State:
        """See the port: nobody hears it."""
        self._nobody(action, answer, until, reason)

    def describe(self, attributes: Mapping[str, str], mode: Merge = Merge.MERGE) -> None:
        """See the port: nobody hears it."""
        self._nobody(attributes, mode)

    def tell(self, events: Sequence[HealthTold]) -> None:
        """See the port: nobody hears it."""
        self._nobody(events)

    def errands(self, said: Sequence[Went]) -> dict[int, ErrandState | None]:
        """See the port: nobody hears it."""
        self._nobody(said)

    def received(self, errand: int) -> int:
        """See the port: nobody has any."""
        self._nobody(errand)

    def send(self, errand: int, first: int, content: bytes, size: int, sha256: str) -> int:
        """See the port: nobody takes it."""
        self._nobody(errand, first, content, size, sha256)

    def close(self) -> None:
        """See the port: nothing is open."""

    def _nobody(self, *_: object) -> NoReturn:
        raise UnavailableError("a stick hears nothing")

    def _near(self, file: File) -> File:
        return replace(file, addresses=(f"{FILES}/{file.sha256}",), patches=())

    def _order(self) -> Order:
        data = self._read(device_file(self.device), MAX_ORDER + 1)
        if data is None or len(data) > MAX_ORDER:
            raise InvalidInputError("the bundle has no order for this device that can be read")
        return read_order(data)

    def _read(self, name: str, most: int) -> bytes | None:
        return _read(self.disk, f"{self.medium}/{BUNDLES}/{self.bundle.id}/{name}", most)


def find(disk: Disk, medium: str, device: DeviceId, now: datetime) -> OfflineBundle:
    """The bundle of a medium that names a device: of several the newest order that still holds. Nothing is believed yet.

    Raises:
        OfflineBundleError: none does.
        OtaruError: there is one document, and it is none.
    """
    found: list[OfflineBundle] = []
    broken: OtaruError | None = None
    for name in disk.names(f"{medium}/{BUNDLES}")[:MAX_BUNDLES]:
        data = _read(disk, f"{medium}/{BUNDLES}/{name}/{DOCUMENT}", MAX_SIZE + 1)
        if data is None:
            continue  # somebody still writes it
        try:
            one = read_bundle(data)
        except OtaruError as error:
            broken = error
            continue
        if one.id == name and device in one.devices:
            found.append(one)
    if not found:
        raise broken or OfflineBundleError(f"{medium}: no bundle there is for {device}")
    return max(found, key=lambda one: (one.expires > now, one.devices[device], one.expires))


def _size(disk: Disk, path: str) -> int | None:
    """A file's length. Links lead off the medium, and what has no length is no file, or a pipe that would keep us waiting."""
    return None if disk.target(path) is not None else disk.size(path) or None


def _read(disk: Disk, path: str, most: int) -> bytes | None:
    try:
        return disk.read_at(path, 0, most) if _size(disk, path) is not None else None
    except OSError as error:
        if error.errno in _BAD_NAMES:  # a name that cannot be is the name of nothing
            return None
        raise
