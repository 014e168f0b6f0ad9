"""What server and signer say to one another: frames of JSON over two pipes, each with its length before it.

There is no way to say "sign these bytes" in it.
"""

import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from otaru.ports.director import Assignment
from otaru.trust.tuf.director import Issued

HEAD = struct.Struct(">I")
MAX_FRAME = 64 << 20
MAX_BATCH = 256
"""Assignments in one frame."""


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The first thing said: where the store is, where the keys are, and where the online one is, if elsewhere."""

    database: str
    keys: str
    online: str = ""


class Make(msgspec.Struct, frozen=True, tag="make"):
    """A new key."""

    tenant: str


class Held(msgspec.Struct, frozen=True, tag="held"):
    """Which of these keys are there."""

    tenant: str
    keys: list[str]


class Sign(msgspec.Struct, frozen=True, tag="sign"):
    """Look these up, and sign what is so."""

    assignments: list[Assignment]


class Done(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one assignment: one of these."""

    issued: Issued | None = None
    refused: str | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """To any of them."""

    key: Mapping[str, Any] | None = None
    held: list[str] | None = None
    done: list[Done] | None = None
    failed: str | None = None
    """Nothing of it was done, and why."""


Ask = Begin | Make | Held | Sign


def framed(said: Ask | Answer) -> bytes:
    """As it goes over the pipe."""
    content = msgspec.json.encode(said)
    return HEAD.pack(len(content)) + content


def asked(content: bytes) -> Ask:
    """What the server says.

    Raises:
        msgspec.DecodeError: it is nothing that it says.
    """
    found: Ask = msgspec.json.decode(content, type=Ask)
    return found


def answered(content: bytes) -> Answer:
    """What the signer says.

    Raises:
        msgspec.DecodeError: it is nothing that it says.
    """
    return msgspec.json.decode(content, type=Answer)
