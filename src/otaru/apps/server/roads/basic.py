"""A device's id and target token as HTTP writes them: `Authorization: Basic` (RFC 7617)."""

from base64 import b64decode
from binascii import Error as Base64Error

from otaru.domain.ids import DeviceId
from otaru.errors import UnauthenticatedError


def basic(authorization: bytes) -> tuple[DeviceId, bytes]:
    """The device that is named, and its token.

    Raises:
        UnauthenticatedError: the header is of another scheme, or broken.
    """
    scheme, _, shown = authorization.partition(b" ")
    try:
        device, colon, token = b64decode(shown.strip(), validate=True).partition(b":")
        if scheme.lower() == b"basic" and colon:
            return DeviceId(device.decode("ascii")), token
    except (Base64Error, ValueError):
        pass
    raise UnauthenticatedError("the request does not name a device and its token (Authorization: Basic)")
