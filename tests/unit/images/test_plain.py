"""Formats without signatures: UF2, Intel HEX, ELF, OCI archives, and files of no format."""

import hashlib
import json
import struct
from pathlib import Path

import pytest

from otaru.images.facts import Format, Verdict
from otaru.images.reading import BrokenImageError, Limits
from otaru.images.recognise import recognise
from tests.support.images import Watched, elf, hex_line, look, oci, tar, uf2

RP2040, STRANGE = 0xE48BFF56, 0x12345678


class TestUf2:
    def test_families_and_blocks(self) -> None:
        found = look(uf2({RP2040: b"a" * 700, STRANGE: b"b" * 256}))
        assert found.hardware == ("RP2040", "family 0x12345678")
        one, other = found.payloads
        assert (one.name, one.size, one.sha256) == ("0x10000000", 700, hashlib.sha256(b"a" * 700).hexdigest())
        assert other.size == 256

    def test_tags(self) -> None:
        def tag(kind: int, value: bytes) -> bytes:
            raw = bytes([4 + len(value)]) + kind.to_bytes(3, "little") + value
            return raw + bytes(-len(raw) % 4)

        tags = tag(0x9FC7BC, b"v1.2") + tag(0x650D9D, b"gateway") + tag(0xC8A729, b"\x01\x02\x03\x04")
        found = look(uf2({RP2040: b"a" * 700}, tags=tags))
        assert (found.version, found.product) == ("v1.2", "gateway")
        assert found.hardware == ("RP2040", "device 0x4030201")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (uf2({RP2040: b"a" * 700})[:-512], "blocks are missing"),
            (uf2({RP2040: b"a" * 700})[:-1], "whole block"),
            (uf2({RP2040: b"a" * 700}) + uf2({RP2040: b"a" * 700}), "twice"),
            (uf2({RP2040: b"a" * 256}) + bytes(512), "none of UF2's"),
            (uf2({RP2040: b"a" * 256}, at=2**32 - 100), "more data than fit"),
            (uf2({RP2040: b"a" * 256}).replace(struct.pack("<II", 0, 1), struct.pack("<II", 0, 2**31)), "blocks are missing"),
            (uf2({RP2040: b"a" * 300, STRANGE: b"a" * 300})[:-512], "1 of 2 blocks for family 0x12345678 are missing"),
            (uf2(dict.fromkeys(range(70), b"a")), "more than 64"),
            (uf2({RP2040: b"a"}, tags=b"\x03\xbc\xc7\x9f"), "longer than"),
        ],
    )  # fmt: skip
    def test_broken(self, data: bytes, words: str) -> None:
        with pytest.raises(BrokenImageError, match=words):
            look(data)


class TestIntelHex:
    def test_ranges(self) -> None:
        lines = [hex_line(4, 0, b"\x08\0"), hex_line(0, 0, b"abcd"), hex_line(0, 4, b"ef"), hex_line(2, 0, b"\x10\0"),
                 hex_line(0, 0x10, b"x"), hex_line(5, 0, bytes(4)), hex_line(1, 0, b"")]  # fmt: skip
        for text in ("".join(lines), "".join(lines).replace("\n", "\r\n"), "".join(lines).lower() + "\n\n"):
            one, other = look(text.encode()).payloads
            assert (one.name, one.size, one.sha256) == ("0x08000000", 6, hashlib.sha256(b"abcdef").hexdigest())
            assert (other.name, other.size) == ("0x00010010", 1)

    def test_boards_of_universal_hex(self) -> None:
        parts = [
            hex_line(10, 0, b"\x99\0\xc0\xde") + hex_line(0, 0, b"one"),
            hex_line(10, 0, b"\x99\x03\xc0\xde") + hex_line(13, 0, b"two"),
        ]
        found = look(("".join(parts) + hex_line(1, 0, b"")).encode())
        assert found.format_version == "universal"
        assert found.hardware == ("board 0x9900", "board 0x9903")
        assert [part.size for part in found.payloads] == [3, 3]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (hex_line(0, 0, b"abcd"), "no end"),
            (hex_line(0, 0, b"abcd") + hex_line(0, 3, b"x") + hex_line(1, 0, b""), "two records write to"),
            (hex_line(1, 0, b"") + hex_line(0, 0, b"a"), "behind the end"),
            (hex_line(0, 0, b"ab") + ":0100000061FF\n", "checksum"),
            (hex_line(0, 0, b"ab") + hex_line(9, 0, b""), "no kind of record"),
            (hex_line(0, 0, b"ab") + hex_line(4, 0, b""), "for its kind"),
            (hex_line(4, 0, b"\xff\xff") + hex_line(0, 0xFFFF, b"ab"), "beyond the last"),
            (hex_line(0, 0, b"ab") + ":" + "0" * 3_000_000, "too long"),
            (hex_line(0, 0, b"ab") + "nonsense\n", "no record"),
        ],
    )  # fmt: skip
    def test_broken(self, text: str, words: str) -> None:
        with pytest.raises(BrokenImageError, match=words):
            look(text.encode())

    def test_many_ranges_stop_at_the_limit(self) -> None:
        text = "".join(hex_line(0, 2 * at, b"x") for at in range(100))
        with pytest.raises(BrokenImageError, match="more than 50 ranges"):
            look(text.encode(), limits=Limits(members=50))


class TestElf:
    def test_our_own(self) -> None:
        found = look(elf())
        assert (found.format_version, found.hardware) == ("executable", ("AArch64, 64 bit, little endian",))
        assert found.provides == ("build-id " + "62" * 20,)
        assert found.payloads[0].name == "0x0000000000400000"

    def test_a_real_one(self) -> None:
        found = look(Path("/bin/true").read_bytes())
        assert found.format is Format.ELF
        assert found.provides[0].startswith("build-id ")

    @pytest.mark.parametrize("at", [32, 40])
    @pytest.mark.parametrize("number", [2**31, 2**32, 2**63, 2**64 - 1])
    def test_tables_beyond_the_file(self, at: int, number: int) -> None:
        data = bytearray(elf())
        data[at : at + 8] = number.to_bytes(8, "little")
        data[58:62] = b"\x40\0\x01\0"
        data[64 + 56 : 64 + 60] = bytes(4)  # no note segment, so the sections are asked
        with pytest.raises(BrokenImageError, match="ends within"):
            look(bytes(data))

    def test_segments_beyond_the_file(self) -> None:
        data = bytearray(elf())
        data[64 + 32 : 64 + 40] = b"\xff" * 8
        with pytest.raises(BrokenImageError, match="beyond the end"):
            look(bytes(data))

    def test_a_header_that_is_none(self) -> None:
        with pytest.raises(BrokenImageError, match="none of ELF's"):
            look(b"\x7fELF" + b"\x09" * 60)


class TestOci:
    def test_everything_it_says_is_found(self) -> None:
        found = look(oci())
        assert (found.format_version, found.product, found.version) == ("1.0.0", "gateway", "1.1.0")
        assert found.hardware == ("linux/arm64",)
        assert [(part.size, part.verified) for part in found.payloads] == [(40, True), (5, True)]
        assert found.payloads[1].sha256 == hashlib.sha256(b"layer").hexdigest()
        assert found.verdict is Verdict.NONE

    @staticmethod
    def index(**changed: object) -> bytes:
        one = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:" + "0" * 64, "size": 1}
        return json.dumps({"manifests": [one | changed]}).encode()

    @pytest.mark.parametrize(
        ("archive", "words"),
        [
            (oci(blob=b"changed"), "has the sha256"),
            (oci(index=index()), "named and not there"),
            (oci(index=index(digest="sha512:00")), "something else than a sha256"),
            (oci(index=index(digest="sha256:../../../etc/passwd")), "something else than a sha256"),
            (oci(index=b"[]"), "not JSON|no JSON object"),
            (oci(index=b'{"manifests":[1]}'), "no list"),
            (oci(index=b"[" * 100_000), "not JSON"),
            (oci()[:4000], "too early"),
            (tar(("oci-layout", b"{}")), "index.json is missing"),
            (tar(("oci-layout", b"{}"), ("oci-layout", b"{}")), "twice"),
        ],
    )  # fmt: skip
    def test_broken(self, archive: bytes, words: str) -> None:
        with pytest.raises(BrokenImageError, match=words):
            look(archive)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"hello", b":)", b"\xe9not one", b"\xd8", b"hsqs", b"\x1f\x8b", tar(("a", b"b")), b"\0" * 9000]
)
def test_everything_else_is_plain(data: bytes) -> None:
    found = look(data)
    assert found.format is Format.PLAIN
    assert found.payloads[0].sha256 == hashlib.sha256(data).hexdigest()


def test_tars_of_many_files_and_of_nonsense_sizes_are_plain_files() -> None:
    assert recognise(Watched(tar(*((f"file{index}", b"") for index in range(10_050))))) is Format.PLAIN
    for size in (b"-7777777777\0", b"\x80" + b"\xff" * 11, b"99999999999\0"):
        data = bytearray(tar(("a", b"b")))
        data[124:136] = size
        assert recognise(Watched(bytes(data))) is Format.PLAIN
