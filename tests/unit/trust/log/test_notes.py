"""Signed notes against the examples of C2SP, and everything that must not pass for one."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from otaru.trust.log import merkle
from otaru.trust.log.merkle import ProofError, leaf_hash
from otaru.trust.log.notes import (
    COSIGNATURE,
    Checkpoint,
    NoteError,
    Verifier,
    check_offline_proof,
    cosign,
    offline_proof,
    opened,
    sign,
    verifier,
)
from tests.unit.trust.log.test_merkle import naive, some, subtree_of

ORIGIN = "updates.example/log/DEFAULT/release"
KEY, OTHER, WITNESS = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
LOG = Verifier(ORIGIN, KEY.public_key().public_bytes_raw())
SEEN = Verifier("witness.example/w", WITNESS.public_key().public_bytes_raw(), COSIGNATURE)
HEAD = Checkpoint(ORIGIN, 4, naive(some(4)))
NOTE = sign(HEAD, ORIGIN, KEY)


def test_the_example_of_the_specification() -> None:
    key = verifier("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    assert str(key) == "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    note = (
        "This is an example message.\n\n\u2014 example.com/foo "
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    )
    with pytest.raises(NoteError, match="three lines"):  # signed well, but no checkpoint
        opened(note, key)
    with pytest.raises(NoteError, match="wrong"):
        opened(note.replace("an example", "no example"), key)


def test_what_the_log_has_signed_opens() -> None:
    assert opened(NOTE, LOG) == HEAD
    assert opened(NOTE, verifier(str(LOG))) == HEAD


def test_a_witness_counts_once_and_only_if_it_is_known() -> None:
    seen = cosign(NOTE, SEEN.name, WITNESS, 1_800_000_000)
    assert opened(seen, LOG, [SEEN], 1) == HEAD
    assert opened(cosign(seen, SEEN.name, WITNESS, 1_800_000_001), LOG, [SEEN], 1) == HEAD
    with pytest.raises(NoteError, match="1 witnesses"):
        opened(cosign(seen, SEEN.name, WITNESS, 1_800_000_001), LOG, [SEEN], 2)
    with pytest.raises(NoteError, match="0 witnesses"):
        opened(seen, LOG, [], 1)
    assert opened(seen, LOG) == HEAD


def test_a_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    seen = cosign(NOTE, SEEN.name, WITNESS, 1_800_000_000)
    forged = cosign(NOTE, SEEN.name, OTHER, 1_800_000_000)
    assert opened(forged, LOG, [SEEN]) == HEAD  # another key id: an unknown key, ignored
    other_time = cosign(sign(Checkpoint(ORIGIN, 5, HEAD.root), ORIGIN, KEY), SEEN.name, WITNESS, 1)
    mixed = NOTE + other_time.splitlines(keepends=True)[-1]
    with pytest.raises(NoteError, match="wrong"):
        opened(mixed, LOG, [SEEN])
    assert seen != forged


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        NOTE[:-1],
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\u2014 ", "- "),
        NOTE + "x\n",
        NOTE.replace("\n4\n", "\n04\n"),
        NOTE.replace("\n4\n", "\n-4\n"),
        NOTE.replace("\n4\n", "\n5\n"),
        NOTE.replace("updates", "Updates", 1),
        NOTE + "\u2014 " + "x" * 70_000,
        NOTE.replace("\n4\n", "\n4\r\n"),
        HEAD.text,
    ],
)
def test_what_is_no_note_of_the_log(note: str) -> None:
    with pytest.raises(NoteError):
        opened(note, LOG)


def test_another_logs_head_is_not_ours_even_if_our_key_signed_it() -> None:
    elsewhere = sign(Checkpoint("elsewhere.example", 4, HEAD.root), ORIGIN, KEY)
    with pytest.raises(NoteError, match="not of"):
        opened(elsewhere, LOG)
    with pytest.raises(NoteError, match="has not signed"):
        opened(sign(HEAD, ORIGIN, OTHER), LOG)


@pytest.mark.parametrize("text", ["", "a+b", "a+b+c", "a b+00000000+AAAA", str(LOG).replace("+", "+0", 1), f"{LOG}x"])
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(NoteError):
        verifier(text)


@given(st.integers(1, 40), st.data())
def test_an_entry_is_proved_without_the_log(size: int, data: st.DataObject) -> None:
    leaves = some(size)
    index = data.draw(st.integers(0, size - 1))
    note = sign(Checkpoint(ORIGIN, size, naive(leaves)), ORIGIN, KEY)
    proof = offline_proof(index, merkle.inclusion(index, size, subtree_of(leaves)), note)
    assert check_offline_proof(proof, leaves[index], LOG).size == size
    with pytest.raises(ProofError):
        check_offline_proof(proof, leaf_hash(b"another entry"), LOG)
    with pytest.raises((NoteError, ProofError)):
        check_offline_proof(proof.replace("index ", "index 9"), leaves[index], LOG)
    with pytest.raises(NoteError):
        check_offline_proof(proof.removeprefix("c2sp"), leaves[index], LOG)


@given(st.text(max_size=300))
def test_any_text_is_refused_in_words(text: str) -> None:
    for attempt in (text, NOTE + text, text + NOTE):
        if attempt != NOTE:
            with pytest.raises(NoteError):
                opened(attempt, LOG)
    with pytest.raises((NoteError, ProofError)):
        check_offline_proof(text, leaf_hash(b""), LOG)
