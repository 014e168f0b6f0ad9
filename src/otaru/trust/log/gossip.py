"""Devices as witnesses: each says which head of the log it saw last, and is shown that the newest grows from it.

A server that shows one history to some and another to others has to keep them apart for ever: the first device that has seen
one and is given the other notices, and holds two heads with the same signature that no one log can have. The answer has
the form of what a witness is asked (c2sp.org/tlog-witness): `old SIZE`, the proof, an empty line, the checkpoint.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence

from otaru.trust.log.merkle import HASH_SIZE, MAX_PROOF, ProofError, check_consistency
from otaru.trust.log.notes import MAX_NOTE, Verifier, opened

MAX_ANSWER = MAX_NOTE + 100 * MAX_PROOF + 100
"""Characters of an answer. Who asks reads no more."""


def growth(old: int, proof: Sequence[bytes], note: str) -> str:
    """The answer: that the tree of `old` entries is the beginning of the one whose head `note` is."""
    lines = [f"old {old}", *(b64encode(value).decode() for value in proof)]
    return "\n".join(lines) + "\n\n" + note


def grown(seen: str, answer: str, log: Verifier) -> str:
    """The newest head, to be remembered in place of the one that was seen.

    A smaller head than the one that was seen is refused as well: a log does not shrink.

    Raises:
        ProofError: it is not shown to grow from what was seen.
        NoteError: one of the heads is none of this log's.
    """
    before = opened(seen, log)
    head, _, note = answer.partition("\n\n")
    first, *lines = head.split("\n")
    if len(answer) > MAX_ANSWER or first != f"old {before.size}" or len(lines) > MAX_PROOF:
        raise ProofError(f"it is no answer to who has seen {before.size} entries")
    after = opened(note, log)
    if before.size:  # else it says nothing that could be broken
        check_consistency(before.size, before.root, after.size, after.root, [_hash(line) for line in lines])
    return note


def _hash(line: str) -> bytes:
    try:
        found = b64decode(line, validate=True)
    except (Base64Error, ValueError):
        raise ProofError("a hash of the proof is not base64") from None
    if len(found) != HASH_SIZE:
        raise ProofError(f"a hash has {HASH_SIZE} bytes")
    return found
