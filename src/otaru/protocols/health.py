"""What devices tell of their health, as bytes: JSON of the native road, and lines among the details of DDI feedback.

    {"events": [{"id": "b17-1", "kind": "watchdog", "at": "2026-05-01T04:00:00Z", "text": "task ui"},
                {"id": "b17-2", "kind": "sample", "name": "battery", "value": 81.5}]}

In a detail of DDI feedback: `otaru: watchdog task ui`, `otaru: battery=81.5`. Such a line needs no id: the same feedback
again says the same.
"""

import math
import re
import zlib
from collections.abc import Sequence
from typing import Annotated

import msgspec

from otaru.domain.health import EVENTS, MAX_EVENTS, MAX_ID, MAX_TEXT, MAX_TIME, MAX_VALUE, Kind, Told
from otaru.domain.ids import name
from otaru.errors import InvalidInputError, TooLargeError
from otaru.protocols.ddi.lenient import clean

MAX_BODY = 256 * 1024
"""Bytes, packed and unpacked."""
MAX_LINES = 100
"""Events taken from the details of one feedback."""

_FORM = '{"events": [{"id": "…", "kind": "reboot|watchdog|crash|…|sample", "name": "…", "value": 1.5}]}'
_ID = re.compile(r"[\x21-\x7e]{1,64}")
_LINE = re.compile(r"\s*otaru:\s*(\S+)\s*(.*)", re.DOTALL)
_SAMPLE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})=([-+]?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,3})?)")


class _Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
    kind: Kind
    at: str | float | None = None
    text: str = ""
    name: str = ""
    value: float | None = None


class _Events(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    events: list[_Event]


_events_of = msgspec.json.Decoder(_Events)


def unpacked(body: bytes, encoding: bytes) -> bytes:
    """A body without its Content-Encoding: none, or gzip.

    Raises:
        InvalidInputError: another encoding, or it is not gzip.
        TooLargeError: unpacked it is longer than MAX_BODY; it is not unpacked to its end.
    """
    match encoding.strip().lower():
        case b"" | b"identity":
            return body
        case b"gzip":
            unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                plain = unzip.decompress(body, MAX_BODY + 1)
            except zlib.error:
                raise InvalidInputError("the body is not gzip") from None
            if len(plain) > MAX_BODY:
                raise TooLargeError(f"unpacked, the body is longer than {MAX_BODY} bytes", limit=MAX_BODY)
            if not unzip.eof or unzip.unused_data:
                raise InvalidInputError("the body is not one whole gzip file")
            return plain
        case _:
            raise InvalidInputError("the body's Content-Encoding is not known", hint="Send it plain, or as gzip.")


def told(body: bytes) -> list[Told]:
    """What a device tells.

    Raises:
        InvalidInputError: it is not of the form.
        TooLargeError: more than MAX_EVENTS.
    """
    try:
        said = _events_of.decode(body).events
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"the body has another form: {error}", hint=f"Expected: {_FORM}") from None
    if len(said) > MAX_EVENTS:
        raise TooLargeError(f"{len(said)} events at once, {MAX_EVENTS} are allowed", limit=MAX_EVENTS)
    return [_told(one) for one in said]


def said(events: Sequence[Told]) -> bytes:
    """The body with which a device tells."""
    return msgspec.json.encode({"events": [_said(one) for one in events]})


def _said(one: Told) -> dict[str, object]:
    said: dict[str, object] = {"id": one.id, "kind": one.kind}
    said |= {"at": one.device_time} if one.device_time else {}
    return said | ({"name": one.name, "value": one.value} if one.kind is Kind.SAMPLE else {"text": one.text})


def checked(id_: str, kind: Kind, name_: str, value: float | None) -> None:
    """Check what goes together in an event.

    Raises:
        InvalidInputError: a sample without a name or a number, an event with one, or an id that is none.
    """
    if not _ID.fullmatch(id_):
        raise InvalidInputError("an event's id has 1 to 64 visible ASCII characters and no spaces")
    if kind is not Kind.SAMPLE:
        if name_ or value is not None:
            raise InvalidInputError(f"a {kind} has no name and no value: those are a sample's")
        return
    name(name_)
    if value is None or not math.isfinite(value):
        raise InvalidInputError(f"the sample {name_!r} has no number")
    if abs(value) > MAX_VALUE:
        raise InvalidInputError(f"the sample {name_!r} is {value:g}: numbers are from {-MAX_VALUE:g} to {MAX_VALUE:g}")


def in_details(details: Sequence[str], identity: bytes) -> list[Told]:
    """What lines among the details of a feedback tell; other lines tell nothing, and none is an error."""
    found: list[Told] = []
    for number, line in enumerate(details):
        parts = _LINE.fullmatch(line)
        if parts is None or len(found) == MAX_LINES:
            continue
        word, rest = parts.groups()
        id_ = f"{identity.hex()[:32]}-{number}"
        if (sample := _SAMPLE.fullmatch(word)) is not None:
            value = float(sample[2])
            if math.isfinite(value) and abs(value) <= MAX_VALUE:
                found.append(Told(id_, Kind.SAMPLE, name=sample[1], value=value))
        elif word in EVENTS:
            found.append(Told(id_, Kind(word), clean(rest).strip()[:MAX_TEXT]))
    return found


def _told(said: _Event) -> Told:
    checked(said.id, said.kind, said.name, said.value)
    at = "" if said.at is None else clean(str(said.at))[:MAX_TIME]
    return Told(said.id, said.kind, clean(said.text)[:MAX_TEXT], said.name, said.value or 0.0, at)
