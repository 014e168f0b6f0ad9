"""Trees and proofs against the public vectors, a naive tree, and one another."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.trust.log import merkle
from otaru.trust.log.merkle import ProofError, Subtree, check_consistency, check_inclusion, leaf_hash, node_hash
from otaru.trust.log.tiles import ENTRIES, MAX_LEVEL, WIDTH, Tile, bundle, grow, subtrees, tile_at, tiles, unbundle

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[3] / "vectors/merkle.json").read_text())


def naive(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(naive(leaves[:k]), naive(leaves[k:]))


def subtree_of(leaves: list[bytes]) -> Subtree:
    return lambda height, place: naive(leaves[place << height : (place + 1) << height])


def some(count: int) -> list[bytes]:
    return [leaf_hash(str(n).encode()) for n in range(count)]


class Kept:
    """Tiles as a log keeps them: each append writes what changed."""

    def __init__(self) -> None:
        self.size = 0
        self.tiles: dict[tuple[int, int], bytes] = {}

    def append(self, leaves: list[bytes]) -> None:
        edge = {at.level: self.tiles[at.level, at.number] for at in tiles(self.size)}
        for tile, hashes in grow(self.size, edge, leaves).items():
            before = self.tiles.get((tile.level, tile.number), b"")
            assert hashes.startswith(before), "a tile only grows"
            self.tiles[tile.level, tile.number] = hashes
        self.size += len(leaves)

    def read(self, tile: Tile) -> bytes:
        return self.tiles[tile.level, tile.number]


@pytest.mark.parametrize("case", VECTORS["inclusion"], ids=lambda c: f"{c[0]}-{c[1]}-{c[2]}")
def test_public_vectors_of_inclusion(case: list[Any]) -> None:
    _, index, size, leaf, root, proof, holds = case
    arguments = (bytes.fromhex(leaf), index, size, [bytes.fromhex(p) for p in proof], bytes.fromhex(root))
    if holds:
        check_inclusion(*arguments)
    else:
        with pytest.raises(ProofError):
            check_inclusion(*arguments)


@pytest.mark.parametrize("case", VECTORS["consistency"], ids=lambda c: f"{c[0]}-{c[1]}-{c[2]}")
def test_public_vectors_of_consistency(case: list[Any]) -> None:
    _, old, new, old_root, new_root, proof, holds = case
    arguments = (old, bytes.fromhex(old_root), new, bytes.fromhex(new_root), [bytes.fromhex(p) for p in proof])
    if holds:
        check_consistency(*arguments)
    else:
        with pytest.raises(ProofError):
            check_consistency(*arguments)


def test_all_vectors_are_there() -> None:
    assert len(VECTORS["inclusion"]) + len(VECTORS["consistency"]) == 196
    assert sum(case[-1] for kind in ("inclusion", "consistency") for case in VECTORS[kind]) > 5


@given(st.integers(1, 70), st.data())
def test_what_we_prove_we_can_check_and_nothing_else(size: int, data: st.DataObject) -> None:
    leaves = some(size)
    root, subtree = naive(leaves), subtree_of(leaves)
    assert merkle.root(size, subtree) == root
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    path = merkle.inclusion(index, size, subtree)
    check_inclusion(leaves[index], index, size, path, root)
    steps = merkle.consistency(old, size, subtree)
    check_consistency(old, naive(leaves[:old]), size, root, steps)
    wrong = data.draw(st.binary(min_size=32, max_size=32))
    with pytest.raises(ProofError):
        check_inclusion(wrong, index, size, path, root)
    with pytest.raises(ProofError):
        check_consistency(old, wrong, size, root, steps)
    for spoiled in (path[:-1], [*path, wrong], [wrong, *path[1:]]):
        if spoiled != path:
            with pytest.raises(ProofError):
                check_inclusion(leaves[index], index, size, spoiled, root)


@given(st.lists(st.integers(0, 400), max_size=6), st.data())
def test_tiles_hold_the_same_tree_however_it_grew(steps: list[int], data: st.DataObject) -> None:
    kept, leaves = Kept(), some(sum(steps))
    for step in steps:
        kept.append(leaves[kept.size : kept.size + step])
    size = kept.size
    assert merkle.root(size, subtrees(size, kept.read)) == naive(leaves)
    if size:
        old, index = data.draw(st.integers(1, size)), data.draw(st.integers(0, size - 1))
        # A proof for an older head is made from the tiles of today.
        assert merkle.root(old, subtrees(old, kept.read)) == naive(leaves[:old])
        path = merkle.inclusion(index, size, subtrees(size, kept.read))
        check_inclusion(leaves[index], index, size, path, naive(leaves))
        grown = merkle.consistency(old, size, subtrees(size, kept.read))
        check_consistency(old, naive(leaves[:old]), size, naive(leaves), grown)


def test_a_crash_between_tiles_and_checkpoint_is_repeated_the_same() -> None:
    kept, leaves = Kept(), some(600)
    kept.append(leaves[:300])
    edge = {tile.level: kept.tiles[tile.level, tile.number] for tile in tiles(300)}
    first = grow(300, edge, leaves[300:])
    assert grow(300, edge, leaves[300:]) == first
    wider = {tile.level: first.get(tile, b"") for tile in tiles(600)}
    with pytest.raises(ValueError, match="edge"):
        grow(300, wider, leaves[300:])


def test_edges_and_addresses_of_tiles() -> None:
    # The examples of c2sp.org/tlog-tiles.
    assert sorted(tiles(70_000)) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles(256)) == [Tile(1, 0, 1)]
    assert list(tiles(0)) == []
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(3, 5, 12).path == "tile/3/005.p/12"
    assert Tile(ENTRIES, 1000).path == "tile/entries/x001/000"


@given(st.integers(ENTRIES, MAX_LEVEL), st.integers(0, 2**60), st.integers(1, WIDTH))
def test_paths_of_tiles_are_read_as_they_are_written(level: int, number: int, width: int) -> None:
    assert tile_at(Tile(level, number, width).path) == Tile(level, number, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/1",
        "tile/0/0000",
        "tile/00/000",
        "tile/8/000",
        "tile/-1/000",
        "tile/entries/x000/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/x001/../000",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/" + "x001/" * 7 + "000",
    ],
)
def test_a_tile_has_one_path(path: str) -> None:
    with pytest.raises(ValueError, match="not the path"):
        tile_at(path)


def test_a_tile_is_within_a_tree_that_has_all_of_it() -> None:
    assert Tile(0, 1, 44).within(300)
    assert not Tile(0, 1, 45).within(300)
    assert Tile(ENTRIES, 1, 44).within(300)
    assert Tile(1, 0, 1).within(300)
    assert not Tile(1, 0, 2).within(300)


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_bundles(entries: list[bytes]) -> None:
    packed = bundle(entries)
    assert unbundle(packed) == entries
    if entries:
        with pytest.raises(ValueError, match="middle"):
            unbundle(packed[:-1])


def test_an_entry_is_bounded() -> None:
    with pytest.raises(ValueError, match="65535"):
        bundle([b"x" * 65_536])


def test_questions_without_an_answer() -> None:
    subtree = subtree_of(some(4))
    for index, size in ((4, 4), (-1, 4), (0, 0)):
        with pytest.raises(ProofError):
            merkle.inclusion(index, size, subtree)
    for old, new in ((0, 4), (5, 4), (-1, 4)):
        with pytest.raises(ProofError):
            merkle.consistency(old, new, subtree)
    assert merkle.root(0, subtree) == merkle.EMPTY_ROOT
