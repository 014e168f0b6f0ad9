"""The tree in tiles of 256 hashes, as c2sp.org/tlog-tiles serves them: static, cacheable, enough for every proof.

A tile of level 0 holds leaf hashes; one of level n holds the roots of full tiles of level n - 1. Only the tiles at the
right edge are partial, and only those change. `grow` says which tiles an append makes, so they can be written before the
checkpoint that needs them; a crash in between leaves tiles of a tree that nobody has signed, and the next round writes
them again, the same.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from otaru.trust.log.merkle import HASH_SIZE, Subtree, node_hash

HEIGHT = 8
WIDTH = 1 << HEIGHT
ENTRIES = -1
"""The level, below the leaves, of bundles of entries."""
MAX_LEVEL = 63 // HEIGHT
_STEP = 1000
_PATH = re.compile(r"tile/(entries|[0-9])/((?:x[0-9]{3}/){0,6})([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A tile's place: its level, its number from the left, and how many hashes it holds (256: it is full)."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it is served below the log's prefix, for example `tile/0/x001/x234/067.p/12`."""
        level = "entries" if self.level == ENTRIES else self.level
        return f"tile/{level}/{_steps(self.number, self.width)}"

    def within(self, size: int) -> bool:
        """Whether a tree of `size` entries has all of it."""
        return self.number * WIDTH + self.width <= size >> (HEIGHT * max(self.level, 0))


def tile_at(path: str) -> Tile:
    """Read a path as `Tile.path` writes it.

    Raises:
        ValueError: it is not one.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise ValueError("it is not the path of a tile")
    level, thousands, last, width = found.groups()
    number = int(thousands.replace("x", "").replace("/", "") + last)
    made = Tile(ENTRIES if level == "entries" else int(level), number, int(width or WIDTH))
    if made.path != path or made.level > MAX_LEVEL:
        raise ValueError("it is not the path of a tile")
    return made


Read = Callable[[Tile], bytes]
"""The hashes of a tile. It may give those of a wider tile of the same place."""


def tiles(size: int) -> Iterator[Tile]:
    """The partial and full tiles at the right edge of a tree of `size` entries: what `grow` starts from."""
    level, nodes = 0, size
    while nodes:
        if width := nodes % WIDTH:
            yield Tile(level, nodes // WIDTH, width)
        level, nodes = level + 1, nodes // WIDTH


def subtrees(size: int, read: Read) -> Subtree:
    """How proofs of the tree of `size` entries read their hashes. Each tile is read once."""
    known: dict[tuple[int, int], bytes] = {}

    def subtree(height: int, place: int) -> bytes:
        level, within = divmod(height, HEIGHT)
        first = place << within
        number, offset = divmod(first, WIDTH)
        width = min(WIDTH, (size >> (HEIGHT * level)) - number * WIDTH)
        hashes = known.get((level, number))
        if hashes is None:
            hashes = known[level, number] = read(Tile(level, number, width))
            if len(hashes) < width * HASH_SIZE:
                raise ValueError(f"tile {Tile(level, number, width).path} is too short")
        return _fold([_at(hashes, offset + i) for i in range(1 << within)])

    return subtree


def grow(size: int, edge: Mapping[int, bytes], leaves: Sequence[bytes]) -> dict[Tile, bytes]:
    """The tiles that appending `leaves` (leaf hashes) to a tree of `size` entries makes or changes.

    `edge` holds the hashes of the partial tile of each level (`tiles(size)`), by level; full tiles are not needed.
    """
    made: dict[Tile, bytes] = {}
    level, nodes, new = 0, size, list(leaves)
    while new:
        kept, above = edge.get(level, b""), []
        if len(kept) != nodes % WIDTH * HASH_SIZE:
            raise ValueError(f"the edge of level {level} does not belong to a tree of {size} entries")
        hashes, number = kept + b"".join(new), nodes // WIDTH
        for at in range(0, len(hashes), WIDTH * HASH_SIZE):
            piece = hashes[at : at + WIDTH * HASH_SIZE]
            made[Tile(level, number, len(piece) // HASH_SIZE)] = piece
            if len(piece) == WIDTH * HASH_SIZE:
                above.append(_fold([_at(piece, i) for i in range(WIDTH)]))
            number += 1
        level, nodes, new = level + 1, nodes // WIDTH, above
    return made


def bundle(entries: Sequence[bytes]) -> bytes:
    """Entries as they are served: each with its length in two bytes before it.

    Raises:
        ValueError: an entry is longer than 65,535 bytes.
    """
    if any(len(entry) > 0xFFFF for entry in entries):
        raise ValueError("an entry of a log has at most 65535 bytes")
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def unbundle(data: bytes) -> list[bytes]:
    """The entries of a bundle.

    Raises:
        ValueError: it ends in the middle of one.
    """
    entries, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2])
        entry = data[at + 2 : at + 2 + length]
        if len(data) < at + 2 or len(entry) != length:
            raise ValueError("the bundle ends in the middle of an entry")
        entries.append(entry)
        at += 2 + length
    return entries


def _fold(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def _at(hashes: bytes, place: int) -> bytes:
    return hashes[place * HASH_SIZE : (place + 1) * HASH_SIZE]


def _steps(number: int, width: int) -> str:
    steps = [f"{number % _STEP:03}"]
    while number := number // _STEP:
        steps.append(f"x{number % _STEP:03}")
    part = "" if width == WIDTH else f".p/{width}"
    return "/".join(reversed(steps)) + part
