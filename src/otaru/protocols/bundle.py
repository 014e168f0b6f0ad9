"""What lies where on a medium with bundles, and how a device's order is written there (docs/offline.md).

    bundles/ID/bundle.json              the signed document (`trust.verify.offline`); written last
    bundles/ID/image/VERSION.ROLE.json  the image repository's metadata, as a server gives it; timestamp.json
    bundles/ID/director/N.root.json     the director's roots
    bundles/ID/release.proof            that the release is in the release log (c2sp.org/tlog-proof), for devices that ask
    bundles/ID/devices/SHA256.json      one device's order: the name is the digest of its id
    files/SHA256                        bytes of targets, for all bundles
    receipts/                           what devices say (`protocols.receipt`)

Names are digests where an id is anybody's: file systems of sticks are particular about names, and some take `a` for `A`.
"""

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from otaru.domain.ids import DeviceId
from otaru.domain.link import Told
from otaru.errors import InvalidInputError
from otaru.protocols.native import codec
from otaru.protocols.native.codec import Form
from otaru.trust.tuf.names import SNAPSHOT, TARGETS, TIMESTAMP

BUNDLES = "bundles"
FILES = "files"
RECEIPTS = "receipts"
DOCUMENT = "bundle.json"
IMAGE = "image"
DIRECTOR = "director"
PROOF = "release.proof"
REQUEST = "request.json"
"""In the document's place while it lacks signatures: for `otaru keys sign`."""
KIND = "offline-bundle"
"""What such a request calls what is to be signed."""
MAX_BUNDLES = 256
"""Bundles on one medium that a device looks at."""
MAX_ORDER = 1024 * 1024


class _Order(msgspec.Struct):
    told: msgspec.Raw
    timestamp: str
    snapshot: str
    targets: str


@dataclass(frozen=True, slots=True)
class Order:
    """What one device is told: the answer to a poll, as a hint, and the director's metadata, as it was signed."""

    told: Told
    timestamp: bytes
    snapshot: bytes
    targets: bytes

    def of(self, role: str) -> bytes | None:
        """The metadata of a role."""
        return {TIMESTAMP: self.timestamp, SNAPSHOT: self.snapshot, TARGETS: self.targets}.get(role)


def device_file(device: DeviceId) -> str:
    """The name of a device's order."""
    return f"devices/{digest(device)}.json"


def digest(device: DeviceId) -> str:
    """What stands for a device's id in names."""
    return sha256(device.encode()).hexdigest()


def order(given: Order) -> bytes:
    """An order as it is written."""
    texts = (given.timestamp.decode(), given.snapshot.decode(), given.targets.decode())
    return msgspec.json.encode(_Order(msgspec.Raw(codec.told(given.told, Form.JSON)), *texts))


def read_order(data: bytes) -> Order:
    """Read an order; nothing of it is believed.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        found = msgspec.json.decode(data, type=_Order)
        texts = (found.timestamp.encode(), found.snapshot.encode(), found.targets.encode())
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise InvalidInputError("a device's order in the bundle has another form") from None
    told, _ = codec.read_told(bytes(found.told), Form.JSON)
    return Order(told, *texts)
