"""docs/connect/native.md as others implement it: the vectors are what we send and take, and every word of the wire is explained."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otaru.apps.server.roads.native import RESOURCES
from otaru.domain.link import SPOKEN, Answer, Asking
from otaru.domain.terms import UpdateType
from otaru.protocols.native import codec, wire
from otaru.protocols.native.codec import Form

DOCS = Path(__file__).parents[3] / "docs" / "connect"
VECTORS: list[dict[str, Any]] = json.loads((DOCS / "native-vectors.json").read_text())
PAGE = (DOCS / "native.md").read_text()

Again = Callable[[bytes, Form, Form], bytes]


def _told(body: bytes, form: Form, other: Form) -> bytes:
    told, notes = codec.read_told(body, form)
    return codec.told(told, other, notes or None)


AGAIN: dict[str, Again] = {
    "told": _told,
    "kept": lambda body, form, other: codec.kept(codec.read_kept(body, form), other),
    "batch": lambda body, form, other: codec.batch(codec.read_batch(body, form), other),
    "decision": lambda body, form, other: codec.decision(*codec.read_decision(body, form), other),
    "decided": lambda body, form, other: codec.decided(codec.read_decided(body, form), other),
    "errands": lambda body, form, other: codec.errands(codec.read_errands(body, form), other),
    "standing": lambda body, form, other: codec.standing(list(codec.read_standing(body, form).items()), other),
    "received": lambda body, form, other: codec.received(codec.read_received(body, form), other),
    "description": lambda body, form, other: codec.description(*codec.read_description(body, form), other),
}
"""Reads a body of a shape in one form, and writes what it says in the other."""


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_is_read_and_written_byte_for_byte(vector: dict[str, Any]) -> None:
    again = AGAIN[vector["shape"]]
    packed = bytes.fromhex(vector["msgpack"])
    text = json.dumps(vector["json"]).encode()
    assert again(text, Form.JSON, Form.MSGPACK) == packed
    assert json.loads(again(packed, Form.MSGPACK, Form.JSON)) == vector["json"]
    assert msgspec.msgpack.decode(packed) == vector["json"]


def test_every_shape_has_vectors() -> None:
    assert {vector["shape"] for vector in VECTORS} == set(AGAIN)


SHAPES = [found for found in vars(wire).values() if isinstance(found, type) and issubclass(found, msgspec.Struct)]


@pytest.mark.parametrize("shape", [s for s in SHAPES if s is not msgspec.Struct], ids=lambda shape: shape.__name__)
def test_every_member_is_explained(shape: type[msgspec.Struct]) -> None:
    assert [name for name in shape.__struct_encode_fields__ if f"`{name}`" not in PAGE] == []


def test_every_member_is_in_a_vector() -> None:
    text = json.dumps(VECTORS)
    missing = {
        name
        for shape in SHAPES
        if shape is not msgspec.Struct
        for name in shape.__struct_encode_fields__
        if f'"{name}"' not in text
    }
    assert missing == set()


@pytest.mark.parametrize("word", sorted({*SPOKEN, *Answer, *Asking, *UpdateType}))
def test_every_word_is_explained(word: str) -> None:
    assert f"`{word}`" in PAGE


def test_every_resource_is_listed() -> None:
    listed = set(re.findall(r"^(?:GET|POST) +/device/v1/(\w+)\?", PAGE, re.MULTILINE))
    assert listed == set(RESOURCES)
