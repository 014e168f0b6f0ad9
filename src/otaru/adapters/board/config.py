"""Configuration: documents that were signed as one file, switched together, and looked at whether they stay what they are.

    ROOT/current/app.toml, ROOT/current/motd …     the documents that hold now
    ROOT/current/.signed                           the file that they came in

All else is as `files` has it: switching is one rename of a link, what held before is kept, a program tells the application.
Another one may look at new documents before they are switched to. *Drift* is what somebody has changed since without an
update: it is told, and put back where the device's maker wants that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from otaru.adapters.board.disk import Disk, Part, part_of, replace
from otaru.adapters.board.files import FilesInstaller
from otaru.adapters.board.program import ended
from otaru.domain.update_record import Piece
from otaru.errors import UnsuitableError
from otaru.images.configuration import MAX_SIZE, Document, check, unpack
from otaru.images.reading import BrokenImageError
from otaru.ports.board import Drift, Staged

_SIGNED = ".signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Programs and their arguments, and how long each may take."""

    test: Sequence[str] = ()
    """Ends with 0 where the documents in the folder OTARU_FOLDER may be switched to."""
    after: Sequence[str] = ()
    """Has the application read what `current` leads to now. Harmless when it is run twice."""
    timeout_s: float = 60


class ConfigInstaller(FilesInstaller):
    """`ports.board.Installer` for configuration, and `Desired`. `schemas` are the device's own, by document."""

    kinds = frozenset({"config"})

    def __init__(
        self,
        component: str,
        disk: Disk,
        root: str,
        hooks: Hooks | None = None,
        *,
        schemas: Mapping[str, object] | None = None,
        mends: bool = False,
    ) -> None:
        self._hooks = hooks or Hooks()
        super().__init__(component, disk, root, after=self._hooks.after, after_timeout_s=self._hooks.timeout_s)
        self._schemas = dict(schemas or {})
        self._mends = mends

    def check(self, piece: Piece) -> None:
        if piece.size > MAX_SIZE:
            raise UnsuitableError(f"{piece.component} has {piece.size} bytes, a configuration has at most {MAX_SIZE}")

    def source(self, size: int) -> Part | None:
        return part_of(self._disk, f"{self._root}/current/{_SIGNED}", size)

    def drift(self) -> Drift | None:
        digest, place = self.digest(), f"{self._root}/current"
        if not digest:
            return None  # it is the factory's
        signed = self._read(f"{place}/{_SIGNED}")
        if signed is None or sha256(signed).hexdigest() != digest:
            return Drift((_SIGNED,))
        try:
            documents = {one.name: one.data for one in unpack(signed)}
        except BrokenImageError:  # an older agent has installed what this one would not
            return Drift((_SIGNED,))
        if self._mends:
            for name in documents:  # what a cut left of putting it back
                self._disk.remove(f"{place}/{name}.new")
        changed = tuple(sorted(name for name, data in documents.items() if self._read(f"{place}/{name}") != data))
        if changed and self._mends:
            self._mend(place, {name: documents[name] for name in changed})
        elif self._mends and self._owes():
            self._tell()
        added = set(self._disk.names(place + "/")) - {*documents, _SIGNED}
        return Drift(tuple(sorted({*changed, *added})), mended=changed if self._mends else ())

    def _mend(self, place: str, documents: Mapping[str, bytes]) -> None:
        self._owe()
        for name, data in documents.items():
            replace(self._disk, f"{place}/{name}", data)
            self._disk.mode(f"{place}/{name}", 0o644)
        self._tell()

    def _read(self, path: str) -> bytes | None:
        """A file's bytes; None where it is none, or longer than any here."""
        size = self._disk.size(path)
        if size is None or size > MAX_SIZE or self._disk.target(path) is not None or self._disk.is_folder(path):
            return None
        return self._disk.read_at(path, 0, size)

    def _fill(self, piece: Piece, staged: Staged, part: str) -> None:
        signed = b"".join(staged.chunks())
        for document in self._documents(signed):
            self._copied(iter([document.data]), f"{part}/{document.name}")
        self._copied(iter([signed]), f"{part}/{_SIGNED}")
        if not self._hooks.test:
            return
        done = ended(self._hooks.test, self._hooks.timeout_s, {"OTARU_FOLDER": part})
        if done.code != 0:
            raise UnsuitableError(f"{self._hooks.test[0]} refuses {piece.component} {piece.version}: {done.end}")

    def _documents(self, signed: bytes) -> tuple[Document, ...]:
        """The documents of a file, each as its own schema and the device's say. Raises UnsuitableError."""
        try:
            found = unpack(signed)
            for document in found:
                check(document, self._schemas.get(document.name))
        except BrokenImageError as error:
            raise UnsuitableError(f"the configuration is not for this device: {error}") from None
        return found
