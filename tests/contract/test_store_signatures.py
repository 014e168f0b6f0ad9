"""The port `Signatures`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.signatures import SqlSignatures
from otaru.trust.tuf.kept import IMAGE, End, Kept, KnownKey, Place
from tests.support.keys import public
from tests.support.stores import ACME, NOW, RIVAL, later


def kept(role: str, version: int, ends_s: float = 60, content: bytes = b"{}") -> Kept:
    return Kept(role, version, content, later(ends_s), NOW)


def key(name: str = "alice", *, development: bool = False) -> KnownKey:
    made = public(name)
    return KnownKey(made.keyid, made.to_dict(), "root", Place.OFFLINE, development, NOW)


@pytest.fixture
def signatures(database: str) -> Iterator[SqlSignatures]:
    engine = open_writer(database)
    with engine.connect() as connection:
        yield SqlSignatures(Session(connection))
    engine.dispose()


def test_versions_come_back_byte_by_byte(signatures: SqlSignatures) -> None:
    first, second = kept("root", 1, content=b'{"\xc3\xbc": \x00}'), kept("root", 2)
    assert signatures.add(ACME, IMAGE, first)
    assert signatures.add(ACME, IMAGE, second)
    assert signatures.get(ACME, IMAGE, "root", 1) == first
    assert signatures.get(ACME, IMAGE, "root", 3) is None
    assert signatures.get(ACME, "director", "root", 1) is None


def test_what_is_signed_never_changes(signatures: SqlSignatures) -> None:
    assert signatures.add(ACME, IMAGE, kept("root", 1))
    assert not signatures.add(ACME, IMAGE, kept("root", 1, 999, b"other"))
    assert signatures.newest(ACME, IMAGE) == {"root": kept("root", 1)}


def test_the_newest_of_each_role(signatures: SqlSignatures) -> None:
    for role, versions in (("root", (1, 2)), ("product.a.stable", (9, 10, 2))):
        for version in versions:
            signatures.add(ACME, IMAGE, kept(role, version, version))
    newest = {"product.a.stable": kept("product.a.stable", 10, 10), "root": kept("root", 2, 2)}
    assert signatures.newest(ACME, IMAGE) == newest
    assert signatures.newest(ACME, IMAGE, ["root", "x"]) == {"root": kept("root", 2, 2)}
    assert signatures.newest(ACME, IMAGE, []) == {}
    assert signatures.ends(ACME, IMAGE) == {role: End(k.version, k.expires_at) for role, k in newest.items()}


def test_old_versions_are_forgotten(signatures: SqlSignatures) -> None:
    for version in range(1, 6):
        signatures.add(ACME, IMAGE, kept("snapshot", version))
        signatures.add(ACME, IMAGE, kept("root", version))
    assert signatures.forget(ACME, IMAGE, "snapshot", 4) == 3
    assert signatures.get(ACME, IMAGE, "snapshot", 3) is None
    assert signatures.get(ACME, IMAGE, "snapshot", 4) is not None
    assert signatures.forget(ACME, IMAGE, "snapshot") == 2
    assert signatures.newest(ACME, IMAGE) == {"root": kept("root", 5)}


def test_repositories_that_end(signatures: SqlSignatures) -> None:
    signatures.add(ACME, IMAGE, kept("root", 1, 10))
    signatures.add(ACME, IMAGE, kept("root", 2, 50))
    signatures.add(ACME, IMAGE, kept("targets", 1, 90))
    signatures.add(RIVAL, "director", kept("root", 1, 30))
    assert signatures.every_ending(later(29)) == []
    assert signatures.every_ending(later(30)) == [(RIVAL, "director")]
    assert signatures.every_ending(later(50)) == [(ACME, IMAGE), (RIVAL, "director")]


def test_keys(signatures: SqlSignatures) -> None:
    alice, bob = key(), replace(key("bob", development=True), created_at=later(-1), place=Place.SERVER)
    assert signatures.add_key(ACME, alice)
    assert signatures.add_key(ACME, bob)
    assert not signatures.add_key(ACME, replace(alice, role="targets"))
    assert signatures.keys(ACME) == [bob, alice]
    assert signatures.every_development() == [ACME]
    assert signatures.revoke_keys(ACME, [bob.id, "x"], later(5)) == 1
    assert signatures.revoke_keys(ACME, [bob.id], later(6)) == 0
    assert signatures.revoke_keys(ACME, [], later(6)) == 0
    assert signatures.keys(ACME) == [replace(bob, revoked_at=later(5)), alice]
    assert signatures.every_development() == []


def test_tenants_never_see_one_another(signatures: SqlSignatures) -> None:
    signatures.add(ACME, IMAGE, kept("root", 1))
    signatures.add_key(ACME, key())
    assert signatures.newest(RIVAL, IMAGE) == {}
    assert signatures.get(RIVAL, IMAGE, "root", 1) is None
    assert signatures.ends(RIVAL, IMAGE) == {}
    assert signatures.keys(RIVAL) == []
    assert signatures.add(RIVAL, IMAGE, kept("root", 1, content=b"theirs"))
    assert signatures.add_key(RIVAL, key())
    assert signatures.forget(RIVAL, IMAGE, "root") == 1
    assert signatures.revoke_keys(RIVAL, [key().id], NOW) == 1
    assert signatures.newest(ACME, IMAGE) == {"root": kept("root", 1)}
    assert signatures.keys(ACME) == [key()]
