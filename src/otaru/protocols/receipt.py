"""A receipt as a file, see `trust.receipt`: JSON, with what is said as text, byte for byte as it was signed."""

from base64 import b64decode, b64encode
from typing import Annotated, Literal

import msgspec

from otaru.domain import ids
from otaru.domain.link import Batch
from otaru.errors import InvalidInputError, ReceiptError
from otaru.protocols.native import codec
from otaru.protocols.native.codec import Form
from otaru.trust.pki.certificates import read_key
from otaru.trust.possession import MAX_SIGNATURE
from otaru.trust.receipt import RECEIPT, Receipt

MAX_RECEIPT = codec.MAX_BATCH
"""Bytes of a file."""


class _Receipt(msgspec.Struct, forbid_unknown_fields=True):
    receipt: Literal["otaru-receipt-v1"]
    tenant: str
    device: str
    bundle: Annotated[str, msgspec.Meta(max_length=64)]
    time: int
    said: str
    public_key: str
    signature: Annotated[str, msgspec.Meta(max_length=2 * MAX_SIGNATURE)]


def written(tenant: str, device: str, bundle: str, time_s: int, said: bytes, pem: str, signature: bytes) -> bytes:
    """A receipt as it is written."""
    shown = b64encode(signature).decode()
    return msgspec.json.encode(_Receipt(RECEIPT, tenant, device, bundle, time_s, said.decode(), pem, shown))


def read(data: bytes) -> Receipt:
    """Read a receipt; nothing of it is believed.

    Raises:
        ReceiptError: it is none.
    """
    if len(data) > MAX_RECEIPT:
        raise ReceiptError(f"a receipt has at most {MAX_RECEIPT} bytes")
    try:
        found = msgspec.json.decode(data, type=_Receipt)
        said, signature = found.said.encode(), b64decode(found.signature, validate=True)
        tenant, device = ids.tenant_id(found.tenant), ids.device_id(found.device)
        return Receipt(tenant, device, found.bundle, found.time, said, read_key(found.public_key), signature)
    except (msgspec.MsgspecError, InvalidInputError, ValueError, RecursionError):
        raise ReceiptError("it is no receipt of a device") from None


def notes(receipt: Receipt) -> Batch:
    """What it says.

    Raises:
        ReceiptError: it cannot be read.
    """
    try:
        return codec.read_batch(receipt.said, Form.JSON)
    except InvalidInputError as error:
        raise ReceiptError(f"what the receipt of {receipt.device} says cannot be read: {error.message}") from None
