"""Whether a release is in the transparency log, and enough witnesses have seen it there (c2sp.org/tlog-proof)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from otaru.domain.events import Kind
from otaru.trust.log.merkle import ProofError, leaf_hash
from otaru.trust.log.notes import NoteError, Verifier, check_offline_proof, proven
from otaru.trust.tuf.names import product_of
from otaru.trust.verify.chain import Found
from otaru.trust.verify.refusals import LogProofError
from otaru.trust.verify.target import Target

MAX_PROOF = 192 * 1024
"""Bytes of a proof with its entry of at most 64 KiB and a note of as much."""


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """Whose log a release has to be in, and how many of which witnesses have to have seen it."""

    log: Verifier
    witnesses: tuple[Verifier, ...] = ()
    quorum: int = 0


def subject_of(found: Found, target: Target) -> str:
    """The release that a target belongs to, as the log names it."""
    return f"{product_of(found.role)[0]}:{target.version}"


def check_logged(policy: LogPolicy, found: Found, target: Target, proof: bytes | None) -> None:
    """Check that the log shows this target's release as published, or the very metadata that lists it as signed.

    Raises:
        LogProofError: it does not.
    """
    subject = subject_of(found, target)
    if proof is None or len(proof) > MAX_PROOF:
        raise LogProofError(f"there is no proof that {subject} is in the log", subject=subject)
    try:
        text = proof.decode()
        entry = proven(text)
        check_offline_proof(text, leaf_hash(entry), policy.log, policy.witnesses, policy.quorum)
        told = json.loads(entry)
    except (NoteError, ProofError, ValueError, RecursionError) as error:
        raise LogProofError(f"{subject} is not shown to be in the log: {error}", subject=subject) from None
    if not isinstance(told, Mapping) or not _tells_of(told, subject, found, target):
        raise LogProofError(f"the log entry is not that of {subject}", subject=subject)


def _tells_of(told: Mapping[str, Any], subject: str, found: Found, target: Target) -> bool:
    data = told.get("data")
    if not isinstance(data, Mapping):
        return False
    match told.get("kind"), told.get("subject"):
        case Kind.RELEASE_MOVED, about:
            digests = data.get("artifacts")
            return (
                about == subject
                and data.get("to") == "published"
                and isinstance(digests, list)
                and target.sha256 in digests
            )
        case Kind.METADATA_SIGNED, found.role:
            return data.get("sha256") == found.sha256
        case _:
            return False
