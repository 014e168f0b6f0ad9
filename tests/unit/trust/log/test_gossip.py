"""What a device that remembers the last head accepts of the next one, and what it does not."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from otaru.trust.log import merkle
from otaru.trust.log.gossip import MAX_ANSWER, grown, growth
from otaru.trust.log.merkle import MAX_PROOF, ProofError, leaf_hash, node_hash
from otaru.trust.log.notes import Checkpoint, NoteError, Verifier, sign

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
LOG = Verifier("example.org/log", KEY.public_key().public_bytes_raw())
sizes = st.integers(0, 80)


class Tree:
    """A log in memory; `fork`: entries from there on are others."""

    def __init__(self, fork: int = 10_000) -> None:
        self.fork = fork

    def subtree(self, height: int, place: int) -> bytes:
        if height == 0:
            return leaf_hash(b"%d%s" % (place, b"!" if place >= self.fork else b""))
        return node_hash(self.subtree(height - 1, 2 * place), self.subtree(height - 1, 2 * place + 1))

    def note(self, size: int, key: Ed25519PrivateKey = KEY) -> str:
        return sign(Checkpoint(LOG.name, size, merkle.root(size, self.subtree)), LOG.name, key)

    def answer(self, old: int, new: int) -> str:
        return growth(old, merkle.consistency(old, new, self.subtree) if old else [], self.note(new))


@given(sizes, sizes)
def test_a_log_that_grows_is_followed(one: int, other: int) -> None:
    old, new = sorted((one, other))
    assert grown(Tree().note(old), Tree().answer(old, new), LOG) == Tree().note(new)


@given(st.integers(1, 80), st.integers(0, 80), st.data())
def test_a_log_that_has_split_is_not(old: int, more: int, data: st.DataObject) -> None:
    """Whatever proof the other tree gives."""
    forked = Tree(data.draw(st.integers(0, old - 1)))
    with pytest.raises(ProofError):
        grown(Tree().note(old), forked.answer(old, old + more), LOG)


@given(st.integers(2, 80), st.data())
def test_a_log_does_not_shrink(old: int, data: st.DataObject) -> None:
    new = data.draw(st.integers(0, old - 1))
    with pytest.raises(ProofError):
        grown(Tree().note(old), growth(old, [], Tree().note(new)), LOG)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_no_changed_hash_goes_unseen(old: int, more: int, data: st.DataObject) -> None:
    proof = merkle.consistency(old, old + more, Tree().subtree)
    at = data.draw(st.integers(0, len(proof) - 1))
    for wrong in (proof[:at] + proof[at + 1 :], [*proof, proof[at]], [*proof[:at], b"\0" * 32, *proof[at + 1 :]]):
        with pytest.raises(ProofError):
            grown(Tree().note(old), growth(old, wrong, Tree().note(old + more)), LOG)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "old 2\n\n",
        Tree().answer(2, 5).replace("old 2", "old 3"),
        Tree().answer(2, 5).replace("old 2\n", "old 2\nAAAA\n"),
        Tree().answer(2, 5).replace("old 2\n", "old 2\nno base64\n"),
        growth(2, [b"\0" * 32] * (MAX_PROOF + 1), Tree().note(5)),
        Tree().answer(2, 5) + "x" * MAX_ANSWER,
        growth(
            2, merkle.consistency(2, 5, Tree().subtree), Tree().note(5, Ed25519PrivateKey.from_private_bytes(b"o" * 32))
        ),
    ],
)
def test_what_is_no_answer(answer: str) -> None:
    with pytest.raises((ProofError, NoteError)):
        grown(Tree().note(2), answer, LOG)
