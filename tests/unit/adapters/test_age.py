"""The form age-encryption.org/v1: as the program `age` writes it, and nothing that was changed opens."""

import io
from base64 import b64decode
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.adapters.age import CHUNK, Identity, Recipient, Sealer, opened
from otaru.errors import BackupError, InvalidInputError

SECRET = "AGE-SECRET-KEY-127XWYPJPZ2JDKNGKGL7RJ6HZUTY3KAL3ZAC0KGTX2TCZTM8R66YSXV6HXL"
PUBLIC = "age15g6j6ymx244937xh2qrzdzh4gukl445tkyg534ujwx9lv0zytd7sgqq2x3"
BY_AGE = b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSB4SStXcC93WExvR1A3T2JLRDBaNnI0eDdzL2djM0NDdlJTdjlXSnlDZldBCndvcGtNcmZ2"
    "OTZUQ1hGMStvZW05d3hyUzQwUFJ5c1RQOUVlSEtPRnZHT1kKLT4gWDI1NTE5IHlKZXZsbFVLamEwcnpOZjRnREIyaTJ1cmNWNTYxZmkxTlR0cDhE"
    "MzFkUWMKMXdBdk1GRzVraW1tcGhhYXo3Skxadm1QMk96ZzFHcEtoTHAvMFRwcWd2OAotLS0gN0RBQnRsTUZyL0M3bW9reEl0MmdoVkQ3Rk80Q2Rs"
    "NHlUcWlmOHZTRmpmVQpjggoMxQSKnBNzK9tJTq0T/ZuvXYiFuJl97lgBxKOn13TRSQz67PVAxtbL1EQfUw=="
)
"""What age 1.1.1 (Debian 12) wrote of `otaruotaruotaru` for this key and another one."""
OWN, OTHER = Identity(bytes(range(32))), Identity(bytes(range(1, 33)))


def sealed(data: bytes, *recipients: Recipient, step: int = 1 << 20) -> bytes:
    out: list[bytes] = []
    sealer = Sealer(recipients or (OWN.recipient, OTHER.recipient), out.append)
    for at in range(0, len(data), step):
        sealer.write(data[at : at + step])
    sealer.close()
    return b"".join(out)


def unsealed(data: bytes, by: Identity = OWN) -> bytes:
    return b"".join(opened(io.BytesIO(data).read, by))


def test_what_age_writes_opens() -> None:
    identity = Identity.parse(f"# created: today\n# public key: {PUBLIC}\n{SECRET}\n")
    assert str(identity) == SECRET
    assert identity.recipient == Recipient.parse(PUBLIC)
    assert str(identity.recipient) == PUBLIC
    assert unsealed(BY_AGE, identity) == b"otaru" * 3


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5])
@pytest.mark.parametrize("by", [OWN, OTHER])
def test_either_key_opens_it(size: int, by: Identity) -> None:
    data = bytes(size)
    assert unsealed(sealed(data, step=10_000), by) == data


def test_another_key_does_not() -> None:
    with pytest.raises(BackupError, match="encrypted for others"):
        unsealed(sealed(b"data"), Identity.new())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_nothing_that_was_changed_opens(data: st.DataObject) -> None:
    good = sealed(b"x" * (CHUNK + 100), OWN.recipient)
    at = data.draw(st.integers(0, len(good) - 1) | st.integers(0, 300))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BackupError):
        unsealed(bytes(bad))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 3 * CHUNK))
def test_nothing_that_was_cut_short_or_goes_on_opens(at: int) -> None:
    good = sealed(b"x" * 2 * CHUNK, OWN.recipient)
    for bad in (good[: min(at, len(good) - 1)], good + b"more"):
        with pytest.raises(BackupError):
            unsealed(bad)


def test_chunks_of_another_file_do_not_open() -> None:
    one, other = (sealed(bytes([n]) * 2 * CHUNK, OWN.recipient) for n in (1, 2))
    half = len(one) - CHUNK - 16
    with pytest.raises(BackupError):
        unsealed(one[:half] + other[half:])


@given(st.binary(max_size=300))
def test_whatever_else_comes_is_refused(data: bytes) -> None:
    for text in (data, b"age-encryption.org/v1\n" + data):
        with pytest.raises(BackupError):
            unsealed(text)
    with suppress(InvalidInputError):
        Recipient.parse(data.decode("latin-1"))


@pytest.mark.parametrize(
    "text", ["", "age1", PUBLIC[:-1], PUBLIC[:-1] + "q", PUBLIC.replace("j", "J"), SECRET, "age1" + "q" * 200]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        Recipient.parse(text)
    with pytest.raises(InvalidInputError):
        Identity.parse(PUBLIC)
