"""DER, as far as CMS needs it: tags below 31, definite lengths in their shortest form, everything inside its parent."""

from dataclasses import dataclass

from otaru.images.reading import BrokenImageError

BOOLEAN, INTEGER, BITS, OCTETS, NULL, OID, SEQUENCE, SET = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x30, 0x31
_MOST = 4096  # elements of one parent


@dataclass(frozen=True, slots=True)
class Element:
    """One value: its tag, what is in it, and the bytes it was read from."""

    tag: int
    body: bytes
    raw: bytes


def one(data: bytes, what: str) -> Element:
    """The one element that `data` is.

    Raises:
        BrokenImageError: it is none, or more than one.
    """
    found = children(data, what)
    if len(found) != 1:
        raise BrokenImageError(f"{what} is not one DER value")
    return found[0]


def children(data: bytes, what: str) -> list[Element]:
    """The elements that stand one after another in `data`.

    Raises:
        BrokenImageError: it is not DER.
    """
    found: list[Element] = []
    at = 0
    while at < len(data):
        element = _element(data, at, what)
        at += len(element.raw)
        found.append(element)
        if len(found) > _MOST:
            raise BrokenImageError(f"{what} holds more than {_MOST} DER values")
    return found


def oid(element: Element, what: str) -> str:
    """An object identifier in dotted decimal.

    Raises:
        BrokenImageError: it is none.
    """
    body = element.body
    if element.tag != OID or not 0 < len(body) <= 64 or body[-1] & 0x80:
        raise BrokenImageError(f"{what} holds no object identifier where one belongs")
    arcs: list[int] = []
    value = 0
    for byte in body:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _element(data: bytes, at: int, what: str) -> Element:
    if at + 2 > len(data):
        raise BrokenImageError(f"{what} ends within a DER value")
    tag, length = data[at], data[at + 1]
    start = at + 2
    if tag & 0x1F == 0x1F:
        raise BrokenImageError(f"{what} holds a DER tag that nothing here has")
    if length >= 0x80:
        octets = length & 0x7F
        size = data[start : start + octets]
        # X.690, 10.1: DER has no indefinite lengths (0x80), and lengths are as short as they can be.
        if not 1 <= octets <= 4 or len(size) != octets or not size[0] or (length := int.from_bytes(size)) < 0x80:
            raise BrokenImageError(f"{what} holds a length that DER forbids")
        start += octets
    if start + length > len(data):
        raise BrokenImageError(f"{what} ends within a DER value")
    return Element(tag, data[start : start + length], data[at : start + length])
