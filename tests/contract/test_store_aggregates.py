"""Tenants, tokens, blobs and remembered answers, on both engines; tenants never meet."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from otaru.adapters.sql.engine import open_reader, open_writer
from otaru.adapters.sql.tx import SqlTx
from otaru.domain.access import Role
from otaru.domain.backup import Backup
from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, ProductName, Sha256, TenantId, TokenId, Version
from otaru.domain.release import Artifact, Blob, Release, ReleaseState
from otaru.domain.tenant import GIB, Tenant, TenantSettings
from otaru.domain.token import Token, TokenKind
from otaru.ports.store import Tx
from tests.support.stores import ACME, NOW, RIVAL, later


@pytest.fixture
def tx(database: str) -> Iterator[Tx]:
    engine = open_writer(database)
    with engine.connect() as connection, connection.begin():
        yield SqlTx(connection, 0)
    engine.dispose()


SETTINGS = TenantSettings(
    polling=timedelta(hours=1, seconds=5),
    self_registration=True,
    gateway_token_hash=bytes(range(32)),
    download_anonymous=True,
    chunk_parts={"nrf52": "bApp", "ünï code": "x"},
    max_artifact=1,
    quota=900 * GIB,
)


def test_a_tenant_comes_back_as_it_was_kept(tx: Tx) -> None:
    for tenant in (
        Tenant(ACME, NOW),
        Tenant(RIVAL, later(0.000001), SETTINGS, halted=True, halt_reason="why not? 'q' \\", edition=7),
    ):
        assert tx.tenants.get(tenant.id) is None
        assert tx.tenants.add(tenant)
        assert tx.tenants.get(tenant.id) == tenant
    assert [tenant.id for tenant in tx.tenants.every_tenant()] == [ACME, RIVAL]


def test_a_tenant_is_added_once_and_saved_alone(tx: Tx) -> None:
    first, second = Tenant(ACME, NOW), Tenant(RIVAL, NOW)
    assert tx.tenants.add(first)
    assert tx.tenants.add(second)
    assert not tx.tenants.add(replace(first, edition=9))
    assert tx.tenants.get(ACME) == first
    changed = replace(first, settings=SETTINGS, halted=True, halt_reason="smoke", edition=2)
    tx.tenants.save(changed)
    assert tx.tenants.get(ACME) == changed
    assert tx.tenants.get(RIVAL) == second


def test_settings_of_another_version_are_read_with_defaults(tx: Tx) -> None:
    assert isinstance(tx, SqlTx)
    tx.tenants.add(Tenant(ACME, NOW))
    sql = """UPDATE tenant SET settings = '{"polling":"PT60S","from_the_future":[1]}'"""
    tx.record.session.connection.exec_driver_sql(sql)
    tenant = tx.tenants.get(ACME)
    assert tenant is not None
    assert tenant.settings == TenantSettings(polling=timedelta(minutes=1))


def token(name: str, **changes: object) -> Token:
    made = Token(ACME, TokenId(name), TokenKind.API, Role.OPERATOR, f"label of {name}", NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_token_is_found_by_its_digest(tx: Tx) -> None:
    full = token("b", role=Role.ADMIN, kind=TokenKind.LOGIN, expires_at=later(60), revoked_at=later(1))
    tx.tokens.add(token("a"), b"digest a")
    tx.tokens.add(full, b"digest b")
    assert tx.tokens.every_by_hash(b"digest b") == full
    assert tx.tokens.every_by_hash(b"digest c") is None
    assert tx.tokens.get(ACME, TokenId("a")) == token("a")
    assert tx.tokens.get(RIVAL, TokenId("a")) is None


def test_of_two_who_revoke_one_does(tx: Tx) -> None:
    tx.tokens.add(token("a"), b"1")
    tx.tokens.add(token("b"), b"2")
    assert not tx.tokens.revoke(RIVAL, TokenId("a"), later(1))
    assert tx.tokens.revoke(ACME, TokenId("a"), later(1))
    assert not tx.tokens.revoke(ACME, TokenId("a"), later(2))
    assert not tx.tokens.revoke(ACME, TokenId("c"), later(2))
    found = tx.tokens.every_by_hash(b"1")
    assert found is not None
    assert found.revoked_at == later(1)
    assert tx.tokens.get(ACME, TokenId("b")) == token("b")


def test_pages_of_tokens_hold_api_tokens_of_one_tenant(tx: Tx) -> None:
    for n in range(7):
        tx.tokens.add(token(f"t{n}"), b"a%d" % n)
    tx.tokens.add(token("t3s", kind=TokenKind.SESSION), b"s")
    tx.tokens.add(token("t3r", tenant=RIVAL), b"r")
    seen: list[str] = []
    after: TokenId | None = None
    while page := tx.tokens.page(ACME, after, 3):
        assert len(page) <= 3
        seen += [one.id for one in page]
        after = page[-1].id
    assert seen == [f"t{n}" for n in range(7)]


def blob(digit: str, size: int = 10) -> Blob:
    return Blob(Sha256(digit * 64), digit * 40, digit * 32, size)


def test_bytes_belong_to_each_tenant_that_has_them(tx: Tx) -> None:
    assert tx.blobs.used(ACME) == 0
    assert tx.blobs.add(ACME, blob("a", 5 * GIB), NOW)
    assert not tx.blobs.add(ACME, blob("a", 5 * GIB), later(1))
    assert tx.blobs.add(ACME, blob("b", 7), NOW)
    assert tx.blobs.add(RIVAL, blob("a", 5 * GIB), later(2))
    assert tx.blobs.used(ACME) == 5 * GIB + 7
    assert tx.blobs.used(RIVAL) == 5 * GIB
    assert tx.blobs.get(ACME, blob("a").sha256) == (blob("a", 5 * GIB), NOW)
    assert tx.blobs.get(RIVAL, blob("b").sha256) is None
    asked = [Sha256(f"{n:064x}") for n in range(1500)] + [blob("a").sha256, blob("b").sha256]
    assert tx.blobs.every_known(asked) == {blob("a").sha256, blob("b").sha256}
    assert tx.blobs.every_known([]) == set()


def release(tenant_blob: Blob, version: str, *hardware: str) -> Release:
    artifacts = tuple(Artifact("app", Hardware(model), "f.bin", tenant_blob) for model in hardware)
    return Release(ProductName("app"), Version(version), ReleaseState.DRAFT, artifacts, NOW)


def test_bytes_in_a_release_stay(tx: Tx) -> None:
    for tenant in (ACME, RIVAL):
        for digit in "abc":
            tx.blobs.add(tenant, blob(digit), NOW)
    tx.releases.add(ACME, release(blob("b"), "1", "x", "y"))
    tx.releases.add(ACME, release(blob("b"), "2", "x"))
    assert [(one.sha256[0], count) for one, _, count in tx.blobs.page(ACME, None, 10)] == [("a", 0), ("b", 2), ("c", 0)]
    assert [count for _, _, count in tx.blobs.page(RIVAL, None, 10)] == [0, 0, 0]
    assert [one.sha256[0] for one, _, _ in tx.blobs.page(ACME, blob("a").sha256, 1)] == ["b"]
    assert not tx.blobs.remove(ACME, blob("b").sha256)
    assert not tx.blobs.remove(ACME, blob("d").sha256)
    assert tx.blobs.remove(ACME, blob("a").sha256)
    assert not tx.blobs.remove(ACME, blob("a").sha256)
    assert tx.blobs.remove(RIVAL, blob("b").sha256)
    assert tx.blobs.get(RIVAL, blob("a").sha256) is not None
    assert tx.blobs.get(ACME, blob("b").sha256) is not None


def test_bytes_go_when_nobody_names_them_any_more(tx: Tx) -> None:
    device, whole = DeviceId("dev-1"), later(1)
    for digit in "abcdef":
        tx.blobs.add(ACME, blob(digit), NOW, uploaded=digit == "a")
        tx.blobs.add(RIVAL, blob(digit), NOW, uploaded=False)
    tx.blobs.claim(ACME, blob("b").sha256)
    tx.releases.add(ACME, release(blob("c"), "1", "x"))
    tx.backups.put(ACME, Backup(device, blob("d").sha256, "1", 10, "u", NOW, whole))
    tx.blobs.add(ACME, blob("e"), NOW)  # it changes nothing: who uploads claims
    assert [digit for digit in "abcdefg" if tx.blobs.drop(ACME, blob(digit).sha256)] == ["e", "f"]
    assert [digit for digit in "abcdef" if tx.blobs.drop(RIVAL, blob(digit).sha256)] == list("abcdef")
    tx.backups.remove(ACME, device, blob("d").sha256)
    assert tx.blobs.drop(ACME, blob("d").sha256)
    assert tx.blobs.remove(ACME, blob("a").sha256), "somebody says so"


def test_an_upload_belongs_to_its_tenant(tx: Tx) -> None:
    tx.blobs.begin_upload(ACME, "u1", 6 * GIB, "fïle.swu", NOW)
    assert tx.blobs.upload(ACME, "u1") == (6 * GIB, "fïle.swu", None)
    assert tx.blobs.upload(RIVAL, "u1") is None
    tx.blobs.end_upload(RIVAL, "u1")
    assert tx.blobs.upload(ACME, "u1") is not None
    tx.blobs.end_upload(ACME, "u1")
    assert tx.blobs.upload(ACME, "u1") is None
    tx.blobs.end_upload(ACME, "u1")


def test_an_upload_keeps_the_size_that_was_announced(tx: Tx) -> None:
    tx.blobs.begin_upload(ACME, "sized", 6 * GIB, "a", NOW, 5 * GIB)
    tx.blobs.begin_upload(ACME, "empty", 0, "b", NOW, 0)
    assert tx.blobs.upload(ACME, "sized") == (6 * GIB, "a", 5 * GIB)
    assert tx.blobs.upload(ACME, "empty") == (0, "b", 0)


def test_uploads_that_were_begun_long_ago_are_forgotten(tx: Tx) -> None:
    tx.blobs.begin_upload(ACME, "old", GIB, "a", NOW)
    tx.blobs.begin_upload(RIVAL, "young", GIB, "b", later(5))
    assert tx.blobs.prune_uploads(later(1)) == 1
    assert tx.blobs.upload(ACME, "old") is None
    assert tx.blobs.upload(RIVAL, "young") is not None


def test_an_answer_is_remembered_for_its_token(tx: Tx) -> None:
    one, other = TokenId("one"), TokenId("other")
    body = bytes(range(256))
    tx.idempotency.add(ACME, one, "key", b"digest", 201, body, NOW)
    tx.idempotency.add(ACME, other, "key", b"digest 2", 200, b"", later(10))
    assert tx.idempotency.get(ACME, one, "key") == (b"digest", 201, body)
    assert tx.idempotency.get(ACME, other, "key") == (b"digest 2", 200, b"")
    assert tx.idempotency.get(RIVAL, one, "key") is None
    assert tx.idempotency.get(ACME, one, "KEY") is None
    assert tx.idempotency.prune(later(5)) == 1
    assert tx.idempotency.prune(later(5)) == 0
    assert tx.idempotency.get(ACME, one, "key") is None
    assert tx.idempotency.get(ACME, other, "key") is not None


def test_an_answer_is_remembered_once(tx: Tx) -> None:
    tx.idempotency.add(ACME, TokenId("one"), "key", b"digest", 201, b"", NOW)
    with pytest.raises(IntegrityError):
        tx.idempotency.add(ACME, TokenId("one"), "key", b"another", 201, b"", NOW)


def test_names_that_look_like_sql_are_names(tx: Tx) -> None:
    odd = TenantId("a' OR '1'='1")
    tx.tenants.add(Tenant(ACME, NOW))
    tx.tokens.add(token("a"), b"1")
    assert tx.tenants.get(odd) is None
    assert tx.tokens.page(odd, None, 10) == []
    assert tx.tokens.get(ACME, TokenId("' OR ''='")) is None
    assert tx.tenants.add(Tenant(odd, NOW))
    assert tx.tenants.get(odd) == Tenant(odd, NOW)


def test_a_readers_engine_refuses_changes(database: str) -> None:
    engine = open_reader(database)
    with engine.connect() as connection, connection.begin(), pytest.raises(Exception, match=r"(?i)read.?only"):
        SqlTx(connection, 0).tenants.add(Tenant(ACME, NOW))
    engine.dispose()
