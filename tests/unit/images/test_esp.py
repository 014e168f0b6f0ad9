"""ESP-IDF's images."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.images import sums
from otaru.images.facts import Format, Verdict
from otaru.images.reading import BrokenImageError
from tests.support.images import esp, look, signer

TRUST = {Format.ESP_IDF: signer().anchor()}


def test_everything_it_says_is_found() -> None:
    found = look(esp(by=signer()), TRUST)
    assert (found.product, found.version, found.hardware, found.security_counter) == (
        "gateway",
        "v1.2.3",
        ("ESP32-C3",),
        5,
    )
    assert found.provides == ("esp-idf v5.4",)
    assert found.requires == ("chip revision>=0.3", "chip revision<=1.99")
    assert [(part.name, part.size, part.verified) for part in found.payloads] == [
        ("0x3c000020", 144, True),
        ("0x42000020", 44, True),
    ]
    assert found.verdict is Verdict.VALID
    assert found.warnings == ()


def test_keys_nobody_knows() -> None:
    assert look(esp(by=signer())).verdict is Verdict.UNKNOWN
    assert look(esp()).verdict is Verdict.NONE


def test_without_a_hash_nothing_is_verified() -> None:
    found = look(esp(hashed=False))
    assert found.digest is None
    assert not any(part.verified for part in found.payloads)


def test_what_follows_is_told() -> None:
    assert "100 bytes follow" in look(esp() + bytes(100)).warnings[0]


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32 - 1, 10**6])
def test_segments_beyond_the_file_are_refused(size: int) -> None:
    with pytest.raises(BrokenImageError, match="ends within"):
        look(esp(size=size))


def test_a_changed_segment_is_refused() -> None:
    with pytest.raises(BrokenImageError, match="checksum"):
        look(esp(hashed=False).replace(b"code", b"core", 1))
    twice = esp().replace(b"codecode", b"corecore", 1)  # the exclusive-or does not see it
    with pytest.raises(BrokenImageError, match="sha256"):
        look(twice)


def test_a_block_over_another_image_is_broken() -> None:
    one, other = esp(by=signer()), esp(by=signer(), program=b"evil" * 11)
    assert look(other[:4096] + one[4096:], TRUST).verdict is Verdict.BROKEN


def test_a_chip_that_does_not_exist_makes_it_a_plain_file() -> None:
    assert look(esp(chip=999)).format is Format.PLAIN


@given(st.binary(max_size=300))
def test_sums(data: bytes) -> None:
    total = 0
    for byte in data:
        total ^= byte
    assert sums.xor(data) == total
