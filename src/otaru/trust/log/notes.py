"""Signed notes, checkpoints, witnesses' cosignatures and offline proofs, in the formats of C2SP.

Sources: c2sp.org/signed-note, /tlog-checkpoint, /tlog-cosignature, /tlog-proof (texts of July 2026). Ed25519 only. What is
signed is looked at only after a signature of a key that was trusted before has been found good.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from otaru.trust.log.merkle import HASH_SIZE, MAX_PROOF, check_inclusion

SIGNATURE, COSIGNATURE = 0x01, 0x04
"""Types of keys: a log's, and a witness's with its time."""
MAX_NOTE = 64 * 1024
MAX_SIGNATURES = 64
_LINE = "\u2014 "
_PROOF = "c2sp.org/tlog-proof@v1"


class NoteError(ValueError):
    """A note is not of its form, or no key that is trusted has signed it."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with the name it signs under."""

    name: str
    key: bytes
    kind: int = SIGNATURE

    @property
    def id(self) -> bytes:
        """The four bytes that a signature begins with."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.kind]) + self.key).decode()}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: whose it is, how many entries it has, and their root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """As it is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def verifier(text: str) -> Verifier:
    """Read a verifier key (`name+id+base64`).

    Raises:
        NoteError: it is none that we know.
    """
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise NoteError("a verifier key is NAME+ID+KEY")
    name, shown, encoded = parts
    raw = _decode(encoded)
    if len(raw) != 33 or raw[0] not in {SIGNATURE, COSIGNATURE} or not _is_name(name):
        raise NoteError("the verifier key is not an Ed25519 key for notes")
    found = Verifier(name, raw[1:], raw[0])
    if found.id.hex() != shown:
        raise NoteError("the verifier key's id is not that of its key")
    return found


def sign(checkpoint: Checkpoint, name: str, key: Ed25519PrivateKey) -> str:
    """A checkpoint with the log's signature."""
    if not _is_name(name) or "\n" in checkpoint.origin or not checkpoint.origin:
        raise NoteError("names are one line without spaces and plus signs")
    public = Verifier(name, key.public_key().public_bytes_raw())
    return f"{checkpoint.text}\n{_signed(public, key.sign(checkpoint.text.encode()))}"


def cosign(note: str, name: str, key: Ed25519PrivateKey, at_s: int) -> str:
    """A note with a witness's signature added: it saw this head at `at_s` (seconds since 1970), consistent with before."""
    text, _ = _split(note)
    witness = Verifier(name, key.public_key().public_bytes_raw(), COSIGNATURE)
    signature = at_s.to_bytes(8) + key.sign(_cosigned(text, at_s))
    return note + _signed(witness, signature)


def opened(note: str, log: Verifier, witnesses: Collection[Verifier] = (), quorum: int = 0) -> Checkpoint:
    """The checkpoint of a note that the log has signed, and so many of the witnesses.

    Raises:
        NoteError: it is not of its form, a known key's signature is wrong, or too few have signed.
    """
    text, signatures = _split(note)
    good = {key for key in (log, *witnesses) if _has_signed(key, text, signatures)}
    if log not in good:
        raise NoteError(f"{log.name} has not signed it")
    if (seen := len(good - {log})) < quorum:
        raise NoteError(f"{seen} witnesses have signed it, {quorum} are needed")
    lines = text.split("\n")
    if len(lines) < 4 or not all(lines[:-1]) or lines[-1]:
        raise NoteError("a checkpoint has three lines")
    origin, size, encoded = lines[:3]
    if not (size.isascii() and size.isdigit()) or len(size) > 19 or str(int(size)) != size:
        raise NoteError("a checkpoint's size is a whole number")
    found = _decode(encoded)
    if len(found) != HASH_SIZE:
        raise NoteError("a checkpoint's root has 32 bytes")
    if origin != log.name:
        raise NoteError(f"it is the head of {origin}, not of {log.name}")
    return Checkpoint(origin, int(size), found)


def offline_proof(index: int, path: Sequence[bytes], note: str, entry: bytes | None = None) -> str:
    """Everything that shows an entry to be in a log, in one text; with the entry itself where it is given."""
    extra = [] if entry is None else [f"extra {b64encode(entry).decode()}"]
    lines = [_PROOF, *extra, f"index {index}", *(b64encode(value).decode() for value in path)]
    return "\n".join(lines) + "\n\n" + note


def proven(proof: str) -> bytes:
    """The entry that a proof carries: not shown to be in any log before `check_offline_proof`.

    Raises:
        NoteError: it carries none.
    """
    lines = proof.partition("\n\n")[0].split("\n")
    if lines[0] != _PROOF or len(lines) < 2 or not lines[1].startswith("extra "):
        raise NoteError("it is not a proof with its entry")
    return _decode(lines[1].removeprefix("extra "))


def check_offline_proof(
    proof: str, leaf: bytes, log: Verifier, witnesses: Collection[Verifier] = (), quorum: int = 0
) -> Checkpoint:
    """Check that the entry with this leaf hash is in the log; the head that it was shown for.

    Raises:
        NoteError, ProofError: it is not shown to be.
    """
    head, blank, note = proof.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines[0] != _PROOF or len(lines) < 2:
        raise NoteError("it is not a proof of a log entry")
    if lines[1].startswith("extra "):
        del lines[1]
    word, _, number = lines[1].partition(" ") if len(lines) > 1 else ("", "", "")
    if word != "index" or not (number.isascii() and number.isdigit()) or len(number) > 19:
        raise NoteError("the proof names no entry")
    if len(lines) - 2 > MAX_PROOF:
        raise NoteError("the proof is too long")
    checkpoint = opened(note, log, witnesses, quorum)
    check_inclusion(leaf, int(number), checkpoint.size, [_decode(x) for x in lines[2:]], checkpoint.root)
    return checkpoint


_Signatures = list[tuple[str, bytes]]


def _split(note: str) -> tuple[str, _Signatures]:
    """A note's text, and its signatures by name."""
    if len(note) > MAX_NOTE or any(ord(sign) < 0x20 and sign != "\n" for sign in note):
        raise NoteError("a note is short and has no control characters")
    text, blank, signed = note.rpartition("\n\n")
    if not blank or not signed.endswith("\n"):
        raise NoteError("a note has a blank line before its signatures")
    found: _Signatures = []
    for line in signed[:-1].split("\n"):
        name, space, encoded = line.removeprefix(_LINE).partition(" ")
        if not line.startswith(_LINE) or not space or not _is_name(name) or len(found) == MAX_SIGNATURES:
            raise NoteError("a signature of the note is not of its form")
        found.append((name, _decode(encoded)))
    return text + "\n", found


def _has_signed(key: Verifier, text: str, signatures: _Signatures) -> bool:
    """Whether a key has signed; its wrong signature spoils the note."""
    seen = False
    for name, signature in signatures:
        if name != key.name or signature[:4] != key.id:
            continue
        said, message = signature[4:], text.encode()
        if key.kind == COSIGNATURE:
            message, said = _cosigned(text, int.from_bytes(said[:8])), said[8:]
        try:
            Ed25519PublicKey.from_public_bytes(key.key).verify(said, message)
        except (InvalidSignature, ValueError):
            raise NoteError(f"the signature of {name} is wrong") from None
        seen = True
    return seen


def _cosigned(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()


def _signed(key: Verifier, signature: bytes) -> str:
    return f"{_LINE}{key.name} {b64encode(key.id + signature).decode()}\n"


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(sign.isspace() for sign in name)


def _decode(encoded: str) -> bytes:
    try:
        return b64decode(encoded, validate=True)
    except (Base64Error, ValueError):
        raise NoteError("it is not base64") from None
