"""Which codecs suit which bytes."""

import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.images.delta import sequential
from otaru.images.delta.choice import LARGE, PROGRAM, SMALL, unsuited, ways
from otaru.images.delta.patch import Codec
from otaru.images.facts import Format
from otaru.images.reading import BLOCK
from tests.support import images

SIZES = st.integers(0, 1 << 34)
MICROCONTROLLERS = {Format.MCUBOOT, Format.ESP_IDF, Format.UF2, Format.INTEL_HEX, Format.SUIT}


@given(st.sampled_from(Format), SIZES, SIZES)
def test_every_way_can_be_gone(format_: Format, source: int, target: int) -> None:
    found = ways(format_, source, target)
    assert len({way.codec for way in found}) == len(found)
    for way in found:
        if way.codec is Codec.ZSTD:
            assert way.window is not None
            assert BLOCK <= way.window <= 32 << 20
        else:
            assert way.window is None
            assert way.codec is Codec.RDIFF or max(source, target) <= sequential.LARGEST


@given(st.sampled_from(Format), SIZES, SIZES)
def test_only_what_linux_runs_has_a_way_for_small_devices(format_: Format, source: int, target: int) -> None:
    codecs = {way.codec for way in ways(format_, source, target)}
    assert (Codec.RDIFF in codecs) == (max(source, target) > SMALL and format_ not in MICROCONTROLLERS)


def test_small_images_are_for_microcontrollers_too() -> None:
    assert {way.codec for way in ways(Format.MCUBOOT, SMALL, SMALL)} == {Codec.LZMA, Codec.HEATSHRINK}
    assert {way.codec for way in ways(Format.MCUBOOT, PROGRAM, PROGRAM)} == {Codec.LZMA}
    assert {way.codec for way in ways(Format.PLAIN, PROGRAM, PROGRAM)} == {Codec.LZMA, Codec.RDIFF}
    assert {way.codec for way in ways(Format.PLAIN, PROGRAM + 1, 1)} == {Codec.ZSTD, Codec.RDIFF}


def test_large_images_have_smaller_windows() -> None:
    usual, large = (ways(Format.PLAIN, 1, size)[0].window for size in (LARGE, LARGE + 1))
    assert usual is not None
    assert large is not None
    assert large < usual


@pytest.mark.parametrize(
    ("format_", "start", "words"),
    [
        (Format.PLAIN, gzip.compress(b"a", mtime=0), "gzip"),
        (Format.PLAIN, lzma.compress(b"a"), "xz"),
        (Format.PLAIN, lzma.compress(b"a", lzma.FORMAT_ALONE), "LZMA"),
        (Format.PLAIN, b"LUKS\xba\xbe\0\2", "encrypted"),
        (Format.PLAIN, b"\xff\0Part: LFE5U\0\xff\xff\xbd\xb3", "FPGA"),
        (Format.PLAIN, b"\0\x09\x0f\xf0" + b"\xff" * 32 + b"\xaa\x99\x55\x66", "FPGA"),
        (Format.MENDER, b"", "compressed"),
        (Format.OCI, b"", "compressed"),
    ],
)
def test_what_no_delta_helps(format_: Format, start: bytes, words: str) -> None:
    assert words in (unsuited(format_, start) or "")


def test_an_encrypted_program_of_mcuboot_is_known_by_its_flags() -> None:
    plain = images.mcuboot()
    assert unsuited(Format.MCUBOOT, plain) is None
    hidden = plain[:16] + b"\x04\0\0\0" + plain[20:]
    assert unsuited(Format.MCUBOOT, hidden) == "it is encrypted (MCUboot)"
    assert unsuited(Format.ELF, b"\x7fELF") is None
