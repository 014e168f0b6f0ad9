"""Encryption to several keys, any of which opens it: the form `age-encryption.org/v1` (C2SP), with X25519 recipients.

    age-encryption.org/v1
    -> X25519 SHARE            for each recipient: an ephemeral key's share, and the file's key wrapped with what both agree on
    WRAPPED
    --- MAC                    HMAC of all that stands above
    NONCE, chunks of 64 KiB    ChaCha20-Poly1305 each, with its number and whether it is the last one

Nothing is made at home but the order of these: X25519, HKDF-SHA256, HMAC and ChaCha20-Poly1305 are the library's. Whatever is
written here opens with the program `age`, and the other way round. Streams: a chunk is in memory, never the file.
"""

import os
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from otaru.errors import BackupError, InvalidInputError

CHUNK = 64 * 1024
_VERSION = b"age-encryption.org/v1"
_TAG = 16
_KEY_SIZE = 16
_MAX_HEAD = 16 * 1024
_INFO = b"age-encryption.org/v1/X25519"
_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_PUBLIC, _PRIVATE = "age", "age-secret-key-"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom something is encrypted to: `age1…`."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> "Recipient":
        """Raise InvalidInputError where it is none."""
        raw = _unwritten(text.strip(), _PUBLIC)
        if raw is None:
            raise InvalidInputError(
                f"{text[:80]!r} is no public key of the form age1…", hint="otaru backup key makes one."
            )
        return cls(raw)

    def __str__(self) -> str:
        return _written(_PUBLIC, self.raw)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whoever opens it: `AGE-SECRET-KEY-1…`."""

    raw: bytes

    @classmethod
    def new(cls) -> "Identity":
        """A new one."""
        return cls(os.urandom(32))

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """The first one in a file's text, beside lines that begin with #. Raise InvalidInputError where there is none."""
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        raw = _unwritten(lines[0], _PRIVATE) if lines else None
        if raw is None:
            raise InvalidInputError(
                "there is no private key of the form AGE-SECRET-KEY-1…", hint="otaru backup key makes one."
            )
        return cls(raw)

    def __str__(self) -> str:
        return _written(_PRIVATE, self.raw).upper()

    @property
    def recipient(self) -> Recipient:
        """Its public side."""
        return Recipient(self._key.public_key().public_bytes_raw())

    @property
    def _key(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.raw)

    def unwrap(self, share: bytes, wrapped: bytes) -> bytes | None:
        """The file's key; None: it was wrapped for somebody else."""
        try:
            agreed = self._key.exchange(X25519PublicKey.from_public_bytes(share))
            return ChaCha20Poly1305(_wrapping(agreed, share, self.recipient.raw)).decrypt(bytes(12), wrapped, None)
        except (InvalidTag, ValueError):
            return None


class Sealer:
    """Encrypts what is written to it, and hands it on in pieces. What was handed on is worth nothing before `close`."""

    def __init__(self, recipients: Sequence[Recipient], out: Callable[[bytes], None]) -> None:
        key, nonce = os.urandom(_KEY_SIZE), os.urandom(16)
        lines = [_VERSION]
        for one in recipients:
            ephemeral = X25519PrivateKey.generate()
            share = ephemeral.public_key().public_bytes_raw()
            agreed = ephemeral.exchange(X25519PublicKey.from_public_bytes(one.raw))
            wrapped = ChaCha20Poly1305(_wrapping(agreed, share, one.raw)).encrypt(bytes(12), key, None)
            lines += [b"-> X25519 " + _base64(share), _base64(wrapped)]
        head = b"\n".join([*lines, b"---"])
        out(head + b" " + _base64(_mac(key, head).finalize()) + b"\n" + nonce)
        self._cipher = ChaCha20Poly1305(_derived(key, nonce, b"payload"))
        self._out = out
        self._number = 0
        self._left = bytearray()

    def write(self, data: bytes) -> int:
        """Take more."""
        self._left += data
        while len(self._left) > CHUNK:  # a full one may be the last
            self._put(bytes(self._left[:CHUNK]), last=False)
            del self._left[:CHUNK]
        return len(data)

    def close(self) -> None:
        """All of it was written."""
        self._put(bytes(self._left), last=True)
        self._left.clear()

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._out(self._cipher.encrypt(_nonce(self._number, last=last), chunk, None))
        self._number += 1


def opened(read: Callable[[int], bytes], identity: Identity) -> Iterator[bytes]:
    """What was encrypted, in pieces that are each as they were written. Complete only where the iterator has ended.

    Args:
        read: the next bytes, as many as are asked for; fewer only at the end
        identity: who opens it

    Raises:
        BackupError: it is not of this form, was written for others, was changed, or ends before its end.
    """
    cipher = ChaCha20Poly1305(_payload_key(_Lines(read), identity, read))
    number, chunk = 0, read(CHUNK + _TAG)
    while True:
        more = read(CHUNK + _TAG) if len(chunk) == CHUNK + _TAG else b""
        try:
            found = cipher.decrypt(_nonce(number, last=not more), chunk, None)
        except (InvalidTag, ValueError):
            raise BackupError("it was changed since it was encrypted, or ends before its end") from None
        if not found and number:
            raise BackupError("it ends with a chunk of nothing")
        yield found
        if not more:
            return
        number, chunk = number + 1, more


class _Lines:
    """A head, line by line: one byte at a time, so that what follows stays where it is."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.seen = b""

    def next(self) -> bytes:
        line = bytearray()
        while (letter := self._read(1)) != b"\n":
            line += letter
            if not letter or len(self.seen) + len(line) > _MAX_HEAD:
                raise BackupError("it is not encrypted as age-encryption.org/v1 has it")
        self.seen += bytes(line) + b"\n"
        return bytes(line)


def _payload_key(lines: _Lines, identity: Identity, read: Callable[[int], bytes]) -> bytes:
    if lines.next() != _VERSION:
        raise BackupError("it is not encrypted as age-encryption.org/v1 has it")
    key: bytes | None = None
    line = lines.next()
    while line.startswith(b"-> "):
        words, body = line[3:].split(b" "), bytearray()
        while True:
            line = lines.next()
            body += line
            if len(line) < 64:  # a stanza's last line is shorter than the others
                break
        if words[0] == b"X25519" and len(words) == 2 and key is None:
            key = identity.unwrap(_unbase64(words[1], 32), _unbase64(bytes(body), _KEY_SIZE + _TAG))
        line = lines.next()
    if not line.startswith(b"--- "):
        raise BackupError("its head is broken")
    if key is None:
        raise BackupError("it was encrypted for others: this key does not open it")
    head = lines.seen[: -len(line) - 1] + b"---"
    try:
        _mac(key, head).verify(_unbase64(line[4:], 32))
    except InvalidSignature:
        raise BackupError("its head was changed since it was encrypted") from None
    nonce = read(16)
    if len(nonce) != 16:
        raise BackupError("it ends before its end")
    return _derived(key, nonce, b"payload")


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _wrapping(agreed: bytes, share: bytes, recipient: bytes) -> bytes:
    return _derived(agreed, share + recipient, _INFO)


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt or None, info).derive(key)


def _mac(key: bytes, head: bytes) -> HMAC:
    made = HMAC(_derived(key, b"", b"header"), SHA256())
    made.update(head)
    return made


def _base64(raw: bytes) -> bytes:
    return b64encode(raw).rstrip(b"=")


def _unbase64(text: bytes, size: int) -> bytes:
    """Exactly so many bytes, written in the one way that there is."""
    try:
        raw = b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (Base64Error, ValueError):
        raw = b""
    if len(raw) != size or _base64(raw) != text:
        raise BackupError("its head is broken")
    return raw


def _written(name: str, raw: bytes) -> str:
    """Bech32 (BIP 173, without its limit of 90 letters)."""
    words = _regrouped(raw, 8, 5)
    checked = _polymod([*_expanded(name), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [(checked >> 5 * (5 - at)) & 31 for at in range(6)]
    return f"{name}1" + "".join(_LETTERS[word] for word in words)


def _unwritten(text: str, name: str) -> bytes | None:
    """The 32 bytes of a key; None where it is not written as one."""
    if text not in {text.lower(), text.upper()} or len(text) > 100:
        return None
    found, _, data = text.lower().rpartition("1")
    if found != name or len(data) < 7 or not set(data) <= set(_LETTERS):
        return None
    words = [_LETTERS.index(letter) for letter in data]
    if _polymod([*_expanded(name), *words]) != 1:
        return None
    raw = bytes(_regrouped(words[:-6], 5, 8))[:32]
    return raw if len(raw) == 32 and _written(name, raw) == text.lower() else None


def _expanded(name: str) -> list[int]:
    return [ord(letter) >> 5 for letter in name] + [0] + [ord(letter) & 31 for letter in name]


def _polymod(words: Sequence[int]) -> int:
    value = 1
    for word in words:
        top = value >> 25
        value = (value & 0x1FFFFFF) << 5 ^ word
        for at, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            value ^= generator if (top >> at) & 1 else 0
    return value


def _regrouped(words: Sequence[int], before: int, after: int) -> list[int]:
    """Numbers of so many bits each as numbers of so many others; the last one is filled up with zeros."""
    bits = "".join(f"{word:0{before}b}" for word in words)
    return [int(bits[at : at + after].ljust(after, "0"), 2) for at in range(0, len(bits), after)]
