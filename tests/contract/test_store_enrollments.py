"""The port `Enrollments`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.enrollments import SqlEnrollments
from otaru.adapters.sql.session import Session
from otaru.domain.device import Hardware
from otaru.domain.enrollment import Approval, Enrolled, Enrollment, EnrollmentId
from otaru.domain.ids import DeviceId
from otaru.ports.store import Claim, Dispute, GrantKey
from tests.support.stores import ACME, NOW, RIVAL, later

TOKEN = Claim(b"t" * 32)
CERTIFICATE = Claim(b"c" * 32, b"i" * 32)


def claim(name: str = "1", quota: int = 2, *, by_certificate: bool = False, listed: bool = False) -> Enrollment:
    return Enrollment(
        EnrollmentId(name),
        f"line {name}",
        quota,
        NOW,
        later(60),
        Approval.MANUAL,
        Hardware("rpi4", "b"),
        frozenset({"lab", "line-3"}),
        by_certificate,
        listed,
    )


@pytest.fixture
def enrollments(database: str) -> Iterator[SqlEnrollments]:
    engine = open_writer(database)
    with engine.connect() as connection:
        yield SqlEnrollments(Session(connection))
    engine.dispose()


def test_a_claim_comes_back_as_it_was_made(enrollments: SqlEnrollments) -> None:
    bare = replace(claim("2"), hardware=None, tags=frozenset(), approval=Approval.AUTO, listed=True)
    assert enrollments.add(ACME, claim(), TOKEN)
    assert enrollments.add(ACME, bare, Claim(b"u" * 32))
    assert enrollments.get(ACME, EnrollmentId("1")) == claim()
    assert enrollments.get(ACME, EnrollmentId("2")) == bare
    assert enrollments.get(RIVAL, EnrollmentId("1")) is None
    assert enrollments.every_by_token(TOKEN.digest) == (ACME, claim())
    assert enrollments.every_by_token(b"x" * 32) is None


def test_pages_by_id_either_way(enrollments: SqlEnrollments) -> None:
    for name in "132":
        enrollments.add(ACME, claim(name), Claim(name.encode() * 32))
    enrollments.add(RIVAL, claim("9"), Claim(b"9" * 32))
    assert [e.id for e in enrollments.page(ACME, None, 2)] == ["1", "2"]
    assert [e.id for e in enrollments.page(ACME, EnrollmentId("2"), 2)] == ["3"]
    assert [e.id for e in enrollments.page(ACME, None, 2, newest=True)] == ["3", "2"]
    assert [e.id for e in enrollments.page(ACME, EnrollmentId("2"), 2, newest=True)] == ["1"]


def test_a_certificate_opens_one_claim_of_each_tenant_at_a_time(enrollments: SqlEnrollments) -> None:
    first, second = claim("1", by_certificate=True), claim("2", by_certificate=True)
    assert enrollments.add(ACME, first, CERTIFICATE)
    assert not enrollments.add(ACME, second, CERTIFICATE)
    assert enrollments.add(RIVAL, second, CERTIFICATE)
    assert enrollments.by_certificate(ACME, CERTIFICATE) == first
    assert enrollments.by_certificate(RIVAL, CERTIFICATE) == second
    assert enrollments.by_certificate(ACME, Claim(CERTIFICATE.digest, b"j" * 32)) is None
    assert enrollments.every_by_token(CERTIFICATE.digest) is None
    assert enrollments.revoke(ACME, first.id, later(1))
    assert enrollments.by_certificate(ACME, CERTIFICATE) == replace(first, revoked_at=later(1))
    assert enrollments.add(ACME, second, CERTIFICATE)
    assert enrollments.by_certificate(ACME, CERTIFICATE) == second


def test_a_token_is_no_certificate(enrollments: SqlEnrollments) -> None:
    enrollments.add(ACME, claim(), TOKEN)
    assert enrollments.by_certificate(ACME, TOKEN) is None


def test_it_is_revoked_once(enrollments: SqlEnrollments) -> None:
    enrollments.add(ACME, claim(), TOKEN)
    assert not enrollments.revoke(RIVAL, EnrollmentId("1"), later(1))
    assert enrollments.revoke(ACME, EnrollmentId("1"), later(1))
    assert not enrollments.revoke(ACME, EnrollmentId("1"), later(2))
    assert enrollments.every_by_token(TOKEN.digest) == (ACME, replace(claim(), revoked_at=later(1)))


def test_the_quota_is_not_overrun(enrollments: SqlEnrollments) -> None:
    enrollments.add(ACME, claim(quota=2), TOKEN)
    assert not enrollments.use(RIVAL, EnrollmentId("1"))
    assert [enrollments.use(ACME, EnrollmentId("1")) for _ in range(4)] == [True, True, False, False]
    assert enrollments.get(ACME, EnrollmentId("1")) == replace(claim(quota=2), used=2)


def test_serials_are_listed_once_each(enrollments: SqlEnrollments) -> None:
    enrollments.add(ACME, claim(listed=True), TOKEN)
    name, (a, b, c) = EnrollmentId("1"), map(DeviceId, "abc")
    assert enrollments.list_serials(ACME, name, [b, a, b]) == 2
    assert enrollments.list_serials(ACME, name, [c, a]) == 1
    assert enrollments.list_serials(ACME, name, []) == 0
    assert enrollments.get(ACME, name) == replace(claim(listed=True), serials=3)
    assert enrollments.is_listed(ACME, name, c)
    assert not enrollments.is_listed(ACME, name, DeviceId("d"))
    assert not enrollments.is_listed(ACME, EnrollmentId("2"), a)
    assert not enrollments.is_listed(RIVAL, name, a)


def test_who_came_by_what(enrollments: SqlEnrollments) -> None:
    came = Enrolled(DeviceId("d"), EnrollmentId("1"), b"k" * 32, NOW)
    bare = Enrolled(DeviceId("e"), EnrollmentId("1"), b"", NOW)
    enrollments.enrol(ACME, came)
    enrollments.enrol(ACME, bare)
    assert enrollments.enrolled(ACME, [came.device, bare.device, DeviceId("f")]) == {"d": came, "e": bare}
    assert enrollments.enrolled(RIVAL, [came.device]) == {}
    assert enrollments.enrolled(ACME, []) == {}


def test_disputes_of_a_device_lie_apart(enrollments: SqlEnrollments) -> None:
    first = Dispute(DeviceId("d"), b"k" * 32, NOW)
    assert enrollments.dispute(ACME, first, later(-10))
    assert not enrollments.dispute(ACME, replace(first, key=b"", at=later(5)), later(-5))
    assert enrollments.disputes(ACME, 10) == [first]
    again = replace(first, key=b"", at=later(20))
    assert enrollments.dispute(ACME, again, later(10))
    assert enrollments.dispute(ACME, replace(first, device=DeviceId("c")), later(-10))
    assert enrollments.disputes(ACME, 10) == [again, replace(first, device=DeviceId("c"))]
    assert enrollments.disputes(ACME, 1) == [again]
    assert enrollments.disputes(RIVAL, 10) == []


def test_what_was_signed_is_used_once_and_forgotten(enrollments: SqlEnrollments) -> None:
    assert enrollments.spend(ACME, b"p" * 32, later(10))
    assert not enrollments.spend(ACME, b"p" * 32, later(10))
    assert enrollments.spend(RIVAL, b"p" * 32, later(10))
    enrollments.dispute(ACME, Dispute(DeviceId("old"), b"", later(-100)), later(-200))
    enrollments.dispute(ACME, Dispute(DeviceId("new"), b"", NOW), later(-200))
    enrollments.prune(later(10), later(-50), NOW)
    assert not enrollments.spend(ACME, b"p" * 32, later(10))
    assert [d.device for d in enrollments.disputes(ACME, 10)] == ["new"]
    enrollments.prune(later(11), later(-50), NOW)
    assert enrollments.spend(ACME, b"p" * 32, later(20))


def test_keys_of_tokens_newest_first(enrollments: SqlEnrollments) -> None:
    old, new = GrantKey("a" * 64, b"o" * 32, NOW), GrantKey("b" * 64, b"n" * 32, later(1))
    enrollments.add_grant_key(ACME, old)
    enrollments.add_grant_key(ACME, new)
    assert enrollments.grant_keys(ACME) == [new, old]
    assert enrollments.grant_keys(RIVAL) == []
    enrollments.prune(NOW, NOW, NOW)
    assert enrollments.grant_keys(ACME) == [new, old]
    enrollments.prune(NOW, NOW, later(1))
    assert enrollments.grant_keys(ACME) == [new]
