"""The port `Notary`: one key for each log, and never two histories."""

from pathlib import Path

import pytest

from otaru.adapters.notary import FolderNotary
from otaru.errors import DataFolderError, RefusedError
from otaru.ports.notary import Notary
from otaru.trust.log import merkle
from otaru.trust.log.entries import Log
from otaru.trust.log.merkle import leaf_hash
from otaru.trust.log.notes import Checkpoint, opened
from tests.support.stores import ACME, RIVAL

pytestmark = pytest.mark.anyio

LEAVES = [leaf_hash(bytes([n])) for n in range(9)]


def subtree(height: int, place: int) -> bytes:
    return (
        LEAVES[place]
        if height == 0
        else merkle.node_hash(subtree(height - 1, 2 * place), subtree(height - 1, 2 * place + 1))
    )


async def signed(notary: Notary, size: int, old: int = 0) -> str:
    proof = merkle.consistency(old, size, subtree) if old else []
    return await notary.sign(ACME, Log.AUDIT, size, merkle.root(size, subtree), proof)


@pytest.fixture
def notary(tmp_path: Path) -> Notary:
    return FolderNotary(tmp_path / "log")


async def test_there_is_no_key_until_one_is_made(notary: Notary) -> None:
    assert await notary.held(ACME, Log.AUDIT) is None
    assert await notary.last(ACME, Log.AUDIT) is None
    with pytest.raises(RefusedError):
        await signed(notary, 1)
    made = await notary.make(ACME, Log.AUDIT)
    assert await notary.make(ACME, Log.AUDIT) == made == await notary.held(ACME, Log.AUDIT)
    others = [await notary.make(ACME, Log.RELEASE), await notary.make(RIVAL, Log.AUDIT)]
    assert len({made, *others}) == len({v.name for v in (made, *others)}) == 3


async def test_what_was_signed_outlives_the_process(notary: Notary, tmp_path: Path) -> None:
    made = await notary.make(ACME, Log.AUDIT)
    note = await signed(notary, 3)
    again = FolderNotary(tmp_path / "log")
    assert await again.held(ACME, Log.AUDIT) == made
    assert await again.last(ACME, Log.AUDIT) == opened(note, made)
    assert await signed(again, 3, 3) == note
    assert opened(await signed(again, 7, 3), made).size == 7


async def test_two_histories_are_never_signed(notary: Notary) -> None:
    made = await notary.make(ACME, Log.AUDIT)
    await signed(notary, 5)
    forged = leaf_hash(b"forged")
    for size, root, proof in (
        (5, forged, []),
        (4, merkle.root(4, subtree), []),
        (4, merkle.root(4, subtree), merkle.consistency(4, 5, subtree)),
        (7, merkle.root(7, subtree), []),
        (7, forged, merkle.consistency(5, 7, subtree)),
    ):
        with pytest.raises(RefusedError):
            await notary.sign(ACME, Log.AUDIT, size, root, proof)
    assert await notary.last(ACME, Log.AUDIT) == Checkpoint(made.name, 5, merkle.root(5, subtree))
    await signed(notary, 7, 5)


@pytest.mark.parametrize("harm", [b"", b"no key", None])
@pytest.mark.parametrize("name", ["audit.key", "audit.signed"])
async def test_a_file_that_cannot_be_read_is_named(
    notary: Notary, tmp_path: Path, name: str, harm: bytes | None
) -> None:
    await notary.make(ACME, Log.AUDIT)
    await signed(notary, 3)
    file = tmp_path / "log/acme" / name
    file.unlink()
    if harm is None:
        file.mkdir()
    else:
        file.write_bytes(harm)
    with pytest.raises(DataFolderError, match=name):
        await FolderNotary(tmp_path / "log").last(ACME, Log.AUDIT)
