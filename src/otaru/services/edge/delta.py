"""A file made of one that runs here and a patch: a way for bytes to come, never something to trust.

1. A patch is taken where it is smaller than what is missing of the file, in a form that is known, and within the memory.
2. It is fetched as every file is. It is not signed: what it says of itself is held against what runs, and what is due.
3. What runs is hashed before it is read: who has written to it since gets the file in full.
4. What it makes is put where the file's download would lie, and has to be the signed file. Then the download finds it whole.

Whatever goes wrong, what was made is gone, and the caller takes the file in full. A cut leaves some of it: made again, or
seen again by the download, byte by byte.

Nobody signed a patch (docs/adr/0023-patches-are-not-signed.md), so it is bounded in all that it could take: bytes to fetch are
fewer than the file's, memory is counted before it is taken, no more is made than the file has, and it ends in time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from otaru.domain.ids import Sha256
from otaru.domain.link import MAX_HAD, File, Patch, Taking
from otaru.domain.update_record import Piece
from otaru.images.reading import BLOCK, Source
from otaru.ports.board import Origin
from otaru.ports.partial import Partial
from otaru.services.edge.parts import Parts
from otaru.trust.verify.payload import check_delta, check_result, target_of
from otaru.trust.verify.refusals import DeltaResultError, DeltaSourceError

if TYPE_CHECKING:
    from otaru.images.delta.container import Head


LEAST_PER_S = 32 << 10
"""Bytes of the file that are made in a second at least, by the slowest device: else its patch is there to keep it busy."""
SLACK = timedelta(minutes=5)
"""For what comes before the first byte, and for looking at the server now and then."""
_WRITE = 1 << 16
"""Bytes that are written at once: a patch may make them one by one."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A patch by which a piece's bytes come."""

    piece: Piece
    patch: Patch
    origin: Origin

    @property
    def bytes(self) -> Piece:
        """The patch itself, as something that is downloaded."""
        path = f"a patch to {self.piece.path}"
        return replace(self.piece, path=path, size=self.patch.size, sha256=self.patch.sha256)


def taking(parts: Parts) -> Taking | None:
    """What the server is told of patches; None: none are wanted."""
    runs = [Sha256(digest) for origin in parts.origins.values() if (digest := origin.digest()) is not None]
    if not runs or not parts.manner.memory:
        return None
    # Where the bytes of a component are not known by name, the server goes by the versions that were reported.
    has = tuple(dict.fromkeys(runs))[:MAX_HAD] if all(runs) else ()
    return Taking(_forms(), parts.manner.memory, has)


def shortcut(parts: Parts, files: tuple[File, ...], piece: Piece) -> Shortcut | None:
    """The patch that a piece is made by; None: it is downloaded as it is."""
    origin = parts.origins.get(piece.component)
    if origin is None or origin.digest() is None:
        return None
    forms, missing = _forms(), piece.size - parts.staging.partial(piece).held()
    for patch in (patch for file in files if file.sha256 == piece.sha256 for patch in file.patches):
        found = Shortcut(piece, patch, origin)
        fits = patch.form in forms and patch.memory <= parts.manner.memory and patch.size < piece.size
        if fits and patch.size - parts.staging.partial(found.bytes).held() < missing:
            return found
    return None


def make(parts: Parts, found: Shortcut, look: Callable[[], None]) -> None:
    """Make a piece's bytes by a patch that is here, durably. `look` is called now and then, as while bytes come.

    Raises:
        DeltaSourceError: it does not lead from what runs to the piece.
        DeltaResultError: it makes something else, or is none.
        StoppedError: the agent is to end. What was made is made again.
        StorageFullError, OSError: the disk.
    """
    from otaru.images.delta.patch import BrokenPatchError, WrongSourceError  # noqa: PLC0415 - an idle device does without

    partial, patch = parts.staging.partial(found.piece), parts.staging.partial(found.bytes)
    try:
        _pour(parts, found, partial, _Held(patch, found.patch.size), _Pulse(parts, look, found.piece.size))
    except (DeltaSourceError, DeltaResultError, OSError):
        partial.discard()
        raise
    except WrongSourceError as error:
        partial.discard()
        raise DeltaSourceError(f"the patch does not fit: {error}") from None
    except BrokenPatchError as error:
        partial.discard()
        raise DeltaResultError(f"the patch is no good: {error}") from None


@dataclass(frozen=True, slots=True)
class _Held:
    """`images.reading.Source` of what was downloaded."""

    partial: Partial
    size: int

    def read_at(self, offset: int, n: int) -> bytes:
        return self.partial.read(offset, n)


class _Pulse:
    """Whether to go on, asked for each block."""

    def __init__(self, parts: Parts, look: Callable[[], None], size: int) -> None:
        self._parts = parts
        self._look = look
        self._looked = parts.clock.monotonic()
        self._until = self._looked + SLACK.total_seconds() + size / LEAST_PER_S

    def beat(self) -> None:
        self._parts.pause(0)
        now = self._parts.clock.monotonic()
        if now > self._until:
            raise DeltaResultError("the patch takes too long to be applied")
        if timedelta(seconds=now - self._looked) >= self._parts.manner.look_every:
            self._looked = now
            self._look()


def _pour(parts: Parts, found: Shortcut, partial: Partial, patch: Source, pulse: _Pulse) -> None:
    from otaru.images.delta.patch import apply, read_head  # noqa: PLC0415 - an idle device does without

    full = target_of(found.piece)
    source = _checked(found, read_head(patch), pulse)
    made, synced, seen = 0, 0, sha256()
    for data in _gathered(apply(patch, source, parts.manner.memory, full.length)):
        pulse.beat()
        seen.update(data)
        partial.append(made, data)
        made += len(data)
        if made - synced >= parts.manner.sync_every:
            partial.sync()
            synced = made
    check_result(full, made, seen.hexdigest())
    partial.sync()


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in pieces:
        if not held and len(piece) >= _WRITE:
            yield piece
            continue
        held += piece
        if len(held) >= _WRITE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _checked(found: Shortcut, head: "Head", pulse: _Pulse) -> Source:
    """What a patch is applied to, all of it seen.

    Raises:
        DeltaSourceError: it leads from something else, or elsewhere.
        DeltaResultError: it is written in another way than was said.
    """
    from otaru.trust.verify.target import Delta  # noqa: PLC0415 - an idle device does without

    if head.codec != found.patch.form:
        raise DeltaResultError(f"the patch is written as {head.codec}, not as {found.patch.form}")
    full, patch = target_of(found.piece), target_of(found.bytes)
    leads = replace(patch, delta=Delta(head.source.sha256.hex(), head.result.sha256.hex()))
    check_delta(leads, full, head.source.sha256.hex())  # before anything is read: whether it leads there
    source = found.origin.source(head.source.size)
    if source is None:
        raise DeltaSourceError(f"{found.piece.component} does not run {head.source.size} bytes")
    seen = sha256()
    for at in range(0, source.size, BLOCK):
        pulse.beat()
        seen.update(source.read_at(at, min(BLOCK, source.size - at)))
    check_delta(leads, full, seen.hexdigest())
    return source


def _forms() -> tuple[str, ...]:
    from otaru.images.delta.patch import Codec, is_here  # noqa: PLC0415 - an idle device does without

    return tuple(codec.value for codec in Codec if is_here(codec))
