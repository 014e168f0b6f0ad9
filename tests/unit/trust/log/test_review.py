"""Looking through a log finds what was changed, removed or moved, and names it."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.trust.log import merkle
from otaru.trust.log.merkle import HASH_SIZE, leaf_hash
from otaru.trust.log.notes import Checkpoint
from otaru.trust.log.review import Range, ReviewError, review
from otaru.trust.log.tiles import ENTRIES, WIDTH, Tile, bundle, grow, subtrees


class Served:
    """A log as a server shows it; what is done to `entries` by hand leaves the tiles as they are."""

    def __init__(self, entries: list[bytes]) -> None:
        self.entries = list(entries)
        self.tiles = {(t.level, t.number): h for t, h in grow(0, {}, [leaf_hash(e) for e in entries]).items()}
        self.head = self.seen(len(entries))

    def seen(self, size: int) -> Checkpoint:
        return Checkpoint("o", size, merkle.root(size, subtrees(size, self.read)))

    def read(self, tile: Tile) -> bytes:
        if tile.level == ENTRIES:
            return bundle(self.entries[tile.number * WIDTH :][: tile.width])
        return self.tiles[tile.level, tile.number][: tile.width * HASH_SIZE]


def some(size: int) -> list[bytes]:
    return [f"entry {n}".encode() for n in range(size)]


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_a_range_has_the_root_of_its_leaves(entries: list[bytes]) -> None:
    tree, served = Range(), Served(entries)
    for size, entry in enumerate(entries):
        assert tree.root == served.seen(size).root
        tree.append(leaf_hash(entry))
    assert (tree.size, tree.root) == (len(entries), served.head.root)


@given(st.integers(0, 700), st.data())
def test_a_good_log_is_shown_whole(size: int, data: st.DataObject) -> None:
    served = Served(some(size))
    old = data.draw(st.none() | st.integers(0, size).map(served.seen))
    assert list(review(served.head, served.read, old)) == list(enumerate(some(size)))


def _change(entries: list[bytes], at: int) -> None:
    entries[at] += b"!"


def _remove(entries: list[bytes], at: int) -> None:
    entries[at] = b""


def _swap(entries: list[bytes], at: int) -> None:
    entries[at], entries[-1] = entries[-1], entries[at]


@pytest.mark.parametrize("harm", [_change, _remove, _swap])
@given(data=st.data())
def test_harm_is_named(harm: Callable[[list[bytes], int], None], data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 600))
    at = data.draw(st.integers(0, size - 2))
    served = Served(some(size))
    harm(served.entries, at)
    with pytest.raises(ReviewError, match=f"entry {at} ") as caught:
        list(review(served.head, served.read))
    assert caught.value.entry == at


def test_tiles_that_were_made_to_fit_do_not_help() -> None:
    served, forged = Served(some(300)), Served([b"other", *some(300)[1:]])
    with pytest.raises(ReviewError, match="not those that were signed"):
        list(review(served.head, forged.read))
    with pytest.raises(ReviewError, match="first 10 entries"):
        list(review(forged.head, forged.read, served.seen(10)))


def test_a_log_does_not_become_shorter() -> None:
    served = Served(some(300))
    with pytest.raises(ReviewError, match="cut off") as caught:
        list(review(served.seen(299), served.read, served.head))
    assert caught.value.entry == 299


def test_entries_that_are_not_there_are_named() -> None:
    served = Served(some(300))
    head = served.head
    del served.entries[280:]
    with pytest.raises(ReviewError, match="entry 280 is not there"):
        list(review(head, served.read))


def test_a_bundle_that_is_none_is_told() -> None:
    served = Served(some(3))
    with pytest.raises(ReviewError, match="ends in the middle"):
        list(review(served.head, lambda tile: served.read(tile)[: 5 if tile.level == ENTRIES else None]))
