"""Look through a whole log: every entry, every tile, the head that is shown now and one that was seen before.

What is read is not believed: the roots are made anew from the entries. Tiles serve to say *which* entry is wrong.
"""

from collections.abc import Iterator

from otaru.trust.log.merkle import EMPTY_ROOT, HASH_SIZE, leaf_hash, node_hash
from otaru.trust.log.notes import Checkpoint
from otaru.trust.log.tiles import ENTRIES, WIDTH, Read, Tile, unbundle


class ReviewError(ValueError):
    """A log is not what its head says; `entry` is the first that is wrong, where one can be named."""

    def __init__(self, message: str, entry: int | None = None) -> None:
        super().__init__(message)
        self.entry = entry


class Range:
    """A tree that only grows, known by the roots of its perfect subtrees: as many as its size has bits that are 1."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Grow by the leaf hash of one entry."""
        seen, place = leaf, self.size
        while place & 1:
            seen, place = node_hash(self._peaks.pop(), seen), place >> 1
        self._peaks.append(seen)
        self.size += 1

    @property
    def root(self) -> bytes:
        """The root of what is there."""
        if not self._peaks:
            return EMPTY_ROOT
        seen = self._peaks[-1]
        for peak in self._peaks[-2::-1]:
            seen = node_hash(peak, seen)
        return seen


def review(new: Checkpoint, read: Read, old: Checkpoint | None = None) -> Iterator[tuple[int, bytes]]:
    """Every entry with its index, each checked against its tile, and in the end all of them against both heads.

    `old` is a head that was seen before. Nothing is shown until the last entry has been taken: go to the end.

    Raises:
        ReviewError: an entry was changed, removed or moved, or the log does not begin as it did.
    """
    if old is not None and old.size > new.size:
        raise ReviewError(f"the log had {old.size} entries and has {new.size} now: its end was cut off", new.size)
    tree = Range()
    before = tree.root
    for number in range((new.size + WIDTH - 1) // WIDTH):
        width = min(WIDTH, new.size - number * WIDTH)
        hashes = read(Tile(0, number, width))
        for at, entry in enumerate(_entries(read(Tile(ENTRIES, number, width)), number, width)):
            index, leaf = number * WIDTH + at, leaf_hash(entry)
            if leaf != hashes[at * HASH_SIZE : (at + 1) * HASH_SIZE]:
                was = "changed or moved" if entry else "removed"
                raise ReviewError(f"entry {index} was {was} after it was logged", index)
            tree.append(leaf)
            if old is not None and tree.size == old.size:
                before = tree.root
            yield index, entry
    if old is not None and before != old.root:
        raise ReviewError(f"the first {old.size} entries are not those that were seen before")
    if tree.root != new.root:
        raise ReviewError(f"the {new.size} entries and their hashes are not those that were signed")


def _entries(data: bytes, number: int, width: int) -> list[bytes]:
    first = number * WIDTH
    try:
        entries = unbundle(data)
    except ValueError as error:
        raise ReviewError(f"entries {first} to {first + width - 1}: {error}", first) from None
    if len(entries) < width:
        raise ReviewError(f"entry {first + len(entries)} is not there", first + len(entries))
    return entries[:width]
