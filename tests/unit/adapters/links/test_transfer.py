"""A download's bytes, as they come in over any number of connections."""

import hashlib
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.adapters.links.ddi import Transfer
from otaru.errors import ChecksumMismatchError
from otaru.protocols.ddi.words import File

CONTENT = bytes(range(256)) * 10


def announced(content: bytes = CONTENT) -> File:
    sha256, sha1 = hashlib.sha256(content).hexdigest(), hashlib.sha1(content).hexdigest()
    return File("fw.bin", sha256, sha1, hashlib.md5(content).hexdigest(), len(content), "http://127.0.0.1/fw.bin")


@given(st.binary(max_size=500), st.lists(st.integers(0, 500)))
def test_bytes_in_any_pieces_are_the_file(content: bytes, cuts: list[int]) -> None:
    kept = bytearray()
    transfer = Transfer(announced(content), kept.extend)
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    for start, end in pairwise(edges):
        transfer.take(content[start:end])
    transfer.verify()
    assert bytes(kept) == content
    assert transfer.sha256 == announced(content).sha256


def test_a_part_is_not_the_file() -> None:
    transfer = Transfer(announced())
    transfer.take(CONTENT[:-1])
    with pytest.raises(ChecksumMismatchError, match="2559 bytes, 2560 were announced"):
        transfer.verify()


def test_more_than_was_announced_is_refused_before_it_is_kept() -> None:
    kept = bytearray()
    transfer = Transfer(announced(), kept.extend)
    with pytest.raises(ChecksumMismatchError):
        transfer.take(CONTENT + b"!")
    assert not kept


@pytest.mark.parametrize("digest", ["sha256", "sha1"])
def test_each_announced_digest_is_checked(digest: str) -> None:
    wrong: dict[str, Any] = {digest: "0" * (64 if digest == "sha256" else 40)}
    transfer = Transfer(replace(announced(), **wrong))
    transfer.take(CONTENT)
    with pytest.raises(ChecksumMismatchError, match=digest):
        transfer.verify()


@pytest.mark.parametrize("present", [{"sha256": ""}, {"sha1": ""}])
def test_one_digest_is_enough(present: dict[str, Any]) -> None:
    transfer = Transfer(replace(announced(), **present))
    transfer.take(CONTENT)
    transfer.verify()


def test_without_a_digest_nothing_is_believed() -> None:
    transfer = Transfer(replace(announced(), sha256="", sha1=""))
    transfer.take(CONTENT)
    with pytest.raises(ChecksumMismatchError, match="no digest"):
        transfer.verify()


def test_beginning_anew_forgets_the_bytes_and_tells() -> None:
    kept = bytearray()
    transfer = Transfer(announced(), kept.extend, kept.clear)
    transfer.take(b"something else")
    transfer.begin_anew()
    transfer.take(CONTENT)
    transfer.verify()
    assert bytes(kept) == CONTENT
