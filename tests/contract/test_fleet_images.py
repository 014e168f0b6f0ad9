"""The ports `Inspections` and `Anchors`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql.anchors import SqlAnchors
from otaru.adapters.sql.blob_rows import SqlBlobRows
from otaru.adapters.sql.inspections import SqlInspections
from otaru.domain.ids import Sha256
from otaru.images.facts import Facts, Format, Payload, Signature, Verdict
from otaru.ports.store import Anchor, Inspection
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_blob, later, open_shelf

A, B = Sha256("a" * 64), Sha256("b" * 64)
FACTS = Facts(
    Format.SWU,
    product="gerät",
    version="1.1.0",
    hardware=("1.0", "1.2"),
    payloads=(Payload("root.img", 9, "c" * 64, "images", verified=True),),
    signatures=(Signature("CMS", Verdict.VALID, "sw-description", signer="CN=ü"),),
    warnings=("beware",),
    production=False,
)
READ = Inspection(FACTS, None, 1, NOW)
BROKEN = Inspection(None, "the file ends within the header", 1, NOW)


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        for tenant in (HERE, THERE):
            shelf.tenant(tenant)
        for sign in "ab":
            shelf.blob(HERE, a_blob(sign))
        shelf.blob(THERE, a_blob("a"))
        yield shelf


def test_what_was_found_comes_back_whole_and_is_the_tenants_own(shelf: Shelf) -> None:
    inspections = SqlInspections(shelf.session)
    inspections.put(HERE, A, READ)
    inspections.put(HERE, B, BROKEN)
    assert inspections.of(HERE, [A, B, Sha256("c" * 64)]) == {A: READ, B: BROKEN}
    assert inspections.of(THERE, [A]) == {}
    again = replace(READ, facts=replace(FACTS, version="2"), reader=2, at=later(9))
    inspections.put(HERE, A, again)
    assert inspections.of(HERE, [A]) == {A: again}


def test_nothing_is_kept_of_bytes_that_are_not_there_and_it_goes_with_them(shelf: Shelf) -> None:
    inspections, blobs = SqlInspections(shelf.session), SqlBlobRows(shelf.session)
    inspections.put(THERE, B, READ)
    assert inspections.of(THERE, [B]) == {}
    for tenant in (HERE, THERE):
        inspections.put(tenant, A, READ)
    assert blobs.remove(HERE, A)
    assert inspections.of(HERE, [A]) == {}
    assert inspections.of(THERE, [A]) == {A: READ}


def test_a_format_is_expired_for_one_tenant(shelf: Shelf) -> None:
    inspections = SqlInspections(shelf.session)
    for tenant in (HERE, THERE):
        inspections.put(tenant, A, READ)
    inspections.put(HERE, B, BROKEN)
    inspections.expire(HERE, Format.RAUC)
    assert inspections.every_stale(9) == []
    inspections.expire(HERE, Format.SWU)
    assert inspections.every_stale(9) == [(HERE, A)]
    assert inspections.of(HERE, [A])[A] == replace(READ, stale=True)
    inspections.put(HERE, A, READ)
    assert inspections.every_stale(9) == []


def test_anchors_are_added_listed_and_removed(shelf: Shelf) -> None:
    anchors = SqlAnchors(shelf.session)
    one = Anchor(Format.SWU, "1" * 64, "-----BEGIN", "CN=ü", later(60), later(1))
    two = Anchor(Format.SWU, "0" * 64, "-----BEGIN", "Ed25519", None, later(2))
    three = Anchor(Format.RAUC, "1" * 64, "-----BEGIN", "CN=ü", None, later(3))
    for anchor in (two, one, three):
        assert anchors.add(HERE, anchor)
    assert not anchors.add(HERE, replace(one, name="other"))
    assert anchors.of(HERE) == [three, one, two]
    assert anchors.of(HERE, Format.SWU) == [one, two]
    assert anchors.of(THERE) == []
    assert not anchors.remove(THERE, Format.SWU, one.id)
    assert anchors.remove(HERE, Format.SWU, one.id)
    assert not anchors.remove(HERE, Format.SWU, one.id)
    assert anchors.of(HERE) == [three, two]
