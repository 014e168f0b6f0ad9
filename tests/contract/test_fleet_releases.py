"""The port `Releases`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest

from otaru.adapters.sql.blob_rows import SqlBlobRows
from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, TenantId, Version
from otaru.domain.release import Artifact, Document, DocumentKind, Release, ReleaseState
from otaru.domain.terms import Terms, UpdateType, requirement
from otaru.domain.versions import VersionOrder, key
from otaru.errors import NotFoundError
from tests.support.fleet import (
    HERE,
    NOW,
    THERE,
    Shelf,
    a_blob,
    a_release,
    later,
    open_shelf,
)

APP, OS = ProductName("app"), ProductName("os")
TWO_PARTS = replace(
    a_release("2.0.0"),
    artifacts=(
        Artifact("app", Hardware("cm", "2"), "ü b.swu", a_blob("b")),
        Artifact("app", Hardware("rpi4"), "a.swu", a_blob("a")),
    ),
    state=ReleaseState.DRAFT,
    published_at=None,
    notes="many\nlines",
)


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        for tenant in (HERE, THERE):
            shelf.tenant(tenant)
            for sign in "abc":
                shelf.blob(tenant, a_blob(sign))
        yield shelf


def test_a_release_comes_back_as_it_was_added(shelf: Shelf) -> None:
    assert shelf.releases.add(HERE, TWO_PARTS)
    assert shelf.releases.get(HERE, APP, Version("2.0.0")) == TWO_PARTS
    assert shelf.releases.get(HERE, APP, Version("2.0.1")) is None
    assert shelf.releases.get(HERE, OS, Version("2.0.0")) is None


def test_a_known_version_changes_nothing(shelf: Shelf) -> None:
    assert shelf.releases.add(HERE, TWO_PARTS)
    assert not shelf.releases.add(HERE, replace(a_release("2.0.0"), notes="other", created_at=later(9)))
    assert shelf.releases.get(HERE, APP, Version("2.0.0")) == TWO_PARTS


def test_save_replaces_what_may_change(shelf: Shelf) -> None:
    shelf.releases.add(HERE, TWO_PARTS)
    shelf.releases.add(HERE, a_release("2.0.1"))
    changed = replace(TWO_PARTS, state=ReleaseState.PUBLISHED, published_at=later(3), notes="", edition=2)
    shelf.releases.save(HERE, changed)
    assert shelf.releases.page(HERE, None, None, 9) == [changed, a_release("2.0.1")]
    with pytest.raises(NotFoundError):
        shelf.releases.save(HERE, replace(changed, version=Version("9")))


def test_the_newest_come_first_by_when_they_were_published(shelf: Shelf) -> None:
    old = replace(a_release("3"), published_at=later(1))
    new = replace(a_release("1", product="os"), created_at=later(2), published_at=later(9))
    twin = replace(new, product=APP)
    withdrawn = replace(a_release("2"), state=ReleaseState.WITHDRAWN, published_at=later(20))
    for release in (old, new, twin, withdrawn, TWO_PARTS):
        shelf.releases.add(HERE, release)
    assert shelf.releases.newest(HERE, [ReleaseState.PUBLISHED], 9) == [twin, new, old]
    assert shelf.releases.newest(HERE, [ReleaseState.PUBLISHED], 2) == [twin, new]
    assert shelf.releases.newest(HERE, [ReleaseState.DRAFT, ReleaseState.WITHDRAWN], 9) == [withdrawn, TWO_PARTS]
    assert shelf.releases.newest(THERE, [ReleaseState.PUBLISHED], 9) == []


def test_products_are_listed_with_their_releases(shelf: Shelf) -> None:
    for release in (a_release("1"), replace(a_release("2"), created_at=later(9)), a_release("1", product="os")):
        shelf.releases.add(HERE, release)
    assert shelf.releases.products(HERE, None, 9) == [(APP, NOW, 2), (OS, NOW, 1)]
    assert shelf.releases.products(HERE, APP, 9) == [(OS, NOW, 1)]
    assert shelf.releases.products(HERE, None, 1) == [(APP, NOW, 2)]


def test_pages_are_complete_and_without_duplicates(shelf: Shelf) -> None:
    releases = [
        replace(a_release(version, product=product), created_at=later(n))
        for n, (product, version) in enumerate((p, v) for p in ("App", "app", "os") for v in ("1.0", "1.10", "1.9"))
    ]
    for release in reversed(releases):
        shelf.releases.add(HERE, release)
    for product, wanted in ((None, releases), (APP, releases[3:6]), (ProductName("x"), [])):
        for limit in (1, 2, 5, 100):
            seen: list[Release] = []
            after = None
            while page := shelf.releases.page(HERE, product, after, limit):
                assert len(page) <= limit
                seen += page
                after = (page[-1].product, page[-1].version)
            assert seen == wanted


def test_the_newest_come_first(shelf: Shelf) -> None:
    made = [("app", "1", 5), ("app", "2", 5), ("app", "10", 9), ("os", "1", 5), ("os", "2", 1)]
    for product, version, seconds in made:
        at = later(seconds)
        for tenant in (HERE, THERE):
            shelf.releases.add(tenant, replace(a_release(version, product=product), created_at=at))
    newest = [("app", "10"), ("os", "1"), ("app", "2"), ("app", "1"), ("os", "2")]
    for name, wanted in ((None, newest), (APP, [n for n in newest if n[0] == "app"]), (ProductName("x"), [])):
        for limit in (1, 2, 9):
            seen: list[tuple[str, str]] = []
            after = None
            while page := shelf.releases.latest(HERE, name, after, limit):
                assert len(page) <= limit
                after = (page[-1].product, page[-1].version)
                seen += [(r.product, r.version) for r in page]
            assert seen == wanted
    assert shelf.releases.latest(HERE, None, (APP, Version("none")), 9) == []
    assert shelf.releases.latest(TenantId("nobody"), None, None, 9) == []


def test_the_newest_release_of_each_product(shelf: Shelf) -> None:
    for product, version, seconds in (
        ("app", "9", 1),
        ("app", "10", 2),
        ("app", "1", 0),
        ("os", "1", 3),
        ("os", "2", 3),
    ):
        shelf.releases.add(HERE, replace(a_release(version, product=product), created_at=later(seconds)))
    shelf.releases.add(THERE, replace(a_release("11"), created_at=later(99)))
    assert {p: r.version for p, r in shelf.releases.latest_of(HERE, [APP, OS, ProductName("x")]).items()} == {
        APP: "10",
        OS: "2",
    }
    assert shelf.releases.latest_of(HERE, [APP])[APP] == shelf.releases.get(HERE, APP, Version("10"))
    assert shelf.releases.latest_of(HERE, []) == {}


def test_a_tenant_sees_and_changes_its_own_releases_only(shelf: Shelf) -> None:
    shelf.releases.add(HERE, TWO_PARTS)
    theirs = replace(a_release("2.0.0"), notes="theirs")
    assert shelf.releases.add(THERE, theirs)
    shelf.releases.save(THERE, replace(theirs, state=ReleaseState.WITHDRAWN))
    assert shelf.releases.page(HERE, None, None, 9) == [TWO_PARTS]
    assert shelf.releases.products(HERE, None, 9) == [(APP, NOW, 1)]
    nobody = TenantId("nobody")
    assert shelf.releases.get(nobody, APP, Version("2.0.0")) is None
    assert shelf.releases.page(nobody, None, None, 9) == []
    assert shelf.releases.products(nobody, None, 9) == []
    with pytest.raises(NotFoundError):
        shelf.releases.save(nobody, TWO_PARTS)


TERMS = Terms(
    type=UpdateType.SECURITY,
    channel="beta",
    support_until=date(2031, 12, 31),
    requires=(requirement("bootloader>=2.1"), requirement("os!=3")),
    floor=Version("1.9"),
    security_floor=3,
)


def test_terms_come_back_with_the_orders_of_what_they_name(shelf: Shelf) -> None:
    release = replace(TWO_PARTS, terms=TERMS, counter=3)
    assert shelf.releases.add(HERE, release)
    assert shelf.releases.get(HERE, APP, Version("2.0.0")) == release
    shelf.releases.add(HERE, a_release("26.04", product="os"))
    shelf.releases.set_order(HERE, OS, VersionOrder.CALENDAR)
    shelf.releases.set_order(HERE, APP, VersionOrder.SEMANTIC)
    known = shelf.releases.get(HERE, APP, Version("2.0.0"))
    assert known == replace(release, order=VersionOrder.SEMANTIC)
    assert [r.order for r in known.terms.requires] == [VersionOrder.AUTO, VersionOrder.CALENDAR]
    assert shelf.releases.orders(HERE, [APP, OS, "bootloader"]) == {APP: "semantic", OS: "calendar"}
    assert shelf.releases.orders(THERE, [APP, OS]) == {}


def test_documents_come_back_and_their_bytes_stay(shelf: Shelf) -> None:
    sbom = Document(DocumentKind.SBOM, "SPDX 2.3", a_blob("c"))
    release = replace(TWO_PARTS, documents=(Document(DocumentKind.PROVENANCE, "in-toto: ü", a_blob("b")), sbom))
    assert shelf.releases.add(HERE, release)
    assert shelf.releases.get(HERE, APP, Version("2.0.0")) == release
    shelf.releases.add(HERE, replace(a_release("3.0.0"), documents=(sbom,)))
    assert [len(r.documents) for r in shelf.releases.page(HERE, None, None, 9)] == [2, 1]
    blobs = SqlBlobRows(shelf.session)
    assert {blob.sha256[0]: releases for blob, _, releases in blobs.page(HERE, None, 9)} == {"a": 2, "b": 2, "c": 2}
    assert not blobs.remove(HERE, sbom.blob.sha256)
    assert blobs.remove(THERE, sbom.blob.sha256)


def test_releases_are_counted_by_state(shelf: Shelf) -> None:
    assert shelf.releases.states(HERE) == {}
    shelf.releases.add(HERE, TWO_PARTS)
    shelf.releases.add(HERE, a_release("3.0.0"))
    shelf.releases.add(THERE, a_release("3.0.0"))
    assert shelf.releases.states(HERE) == {ReleaseState.DRAFT: 1, ReleaseState.PUBLISHED: 1}


def test_the_newest_version_comes_first_in_the_products_order(shelf: Shelf) -> None:
    for version in ("26.04", "1.10", "2025.1", "1.9", "2026.11", "1.10-rc1", "1.10.0"):
        shelf.releases.add(HERE, a_release(version))
        shelf.releases.add(THERE, a_release(version))
    beta = replace(a_release("1", product="os"), terms=Terms(channel="beta", type=UpdateType.SECURITY))
    shelf.releases.add(HERE, beta)
    auto = ["2026.11", "2025.1", "26.04", "1.10.0", "1.10", "1.10-rc1", "1.9"]

    def listed(limit: int, product: ProductName | None = None) -> list[str]:
        seen: list[str] = []
        after = None
        while page := shelf.releases.ranked(HERE, product, after, limit):
            assert len(page) <= limit
            seen += [r.version for r in page]
            after = (page[-1].product, page[-1].version)
        return seen

    for limit in (1, 2, 9):
        assert listed(limit) == [*auto, "1"]
        assert listed(limit, APP) == auto
    for release in ("1.10", "1.9", "1.10-rc1", "1.10.0"):
        assert Version(release) in shelf.releases.versions(HERE, APP)
    assert shelf.releases.ranked(HERE, None, None, 9, "beta") == [beta]
    assert shelf.releases.ranked(HERE, None, None, 9, "beta", UpdateType.SECURITY) == [beta]
    assert shelf.releases.ranked(HERE, APP, None, 9, None, UpdateType.SECURITY) == []
    assert shelf.releases.ranked(HERE, None, (APP, Version("none")), 9) == []
    assert shelf.releases.ranked(TenantId("nobody"), None, None, 9) == []


def test_another_order_gives_other_places(shelf: Shelf) -> None:
    for version in ("26.05", "2026.04"):
        shelf.releases.add(HERE, a_release(version))
        shelf.releases.add(THERE, a_release(version))
    shelf.releases.set_order(HERE, APP, VersionOrder.CALENDAR)
    assert [r.version for r in shelf.releases.ranked(HERE, APP, None, 9)] == ["26.05", "2026.04"]
    assert [r.version for r in shelf.releases.ranked(THERE, APP, None, 9)] == ["2026.04", "26.05"]


def test_burns_are_found_up_to_a_place(shelf: Shelf) -> None:
    for version, burn in (("1.0", 2), ("1.2", None), ("1.10", 5), ("2.0", None)):
        shelf.releases.add(HERE, replace(a_release(version), terms=Terms(security_floor=burn)))

    def burnt(version: str, component: str = "app", tenant: TenantId = HERE) -> int:
        return shelf.releases.burnt_before(tenant, APP, component, key(VersionOrder.AUTO, Version(version)))

    assert [burnt(v) for v in ("0.9", "1.0", "1.3", "1.10", "3")] == [0, 2, 2, 5, 5]
    assert burnt("3", "os") == burnt("3", tenant=THERE) == 0
