"""The bytes of a target, while they come and after: never more than were signed, and no others.

A delta is a way for bytes to come, never something to trust: what it makes has to be the full target, which was verified
before the delta was looked at.
"""

from hashlib import new
from typing import TYPE_CHECKING

from otaru.domain.ids import Version
from otaru.domain.update_record import Piece
from otaru.trust.verify.refusals import (
    DeltaResultError,
    DeltaSourceError,
    InstallerDigestError,
    TargetDigestError,
    TargetTooLongError,
    TargetTooShortError,
)

if TYPE_CHECKING:
    from otaru.trust.verify.target import Target


class Payload:
    """A target's bytes as they come, piece by piece. To go on after a break, feed again what was stored."""

    def __init__(self, target: "Target") -> None:
        self._target = target
        self._seen = {name: new(name) for name in target.hashes}
        self.size = 0

    def feed(self, data: bytes) -> None:
        """The next bytes. Call it before they are stored: nothing is stored beyond the target's length.

        Raises:
            TargetTooLongError: more come than the target has.
        """
        if self.size + len(data) > self._target.length:
            raise TargetTooLongError(
                f"{self._target.path} is longer than {self._target.length} bytes", limit=self._target.length
            )
        self.size += len(data)
        for seen in self._seen.values():
            seen.update(data)

    def end(self) -> None:
        """That was all.

        Raises:
            TargetTooShortError: some are missing.
            TargetDigestError: they are others.
        """
        if self.size != self._target.length:
            raise TargetTooShortError(
                f"{self._target.path} ended after {self.size} of {self._target.length} bytes", came=self.size
            )
        if any(seen.hexdigest() != self._target.hashes[name] for name, seen in self._seen.items()):
            raise TargetDigestError(f"the bytes of {self._target.path} are others than were signed")


def target_of(piece: Piece) -> "Target":
    """A piece's target, as far as it is kept in the plan."""
    from otaru.trust.verify.target import Target  # noqa: PLC0415 - an idle device does without

    hashes = {"sha256": piece.sha256}
    version = Version(piece.version)
    return Target(piece.path, piece.size, hashes, piece.component, (), version, piece.counter, piece.installer)


def payload_of(piece: Piece) -> Payload:
    """A piece's bytes, when all that is kept of its target is the plan."""
    return Payload(target_of(piece))


def check_delta(patch: "Target", full: "Target", source: str) -> None:
    """Check, before it is applied, that a patch leads from `source` (SHA-256 of what is installed) to the full target.

    Raises:
        DeltaSourceError: it does not.
    """
    if patch.delta is None or patch.delta.source != source or patch.delta.result != full.sha256:
        raise DeltaSourceError(f"{patch.path} does not lead from what is installed to {full.path}")


def check_result(full: "Target", length: int, sha256: str) -> None:
    """Check that what a patch has made is the full target.

    Raises:
        DeltaResultError: it is not.
    """
    if (length, sha256) != (full.length, full.sha256):
        raise DeltaResultError(f"the patch has made something else than {full.path}")


def check_installer(target: "Target", digest: str) -> None:
    """Check what the installer has found in the file (RAUC's manifest hash, sw-description's SHA-256, MCUboot's image hash).

    Raises:
        InstallerDigestError: it is not what was signed, or nothing was.
    """
    if target.installer_digest is None or target.installer_digest != digest:
        raise InstallerDigestError(f"{target.installer} found something else in {target.path} than was signed")
