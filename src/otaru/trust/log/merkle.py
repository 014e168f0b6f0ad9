"""Merkle trees as RFC 6962 hashes them: roots, and proofs that an entry is in a tree and that a tree only grew.

A tree is known by its size and its root. Who keeps a log keeps its tiles (`tiles`); whoever checks it needs no more than
the proofs here. `Subtree` is how a maker of proofs asks for hashes: of the perfect subtree of a height, by its place.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
MAX_PROOF = 64
"""Hashes of a proof: a tree has at most 2^63 entries."""

Subtree = Callable[[int, int], bytes]
"""The root of the perfect subtree of a height (0: a leaf's hash), by its place from the left among those of its height."""


class ProofError(ValueError):
    """A proof does not prove what it is shown for."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry (RFC 6962, section 2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees (RFC 6962, section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def root(size: int, subtree: Subtree) -> bytes:
    """The root of the tree of the first `size` entries."""
    return _hash(0, size, subtree) if size else EMPTY_ROOT


def inclusion(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The proof that entry `index` is in the tree of `size` entries (RFC 6962, section 2.1.1).

    Raises:
        ProofError: there is no such entry.
    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} entries has no entry {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_hash(middle, end, subtree))
            end = middle
        else:
            path.append(_hash(start, middle, subtree))
            start = middle
    return path[::-1]


def consistency(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """The proof that the tree of `new` entries begins with that of `old` (RFC 6962, section 2.1.2).

    Raises:
        ProofError: a tree without entries, or a larger one, has no such proof.
    """
    if not 0 < old <= new:
        raise ProofError(f"there is no proof from {old} to {new} entries")
    path: list[bytes] = []
    start, end, known = 0, new, True
    """`known`: the subtree begins where the old tree does, so its root is one the verifier has."""
    while old - start < end - start:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_hash(middle, end, subtree))
            end = middle
        else:
            path.append(_hash(start, middle, subtree))
            start, known = middle, False
    if not known:
        path.append(_hash(start, end, subtree))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Check that the entry with this leaf hash is entry `index` of the tree (RFC 9162, section 2.1.3.2).

    Raises:
        ProofError: it is not shown to be.
    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} entries has no entry {index}")
    _check_form([leaf, expected, *proof])
    place, last, seen = index, size - 1, leaf
    for other in proof:
        if last == 0:
            raise ProofError("the proof is too long")
        if place & 1 or place == last:
            seen = node_hash(other, seen)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            seen = node_hash(seen, other)
        place, last = place >> 1, last >> 1
    if last or seen != expected:
        raise ProofError(f"entry {index} is not shown to be in the tree of {size} entries")


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the larger tree begins with the smaller one (RFC 9162, section 2.1.4.2).

    Nothing can be shown of a tree without entries: it says nothing.

    Raises:
        ProofError: it is not shown to.
    """
    if not 0 < old <= new:
        raise ProofError(f"nothing is shown from {old} to {new} entries")
    if old == new:
        if proof or old_root != new_root:
            raise ProofError(f"two trees of {old} entries differ")
        return
    _check_form([old_root, new_root, *proof])
    # A perfect tree is a subtree of the larger one: its root begins the path.
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        raise ProofError("the proof is empty")
    if _climb(old, new, path) != (old_root, new_root):
        raise ProofError(f"the tree of {new} entries is not shown to begin with that of {old}")


def _climb(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of both trees, as a path from the old tree's right edge upwards makes them."""
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    seen_old = seen_new = path[0]
    for other in path[1:]:
        if last == 0:
            raise ProofError("the proof is too long")
        if place & 1 or place == last:
            seen_old, seen_new = node_hash(other, seen_old), node_hash(other, seen_new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            seen_new = node_hash(seen_new, other)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    return seen_old, seen_new


def _check_form(hashes: Sequence[bytes]) -> None:
    if len(hashes) > MAX_PROOF + 3 or any(len(value) != HASH_SIZE for value in hashes):
        raise ProofError(f"a proof is at most {MAX_PROOF} hashes of {HASH_SIZE} bytes")


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _hash(start: int, end: int, subtree: Subtree) -> bytes:
    """The root over entries from `start` up to `end`, where `start` is where such a subtree can begin."""
    size = end - start
    if size & (size - 1) == 0:
        height = size.bit_length() - 1
        return subtree(height, start >> height)
    middle = start + _split(size)
    return node_hash(_hash(start, middle, subtree), _hash(middle, end, subtree))
