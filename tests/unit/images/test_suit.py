"""SUIT's envelopes: the six public examples, and our own."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.images import cbor
from otaru.images.facts import Facts, Format, Verdict
from otaru.images.keys import anchors
from otaru.images.reading import BrokenImageError
from tests.support.images import VECTORS, look, signer, suit

EXAMPLES = json.loads((VECTORS / "suit.json").read_text())
PUBLIC = {Format.SUIT: anchors([bytes.fromhex(EXAMPLES["public_key"])])}
TRUST = {Format.SUIT: signer().anchor()}
VENDOR, CLASS = "vendor fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe", "class 1492af14-2569-5e48-bf42-9b2d51f2ab45"
ONE = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210"
TWO = "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff"


@pytest.mark.parametrize("example", EXAMPLES["examples"], ids=lambda example: example["name"])
def test_the_public_examples(example: dict[str, str]) -> None:
    signed = bytes.fromhex(example["signed"])
    found = look(signed, PUBLIC)
    assert found.verdict is Verdict.VALID
    assert found.signatures[0].kind == "COSE, ECDSA secp256r1"
    assert found.security_counter == int(example["name"][7])
    assert found.hardware == (VENDOR, CLASS)
    assert found.payloads[0].sha256 == ONE
    assert found.payloads[0].size in {34768, 76834}
    assert look(signed).verdict is Verdict.UNKNOWN
    assert look(signed, TRUST).verdict is Verdict.UNKNOWN
    if example["unsigned"]:
        assert look(bytes.fromhex(example["unsigned"]), PUBLIC).verdict is Verdict.NONE


def example(name: str) -> Facts:
    (found,) = (one for one in EXAMPLES["examples"] if one["name"] == name)
    return look(bytes.fromhex(found["signed"]), PUBLIC)


def test_what_the_examples_describe() -> None:
    assert example("example0").version is None
    assert {(part.name, part.sha256) for part in example("example4").payloads} >= {("00", ONE), ("01", TWO)}
    assert {part.sha256 for part in example("example3").payloads} == {ONE, TWO}  # two slots, each its own image


def test_everything_it_says_is_found() -> None:
    found = look(suit(signer()), TRUST)
    assert (found.product, found.version, found.security_counter) == ("gateway", "1.1.0", 9)
    (part,) = found.payloads
    assert (part.name, part.size, part.verified) == ("flash/00", 8, True)
    assert found.verdict is Verdict.VALID


def test_a_payload_elsewhere_is_not_verified() -> None:
    found = look(suit(signer(), uri="https://example.com/app"), TRUST)
    assert not found.payloads[0].verified


@pytest.mark.parametrize(
    ("envelope", "words"),
    [
        (suit(inside=b"malware!"), "a payload has the sha256"),
        (suit().replace(b"1.1.0", b"9.9.9"), "text is not the one"),
        (suit().replace(b"flash", b"trash", 1), "the manifest has the sha256"),
        (suit() + b"\0", "behind its end"),
        (suit()[:-1], "too early"),
        (b"\xd8\x6b" + b"\x81" * 1000 + b"\0", "nests too deep"),
        (b"\xd8\x6b\x9a\xff\xff\xff\xff", "too early"),
        (b"\xd8\x6b\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "too early"),
        (b"\xd8\x6b\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "too early"),
        (b"\xd8\x6b\x9f\xff", "not read here"),
        (b"\xd8\x6b\xa0", "holds no manifest"),
        (b"\xd8\x6b\x00", "no map"),
    ],
)
def test_what_contradicts_itself_is_refused(envelope: bytes, words: str) -> None:
    with pytest.raises(BrokenImageError, match=words):
        look(envelope)


def test_a_counter_s_signature_of_another_manifest() -> None:
    one = suit(signer())
    data = bytearray(one)
    data[one.index(b"\xa1\x01\x26\xa0") + 20] ^= 1  # inside the signature
    assert look(bytes(data), TRUST).verdict is Verdict.UNKNOWN


VALUES = st.recursive(
    st.one_of(
        st.sampled_from(
            [(b"\xf4", False), (b"\xf5", True), (b"\xf6", None), (b"\x20", -1), (b"\x38\x18", -25), (b"\x19\x01\x00", 256),
             (b"\x1b\x00\x00\x00\x01\x00\x00\x00\x00", 2**32)]
        ),
        st.binary(max_size=300).map(lambda value: (cbor.octets(value), value)),
        st.text(max_size=300).map(lambda value: (cbor.text(value), value)),
    ),
    lambda inner: st.lists(inner, max_size=5).map(
        lambda parts: (bytes([0x80 | len(parts)]) + b"".join(raw for raw, _ in parts), tuple(value for _, value in parts))
    ),
)  # fmt: skip


@given(VALUES)
def test_cbor_reads_what_was_written(pair: tuple[bytes, object]) -> None:
    raw, value = pair
    assert cbor.decode(raw, "it", 100) == value
    with pytest.raises(BrokenImageError):
        cbor.decode(raw + b"\0", "it", 100)
    with pytest.raises(BrokenImageError):
        cbor.decode(raw[:-1], "it", 100)


@pytest.mark.parametrize(
    "raw", [b"\x18\x17", b"\x19\x00\xff", b"\x1a\x00\x00\xff\xff", b"\x1c", b"\xf9\x00\x00", b"\xff", b"\x61\xff",
            b"\xa2\x01\x01\x01\x01",
            b"\xa1\xa0\x01", b"\xf8\x20", b""]
)  # fmt: skip
def test_what_deterministic_cbor_forbids(raw: bytes) -> None:
    with pytest.raises(BrokenImageError):
        cbor.decode(raw, "it")
