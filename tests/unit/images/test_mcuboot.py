"""MCUboot's images."""

import hashlib

import pytest

from otaru.images.facts import Format, Verdict
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError
from tests.support.images import look, mcuboot, record, signer

TRUST = {Format.MCUBOOT: signer().anchor()}


def test_everything_it_says_is_found() -> None:
    found = look(mcuboot(by=signer()), TRUST)
    assert (found.version, found.security_counter, found.requires) == ("1.2.3+4", 7, ("image 1>=1.0.0",))
    (part,) = found.payloads
    assert (part.size, part.sha256, part.verified) == (72, hashlib.sha256(b"firmware" * 9).hexdigest(), True)
    assert found.verdict is Verdict.VALID
    assert found.signatures[0].signer == "CN=release manager"


def test_keys_nobody_knows() -> None:
    found = look(mcuboot(by=signer()), {Format.MCUBOOT: signer("somebody else").anchor()})
    assert found.verdict is Verdict.UNKNOWN
    assert found.signatures[0].key is not None
    assert look(mcuboot()).verdict is Verdict.NONE


def test_a_counter_outside_what_is_signed_does_not_count() -> None:
    found = look(mcuboot(by=signer(), counter=None, records=record(0x50, b"\xff" * 4)), TRUST)
    assert found.security_counter is None


def test_padding_after_the_records_is_the_slot_s() -> None:
    assert look(mcuboot(by=signer()) + b"\xff" * 500, TRUST).verdict is Verdict.VALID


def test_an_encrypted_program_cannot_be_checked_here() -> None:
    image = bytearray(mcuboot(by=signer()))
    image[16] |= 0x04
    found = look(bytes(image), TRUST)
    assert found.verdict is Verdict.UNKNOWN
    assert not found.payloads[0].verified


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (mcuboot(digest=b"x" * 32), "its record says"),
        (mcuboot(records=record(0x10, b"y" * 32)), "more than one"),
        (mcuboot(records=b"\x22"), "beyond the others"),
        (mcuboot(records=b"\x22\x00\xff\xff"), "beyond the others"),
        (mcuboot()[:12] + b"\xff\xff\xff\x7f" + mcuboot()[16:], "ends within"),
        (mcuboot()[:12] + b"\xff\xff\xff\xff" + mcuboot()[16:], "ends within"),
        (mcuboot()[:8] + b"\x10\x00" + mcuboot()[10:], "none of MCUboot's"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(image: bytes, words: str) -> None:
    with pytest.raises(BrokenImageError, match=words):
        look(image)


def test_a_signature_that_does_not_hold() -> None:
    image = bytearray(mcuboot(by=signer()))
    image[-1] ^= 1
    assert look(bytes(image), TRUST).verdict is Verdict.BROKEN
    assert look(bytes(image), {Format.MCUBOOT: Anchors()}).verdict is Verdict.UNKNOWN
