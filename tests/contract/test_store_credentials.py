"""The port `Credentials`, on both engines, and what a device's entry holds of them."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql.credentials import SqlCredentials
from otaru.domain.credential import Credential, CredentialKind
from otaru.domain.ids import CredentialId, DeviceId
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, later, open_shelf

DEV, OTHER = DeviceId("dev-1"), DeviceId("dev-2")
TOKEN = Credential(CredentialId("c1"), CredentialKind.TOKEN, b"t" * 32, b"", "spare", NOW, later(60))
CERTIFICATE = Credential(CredentialId("c2"), CredentialKind.CERTIFICATE, b"k" * 32, b"i" * 32, "", NOW, later(90))
KEY = Credential(CredentialId("c3"), CredentialKind.KEY, b"k" * 32, b"", "ü '\"%?", NOW)


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


@pytest.fixture
def credentials(shelf: Shelf) -> SqlCredentials:
    shelf.devices.add(HERE, [(a_device("dev-1"), b"h"), (a_device("dev-2"), b"h")])
    shelf.devices.add(THERE, [(a_device("dev-1"), b"h")])
    return SqlCredentials(shelf.session)


def entered(shelf: Shelf, device: DeviceId = DEV) -> tuple[Credential, ...]:
    entry = shelf.devices.entry(HERE, device)
    assert entry is not None
    return entry.credentials


def test_a_device_has_several_kinds_at_once(shelf: Shelf, credentials: SqlCredentials) -> None:
    for one in (KEY, TOKEN, CERTIFICATE):
        assert credentials.add(HERE, DEV, one)
    assert credentials.of(HERE, DEV) == [TOKEN, CERTIFICATE, KEY]
    assert entered(shelf) == (TOKEN, CERTIFICATE, KEY)
    assert credentials.of(HERE, OTHER) == []
    assert entered(shelf, OTHER) == ()
    assert credentials.of(THERE, DEV) == []


def test_what_somebody_has_nobody_else_gets(credentials: SqlCredentials) -> None:
    assert credentials.add(HERE, DEV, CERTIFICATE)
    again = replace(CERTIFICATE, id=CredentialId("c9"), label="again")
    assert not credentials.add(HERE, DEV, again)
    assert not credentials.add(HERE, OTHER, again)
    assert credentials.add(HERE, OTHER, replace(again, issuer=b"j" * 32))
    assert credentials.add(THERE, DEV, again)
    assert credentials.of(HERE, DEV) == [CERTIFICATE]
    assert not credentials.add(HERE, DEV, replace(KEY, id=CERTIFICATE.id))


def test_whose_it_is(credentials: SqlCredentials) -> None:
    credentials.add(HERE, DEV, CERTIFICATE)
    credentials.add(HERE, OTHER, KEY)
    assert credentials.holder(HERE, CredentialKind.CERTIFICATE, b"i" * 32, b"k" * 32) == (DEV, CERTIFICATE)
    assert credentials.holder(HERE, CredentialKind.KEY, b"", b"k" * 32) == (OTHER, KEY)
    assert credentials.holder(HERE, CredentialKind.CERTIFICATE, b"j" * 32, b"k" * 32) is None
    assert credentials.holder(HERE, CredentialKind.TOKEN, b"", b"k" * 32) is None
    assert credentials.holder(THERE, CredentialKind.KEY, b"", b"k" * 32) is None


def test_what_is_revoked_stays_refused(shelf: Shelf, credentials: SqlCredentials) -> None:
    credentials.add(HERE, DEV, CERTIFICATE)
    credentials.add(HERE, DEV, TOKEN)
    assert not credentials.is_denied(HERE, CERTIFICATE.digest)
    assert not credentials.revoke(HERE, OTHER, CERTIFICATE.id, later(1))
    assert not credentials.revoke(THERE, DEV, CERTIFICATE.id, later(1))
    assert credentials.revoke(HERE, DEV, CERTIFICATE.id, later(1))
    assert not credentials.revoke(HERE, DEV, CERTIFICATE.id, later(2))
    revoked = replace(CERTIFICATE, revoked_at=later(1))
    assert credentials.of(HERE, DEV) == [TOKEN, revoked]
    assert entered(shelf) == (TOKEN,)
    assert credentials.holder(HERE, CredentialKind.CERTIFICATE, b"i" * 32, b"k" * 32) == (DEV, revoked)
    assert credentials.is_denied(HERE, CERTIFICATE.digest)
    assert not credentials.is_denied(THERE, CERTIFICATE.digest)
    assert not credentials.is_denied(HERE, TOKEN.digest)
    assert not credentials.add(HERE, DEV, replace(CERTIFICATE, id=CredentialId("c9")))


def test_an_end_is_moved(credentials: SqlCredentials) -> None:
    credentials.add(HERE, DEV, CERTIFICATE)
    assert credentials.prolong(HERE, DEV, CERTIFICATE.id, later(500))
    assert credentials.of(HERE, DEV) == [replace(CERTIFICATE, expires_at=later(500))]
    assert not credentials.prolong(HERE, OTHER, CERTIFICATE.id, later(1))
    assert credentials.prolong(HERE, DEV, CERTIFICATE.id, None)
    credentials.revoke(HERE, DEV, CERTIFICATE.id, NOW)
    assert not credentials.prolong(HERE, DEV, CERTIFICATE.id, later(1))


def test_all_of_a_device_are_revoked(shelf: Shelf, credentials: SqlCredentials) -> None:
    for one in (KEY, TOKEN, CERTIFICATE):
        credentials.add(HERE, DEV, one)
    credentials.add(HERE, OTHER, replace(TOKEN, digest=b"o" * 32))
    credentials.revoke(HERE, DEV, TOKEN.id, later(1))
    assert credentials.revoke_all(HERE, DEV, later(2)) == 2
    assert [one.revoked_at for one in credentials.of(HERE, DEV)] == [later(1), later(2), later(2)]
    assert entered(shelf) == ()
    assert len(entered(shelf, OTHER)) == 1


def test_what_has_ended_is_forgotten_but_not_what_was_revoked(credentials: SqlCredentials) -> None:
    for one in (KEY, TOKEN, CERTIFICATE):
        credentials.add(HERE, DEV, one)
    credentials.revoke(HERE, DEV, TOKEN.id, later(1))
    credentials.prune(HERE, OTHER, later(1000))
    credentials.prune(HERE, DEV, later(90))
    assert len(credentials.of(HERE, DEV)) == 3
    credentials.prune(HERE, DEV, later(1000))
    assert credentials.of(HERE, DEV) == [replace(TOKEN, revoked_at=later(1)), KEY]


def test_what_is_good() -> None:
    assert KEY.good(NOW)
    assert TOKEN.good(later(59))
    assert not TOKEN.good(later(60))
    assert not replace(KEY, revoked_at=NOW).good(NOW)
