"""Names of roles and targets."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.metadata import DelegatedRole

from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, Version
from otaru.domain.release import Artifact, Blob, Document, DocumentKind, Release, ReleaseState
from otaru.domain.terms import Terms
from otaru.errors import InvalidInputError, RoleNameError
from otaru.trust.tuf.files import files_of, files_of_all
from otaru.trust.tuf.names import address, path_of, patterns, product_of, role_of, target_at
from tests.support.keys import APP, NOW

PRODUCTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True).map(ProductName)
CHANNELS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}", fullmatch=True)
VERSIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,20}", fullmatch=True).map(Version)
FILES = st.text(min_size=1, max_size=40).filter(lambda t: "/" not in t)


@settings(deadline=None)
@given(PRODUCTS, CHANNELS, PRODUCTS, CHANNELS)
def test_a_role_is_of_one_product_and_channel(p: ProductName, c: str, other: ProductName, d: str) -> None:
    assert product_of(role_of(p, c)) == (p, c)
    assert (role_of(p, c) == role_of(other, d)) == ((p, c) == (other, d))
    assert quote(role_of(p, c), safe="") == role_of(p, c)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_what_is_no_role_is_refused(text: str) -> None:
    for name in (text, f"product.{text}", f"product.{text}.stable", f"product.app.{text}"):
        try:
            product, channel = product_of(name)
        except RoleNameError:
            continue
        assert role_of(product, channel) == name
        assert not set(name) & set("/\\\0 %")


@pytest.mark.parametrize("channel", ["", "a.b", "A", "a/b", "..", "a b", "a" * 33, "é"])
def test_channels(channel: str) -> None:
    with pytest.raises(RoleNameError):
        role_of(ProductName("app"), channel)


@settings(deadline=None)
@given(PRODUCTS, CHANNELS, VERSIONS, FILES, st.sampled_from(["", "deadbeef"]), PRODUCTS, CHANNELS)
def test_a_path_is_its_role_s_own_and_needs_no_quoting(
    p: ProductName, c: str, v: Version, name: str, apart: str, other: ProductName, d: str
) -> None:
    path = path_of(role_of(p, c), v, name, apart)
    assert quote(path, safe="/+:~") == path
    for role in {role_of(p, c), role_of(other, d)}:
        mine = DelegatedRole(role, [], 1, terminating=True, paths=patterns(role)).is_delegated_path(path)
        assert mine == (role == role_of(p, c))
    digest = "ab" * 32
    assert target_at(address(path, digest)) == (path, digest)


@pytest.mark.parametrize("asked", ["", "x", "a/b", f"{'a' * 64}.x", f"p/{'A' * 64}.x", f"p/{'a' * 64}.", "p/.."])
def test_what_names_no_target(asked: str) -> None:
    assert target_at(asked) is None


def blob(sign: str) -> Blob:
    return Blob(sign * 64, "", "", 7)  # type: ignore[arg-type]


def release(*artifacts: Artifact) -> Release:
    return Release(ProductName("app"), Version("1.0"), ReleaseState.PUBLISHED, artifacts, NOW)


def test_files_of_a_release() -> None:
    made = release(
        Artifact("os", Hardware("b"), "fw ü.swu", blob("a")),
        Artifact("os", Hardware("a", "2"), "fw ü.swu", blob("a")),
        Artifact("os", Hardware("c"), "other.bin", blob("c")),
    )
    found = files_of(APP, made)
    assert list(found) == ["app/stable/1.0/fw__.swu", "app/stable/1.0/other.bin"]
    file = found["app/stable/1.0/fw__.swu"]
    assert (file.length, file.hashes) == (7, {"sha256": "a" * 64})
    assert file.custom == {
        "component": "os",
        "hardwareIds": ["a:2", "b"],
        "installer": "swupdate",
        "releaseCounter": 0,
        "version": "1.0",
    }


def test_files_of_one_name_stand_apart() -> None:
    parts = [Artifact("os", Hardware(sign), "fw", blob(sign)) for sign in "ab"]
    assert list(files_of(APP, release(*parts))) == [f"app/stable/1.0/{s * 16}/fw" for s in "ab"]
    other = replace(release(parts[0]), version=Version("0.9"))
    assert list(files_of_all(APP, [release(parts[0]), other])) == ["app/stable/0.9/fw", "app/stable/1.0/fw"]


def of_lts(**facts: Any) -> Release:
    artifact = Artifact("os", Hardware("a"), "fw", blob("a"))
    return replace(release(artifact), terms=Terms(channel="lts"), counter=7, **facts)


def test_a_target_says_its_release_s_counter_and_stands_in_its_channel() -> None:
    assert of_lts().signing_channel == "lts"
    ((path, file),) = files_of(role_of(ProductName("app"), "lts"), of_lts()).items()
    assert path == "app/lts/1.0/fw"
    assert file.custom["releaseCounter"] == 7


def test_what_was_published_before_channels_is_listed_as_it_was() -> None:
    assert of_lts(listed_plainly=True).signing_channel == "stable"
    before = files_of(APP, release(*of_lts().artifacts))
    assert files_of(APP, of_lts(listed_plainly=True)) == before


def test_a_target_names_the_documents_of_its_release() -> None:
    documents = (
        Document(DocumentKind.PROVENANCE, "in-toto: x", blob("b")),
        Document(DocumentKind.SBOM, "SPDX 2.3", blob("c")),
    )
    (file,) = files_of(APP, of_lts(documents=documents)).values()
    assert (file.custom["provenance"], file.custom["sbom"]) == ("b" * 64, "c" * 64)


def test_a_product_s_name_is_checked() -> None:
    with pytest.raises(InvalidInputError):
        product_of("product..stable")
