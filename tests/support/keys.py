"""Keys of people and servers, made for a test, and repositories signed by them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, TargetFile

from otaru.domain.ids import ProductName
from otaru.trust.tuf import changes
from otaru.trust.tuf.keys import key_of
from otaru.trust.tuf.metadata import signed
from otaru.trust.tuf.names import role_of
from otaru.trust.tuf.repository import Repository, admit

NOW = datetime(2026, 11, 21, 12, 0, 0, 5, UTC)
APP = role_of(ProductName("app"))
_KEYS: dict[str, Ed25519PrivateKey] = {}


def private(name: str) -> Ed25519PrivateKey:
    """The key of somebody; the same each time."""
    return _KEYS.setdefault(name, Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"\0")[:32]))


def public(name: str) -> Key:
    return key_of(private(name).public_key())


def by(found: Metadata[Any], *names: str) -> Metadata[Any]:
    """Signed by these."""
    for name in names:
        found = signed(found, public(name).keyid, private(name).sign(found.signed_bytes))
    return found


def all_by(offered: Mapping[str, Metadata[Any]], *names: str) -> dict[str, Metadata[Any]]:
    return {role: by(found, *names) for role, found in offered.items()}


def some(names: Iterable[str], threshold: int = 1) -> changes.Keys:
    return [public(name) for name in names], threshold


ROOTS, TARGETERS = ("root-1", "root-2", "root-3"), ("targets-1", "targets-2")


def first(now: datetime = NOW) -> dict[str, Metadata[Any]]:
    """Root of 2 out of 3 and targets of 2 out of 2, as a ceremony makes them, not signed."""
    keys = {
        "root": some(ROOTS, 2),
        "targets": some(TARGETERS, 2),
        "snapshot": some(["online"]),
        "timestamp": some(["online"]),
    }
    return {"root": changes.new_root(keys, now), "targets": changes.new_targets("targets", now)}


def begun(now: datetime = NOW) -> Repository:
    """A repository after its ceremony, with releases of `app` delegated to alice or bob."""
    made = first(now)
    made = {"root": by(made["root"], *ROOTS[:2]), "targets": by(made["targets"], *TARGETERS)}
    repository = admit(None, made, now)
    delegated = changes.delegate(repository, APP, some(["alice", "bob"]), now)
    return admit(repository, all_by(delegated, *TARGETERS), now)


def a_file(path: str, data: bytes = b"bytes") -> dict[str, TargetFile]:
    return {path: TargetFile.from_data(path, data, ["sha256"])}
