"""What enters a repository, and what is refused with which code. Names of attacks are those of Uptane and TUF."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.metadata import Metadata, Role, SuccinctRoles, Targets

from otaru import errors
from otaru.trust.tuf import changes
from otaru.trust.tuf.metadata import MAX_SIZE, read
from otaru.trust.tuf.names import ROOT, TARGETS
from otaru.trust.tuf.repository import (
    Missing,
    Repository,
    admit,
    delegations,
    missing,
    snapshot_of,
    timestamp_of,
    what_is_due,
)
from tests.support.keys import (
    APP,
    NOW,
    ROOTS,
    TARGETERS,
    a_file,
    all_by,
    begun,
    by,
    first,
    public,
    some,
)

FW = "app/stable/1.0/fw.bin"


def released() -> Repository:
    offered = changes.with_files(begun(), APP, a_file(FW), NOW)
    return admit(begun(), all_by(offered, "alice"), NOW)


def online(repository: Repository) -> Repository:
    files = {role: repository.of(role).to_bytes() for role in ("targets", *repository.delegated)}  # type: ignore[union-attr]
    snapshot = by(snapshot_of(repository, files, NOW), "online")
    timestamp = by(timestamp_of(repository, snapshot, snapshot.to_bytes(), NOW), "online")
    return Repository(repository.root, repository.targets, repository.delegated, snapshot, timestamp)


def test_a_ceremony_begins_a_repository() -> None:
    repository = released()
    assert repository.root.signed.version == 1
    assert repository.targets is not None
    assert repository.targets.signed.version == 2
    assert repository.roles == ["root", "targets", "snapshot", "timestamp", APP]
    assert list(repository.delegated[APP].signed.targets) == [FW]
    assert delegations(repository.targets)[APP].threshold == 1


def test_a_repository_begins_with_root_and_targets() -> None:
    for role in (ROOT, TARGETS):
        with pytest.raises(errors.MetadataFormError):
            admit(None, {role: by(first()[role], *ROOTS, *TARGETERS)}, NOW)


def refused(offered: dict[str, Metadata[Any]], known: Repository | None = None) -> errors.MetadataError:
    known = begun() if known is None else known
    before = deepcopy(known)
    with pytest.raises(errors.MetadataError) as caught:
        admit(known, offered, NOW)
    assert known == before
    return caught.value


def files(*names: str) -> dict[str, Metadata[Any]]:
    return all_by(changes.with_files(begun(), APP, a_file(FW), NOW), *names)


def test_arbitrary_software_unsigned() -> None:
    assert refused(files()).code == "metadata_unsigned"


def test_arbitrary_software_wrong_key() -> None:
    assert refused(files("mallory", "root-1", "online")).code == "metadata_signature"


def test_arbitrary_software_changed_after_signing() -> None:
    offered = files("alice")
    offered[APP].signed.targets = a_file(FW, b"evil")
    assert refused(offered).code == "metadata_signature"


def test_threshold_short() -> None:
    offered = changes.delegate(begun(), APP, some(["alice", "eve"], 2), NOW)
    error = refused(all_by(offered, TARGETERS[0]))
    assert (error.code, error.facts["signed"], error.facts["threshold"]) == ("metadata_threshold", 1, 2)


def test_threshold_bypass_by_one_key_under_two_ids() -> None:
    offered = changes.delegate(begun(), APP, some(["alice", "bob"], 2), NOW)
    told = offered[TARGETS].signed.delegations
    alias = deepcopy(public("alice"))
    alias.keyid = "00" * 32
    told.keys = {key.keyid: key for key in (public("alice"), alias)}
    told.roles[APP].keyids = list(told.keys)
    assert refused(all_by(offered, *TARGETERS)).code == "metadata_form"


def test_threshold_bypass_by_the_same_id_twice() -> None:
    told = changes.delegate(begun(), APP, some(["alice"]), NOW)[TARGETS].to_dict()
    told["signed"]["delegations"]["roles"][0]["keyids"] *= 2
    with pytest.raises(errors.MetadataFormError):
        read(TARGETS, json.dumps(told).encode())


def test_threshold_bypass_by_two_signatures_of_one_key() -> None:
    told = files("alice")[APP].to_dict()
    told["signatures"] *= 2
    with pytest.raises(errors.MetadataFormError):
        read(APP, json.dumps(told).encode())


def test_more_signatures_needed_than_there_are_keys() -> None:
    with pytest.raises(errors.MetadataThresholdError):
        changes.delegate(begun(), APP, some(["alice"], 2), NOW)
    offered = changes.delegate(begun(), APP, some(["alice"]), NOW)
    offered[TARGETS].signed.delegations.roles[APP].threshold = 2
    assert refused(all_by(offered, *TARGETERS)).code == "metadata_threshold"


def test_freeze_expired() -> None:
    offered = files()
    offered[APP].signed.expires = NOW.replace(microsecond=0)
    assert refused(all_by(offered, "alice")).code == "metadata_expired"


@pytest.mark.parametrize("version", [1, 3, 2**40])
def test_rollback_and_fast_forward(version: int) -> None:
    known = released()
    offered = changes.with_files(known, APP, a_file(FW), NOW)
    offered[APP].signed.version = version
    assert refused(all_by(offered, "alice"), known).code == "metadata_version"


def test_a_replayed_offer_is_of_an_old_version() -> None:
    assert refused(files("alice"), released()).code == "metadata_version"


def test_endless_data() -> None:
    for role, kind in ((ROOT, ROOT), (TARGETS, TARGETS), (APP, TARGETS), ("timestamp", "timestamp")):
        with pytest.raises(errors.MetadataSizeError) as caught:
            read(role, b" " * (MAX_SIZE[kind] + 1))
        assert caught.value.facts["limit"] == MAX_SIZE[kind]


def test_a_role_nobody_delegates_to() -> None:
    offered = {"product.other.stable": by(changes.new_targets("product.other.stable", NOW), "alice")}
    assert refused(offered).code == "metadata_content"
    assert refused({"snapshot": files("alice")[APP]}).code == "metadata_content"


def _sub(t: Targets) -> None:
    top = begun().targets
    assert top is not None
    t.delegations = top.signed.delegations


def test_a_delegated_role_may_not_delegate() -> None:
    offered = files()
    _sub(offered[APP].signed)
    assert refused(all_by(offered, "alice")).code == "metadata_form"


def _files(t: Targets) -> None:
    t.targets = a_file("x/y/z/w")


def _paths(t: Targets) -> None:
    t.delegations.roles[APP].paths = ["*/*/*/*"]  # type: ignore[index,union-attr]


def _open(t: Targets) -> None:
    t.delegations.roles[APP].terminating = False  # type: ignore[index,union-attr]


def _unknown_key(t: Targets) -> None:
    t.delegations.roles[APP].keyids.append("ab" * 32)  # type: ignore[index,union-attr]


def _bins(t: Targets) -> None:
    t.delegations.roles = None  # type: ignore[union-attr]
    t.delegations.succinct_roles = SuccinctRoles([public("alice").keyid], 1, 4, "bin")  # type: ignore[union-attr]


@pytest.mark.parametrize("spoil", [_files, _paths, _open, _unknown_key, _bins])
def test_targets_only_delegates_a_role_its_own_paths(spoil: Callable[[Targets], None]) -> None:
    offered = changes.renew(begun(), TARGETS, NOW)
    spoil(offered[TARGETS].signed)
    assert refused(all_by(offered, *TARGETERS)).code == "metadata_form"


@pytest.mark.parametrize("name", ["product.a/b.stable", "product.../..stable", "targets", "product.app", "x"])
def test_role_names_with_path_characters(name: str) -> None:
    with pytest.raises(errors.RoleNameError):
        changes.delegate(begun(), name, some(["alice"]), NOW)
    told = changes.delegate(begun(), APP, some(["alice"]), NOW)[TARGETS].to_dict()
    told["signed"]["delegations"]["roles"][0]["name"] = name
    with pytest.raises((errors.RoleNameError, errors.MetadataFormError)):
        admit(begun(), {TARGETS: by(read(TARGETS, json.dumps(told).encode()), *TARGETERS)}, NOW)


def test_root_needs_the_old_and_the_new_threshold() -> None:
    offered = changes.rekey(begun(), ROOT, some(["new-1", "new-2"], 2), NOW)
    assert refused(all_by(offered, *ROOTS)).code == "metadata_signature"
    assert refused(all_by(offered, "new-1", "new-2")).code == "metadata_signature"
    assert refused(all_by(offered, ROOTS[0], "new-1", "new-2")).code == "metadata_threshold"
    assert refused(all_by(offered, *ROOTS, "new-1")).code == "metadata_threshold"
    after = admit(begun(), all_by(offered, *ROOTS[1:], "new-1", "new-2"), NOW)
    assert after.root.signed.version == 2
    assert set(after.root.signed.roles[ROOT].keyids) == {public("new-1").keyid, public("new-2").keyid}


def test_roots_follow_one_another() -> None:
    offered = changes.renew(begun(), ROOT, NOW)
    offered[ROOT].signed.version += 1
    assert refused(all_by(offered, *ROOTS)).code == "metadata_version"


def test_what_a_lost_key_had_signed_comes_along() -> None:
    known = released()
    offered = changes.replace_key(known, public("alice").keyid, public("carol"), NOW)
    assert set(offered) == {TARGETS, APP}
    alone = {TARGETS: by(offered[TARGETS], *TARGETERS)}
    assert refused(alone, known).code == "metadata_signature"
    after = admit(known, {**alone, APP: by(offered[APP], "bob")}, NOW)
    assert list(after.delegated[APP].signed.targets) == [FW]
    assert delegations(after.targets)[APP].keyids == [public("carol").keyid, public("bob").keyid]


def test_a_key_of_root_and_targets_goes_from_both() -> None:
    known = begun()
    offered = changes.replace_key(known, public(TARGETERS[0]).keyid, public("new"), NOW)
    assert set(offered) == {ROOT, TARGETS}
    after = admit(known, {ROOT: by(offered[ROOT], *ROOTS), TARGETS: by(offered[TARGETS], "new", TARGETERS[1])}, NOW)
    assert public(TARGETERS[0]).keyid not in after.root.signed.keys


def test_a_key_that_is_needed_is_not_revoked_without_another() -> None:
    with pytest.raises(errors.MetadataThresholdError):
        changes.replace_key(begun(), public(TARGETERS[0]).keyid, None, NOW)
    with pytest.raises(errors.MetadataContentError):
        changes.replace_key(begun(), public("nobody").keyid, None, NOW)


def test_missing_says_whose_signatures_are_needed() -> None:
    known = begun()
    offered = changes.rekey(known, ROOT, some(["new"]), NOW)
    old = Missing(ROOT, 2, tuple(sorted(public(name).keyid for name in ROOTS)))
    assert missing(known, offered) == [old, Missing(ROOT, 1, (public("new").keyid,))]
    assert missing(known, all_by(offered, "new", ROOTS[0]))[0].needed == 1
    assert missing(known, all_by(offered, "new", *ROOTS)) == []


def test_a_snapshot_never_forgets_a_role() -> None:
    known = online(released())
    told = changes.renew(known, TARGETS, NOW)
    told[TARGETS].signed.delegations.roles = {}
    told[TARGETS].signed.delegations.keys = {}
    after = online(admit(known, all_by(told, *TARGETERS), NOW))
    assert after.delegated == {}
    assert after.snapshot is not None
    assert after.snapshot.signed.meta[f"{APP}.json"].version == 1
    assert after.known(APP) == 1
    again = admit(after, all_by(changes.delegate(after, APP, some(["alice"]), NOW), *TARGETERS), NOW)
    assert changes.with_files(again, APP, {}, NOW)[APP].signed.version == 2


def test_what_is_due() -> None:
    known = online(released())
    ends = {role: found.signed.expires for role in known.roles if (found := known.of(role)) is not None}
    ages = [(0, []), (1, ["timestamp"]), (7, ["timestamp", "snapshot"]), (135, ["timestamp", "snapshot", APP])]
    for days, due in ages:
        assert [d.role for d in what_is_due(ends, NOW + timedelta(days=days))] == due
    late = what_is_due(ends, NOW + timedelta(days=366))
    assert [d.role for d in late if d.expired] == ["timestamp", "snapshot", APP, "root", "targets"]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_metadata(data: bytes) -> None:
    with pytest.raises(errors.MetadataFormError):
        read(TARGETS, data)


_LEAF = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
_JSON = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@settings(deadline=None)
@given(st.data())
def test_metadata_with_anything_in_a_place_is_refused_or_unchanged(data: st.DataObject) -> None:
    """Whatever stands in any place of good metadata, it is refused by one of our errors, or is what was signed."""
    known = begun()
    good = files("alice")[APP] if data.draw(st.booleans()) else all_by(changes.renew(known, ROOT, NOW), *ROOTS)[ROOT]
    role = ROOT if good.signed.type == "root" else APP
    told = good.to_dict()
    place, key = told, "signed"
    while isinstance(place[key], dict) and place[key] and data.draw(st.integers(0, 4)):
        place, key = place[key], data.draw(st.sampled_from(sorted(place[key])))
    place[key] = data.draw(_JSON)
    try:
        found = read(role, json.dumps(told).encode())
        after = admit(known, {role: found}, NOW)
    except errors.OtaruError as error:
        assert error.code.startswith("metadata_") or error.code == "role_name"  # noqa: PT017
    else:
        assert after.of(role).signed == good.signed  # type: ignore[union-attr]


@settings(deadline=None)
@given(st.lists(st.sampled_from([*ROOTS, "mallory", "online"]), unique=True), st.integers(1, 3))
def test_a_threshold_is_reached_by_so_many_different_keys(names: list[str], threshold: int) -> None:
    made = first()
    made[ROOT].signed.roles[ROOT] = Role([public(name).keyid for name in ROOTS], threshold)
    offered = {ROOT: by(made[ROOT], *names), TARGETS: by(made[TARGETS], *TARGETERS)}
    if len(set(names) & set(ROOTS)) >= threshold:
        admit(None, offered, NOW)
    else:
        with pytest.raises(errors.MetadataError):
            admit(None, offered, NOW)
