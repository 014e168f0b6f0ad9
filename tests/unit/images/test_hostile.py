"""Images that were cut short, changed by a bit, or made to hurt: each ends in facts that claim nothing false, or in one error.

`look` also checks, for every image here, that the reader asked only for bytes that are there, never for too many at once,
and never for more in all than a few times the file.
"""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.images.facts import Facts, Verdict
from otaru.images.reading import BrokenImageError
from tests.support import images
from tests.support.images import Sample, look

SAMPLES = {
    "swu": images.swu_sample,
    "rauc": images.rauc_sample,
    "mender": images.mender_sample,
    "mcuboot": images.mcuboot_sample,
    "esp": images.esp_sample,
    "uf2": images.uf2_sample,
    "hex": images.hex_sample,
    "suit": images.suit_sample,
    "elf": images.elf_sample,
    "oci": images.oci_sample,
}
samples = pytest.mark.parametrize("sample", [pytest.param(make(), id=name) for name, make in SAMPLES.items()])


def parts(facts: Facts) -> set[tuple[str, int | None, str | None]]:
    """The parts that are shown as verified."""
    return {(part.name, part.size, part.sha256) for part in facts.payloads if part.verified}


def claims(facts: Facts) -> object:
    """What is shown as signed when the signature is valid, apart from what may be cut off unnoticed."""
    valid = tuple((one.signer, one.key, one.digest) for one in facts.signatures if one.verdict is Verdict.VALID)
    told = (facts.hardware, facts.security_counter, facts.provides, facts.requires)
    return (facts.format, facts.digest, told, valid)


def assert_honest(sample: Sample, data: bytes) -> None:
    """Whatever was done to the image, it is refused, or not shown as signed, or shows nothing that was not signed."""
    try:
        facts = look(data, sample.trust)
    except BrokenImageError:
        return
    true = sample.look()
    if facts.verdict is Verdict.VALID:
        assert claims(facts) == claims(true)
        assert parts(facts) <= parts(true)
        # SUIT lets text be cut off; what is there is what was signed.
        assert facts.product in {None, true.product}
        assert facts.version in {None, true.version}
    elif sample.trust:
        assert {sha256 for _, _, sha256 in parts(facts)} <= {sha256 for _, _, sha256 in parts(true)}


@samples
def test_the_sample_itself_is_signed_and_valid(sample: Sample) -> None:
    facts = sample.look()
    assert facts.format is sample.format
    assert facts.verdict is Verdict.VALID or not sample.trust


@samples
def test_cut_short_at_every_length(sample: Sample) -> None:
    step = max(1, len(sample.data) // 800)
    for length in range(0, len(sample.data), step):
        assert_honest(sample, sample.data[:length])


@samples
def test_every_byte_changed(sample: Sample) -> None:
    step = max(1, len(sample.data) // 800)
    for at in range(0, len(sample.data), step):
        data = bytearray(sample.data)
        data[at] ^= 1 << (at % 8)
        assert_honest(sample, bytes(data))


@samples
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_numbers_and_pieces_changed(sample: Sample, data: st.DataObject) -> None:
    image = bytearray(sample.data)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(image)))
        piece = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=16),
                st.sampled_from([b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80" + bytes(7),
                                 bytes(4), bytes(8), b"FFFFFFFF", b"../", b"\0", b"77777777777"]),
                st.integers(0, len(image)).map(lambda start: bytes(image[start : start + 64])),
            )
        )  # fmt: skip
        gone = data.draw(st.sampled_from([0, len(piece), 512]))
        image[at : at + gone] = piece
    assert_honest(sample, bytes(image))


@samples
@settings(max_examples=40, deadline=None)
@given(tail=st.binary(max_size=600))
def test_anything_after_the_magic(sample: Sample, tail: bytes) -> None:
    assert_honest(sample, sample.data[: len(sample.data) % 64 + 8] + tail)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=2000))
def test_anything_at_all(data: bytes) -> None:
    with contextlib.suppress(BrokenImageError):
        assert look(data).verdict is not Verdict.VALID
