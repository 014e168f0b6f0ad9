"""The director repository: its root alone is brought, and what is made for each device says whose it is."""

import json
from datetime import timedelta
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Root, TargetFile

from otaru import errors
from otaru.domain.ids import ActionId, DeviceId, RolloutId
from otaru.trust.tuf import changes
from otaru.trust.tuf.director import ONLY, TERM, Share, directed, issue
from otaru.trust.tuf.kept import DIRECTOR
from otaru.trust.tuf.metadata import AnyMetadata, check_signatures, read
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from otaru.trust.tuf.repository import Repository, admit, missing
from tests.support.keys import NOW, all_by, by, first, public, some

PEOPLE = ("director-1", "director-2", "director-3")
FILE = TargetFile(3, {"sha256": "ab" * 32}, "app/stable/1/fw", {"custom": {"component": "app", "releaseCounter": 7}})


def a_root() -> Metadata[Root]:
    online = some(["director"])
    return changes.new_root({ROOT: some(PEOPLE, 2), TARGETS: online, SNAPSHOT: online, TIMESTAMP: online}, NOW)


def begun() -> Repository:
    return admit(None, {ROOT: by(a_root(), *PEOPLE[:2])}, NOW, DIRECTOR)


def test_it_begins_with_root_alone_and_goes_on_from_root_to_root() -> None:
    repository = begun()
    assert repository.targets is None
    assert repository.roles == [ROOT, TARGETS, SNAPSHOT, TIMESTAMP]
    offered = changes.replace_key(repository, public("director-1").keyid, public("director-4"), NOW)
    assert set(offered) == {ROOT}
    assert [one.needed for one in missing(repository, offered, DIRECTOR)] == [2, 2]
    after = admit(repository, all_by(offered, "director-2", "director-3"), NOW, DIRECTOR)
    assert after.root.signed.version == 2
    renewed = changes.renew(after, ROOT, NOW + timedelta(days=300))
    assert admit(after, all_by(renewed, "director-2", "director-4"), NOW, DIRECTOR).root.signed.version == 3


@pytest.mark.parametrize(
    ("signers", "code"),
    [(PEOPLE[:1], "metadata_threshold"), ((), "metadata_unsigned"), (("eve",), "metadata_signature")],
)
def test_a_root_that_too_few_have_signed(signers: tuple[str, ...], code: str) -> None:
    with pytest.raises(errors.MetadataError) as caught:
        admit(None, {ROOT: by(a_root(), *signers)}, NOW, DIRECTOR)
    assert caught.value.code == code


def test_nothing_else_of_it_is_brought() -> None:
    for offered in (all_by(first(), *PEOPLE), {TARGETS: first()[TARGETS]}, {}):
        with pytest.raises(errors.MetadataContentError):
            admit(None, offered, NOW, DIRECTOR)
    with pytest.raises(errors.MetadataContentError):
        changes.delegate(begun(), "product.app.stable", some(["alice"]), NOW)
    with pytest.raises(errors.MetadataContentError):
        changes.renew(begun(), TARGETS, NOW)


def sign(role: str, found: AnyMetadata) -> AnyMetadata:
    del role
    return by(found, "director")


@pytest.mark.parametrize("files", [{}, {FILE.path: directed(FILE, Share(RolloutId(4), 1, ActionId(9)), None)}])
def test_what_is_made_for_a_device_is_for_it_alone(files: dict[str, TargetFile]) -> None:
    *made, ends = issue(DeviceId("dev-1"), 5, files, sign, NOW)
    assert ends == NOW.replace(microsecond=0) + TERM.lifetime
    roles = (TARGETS, SNAPSHOT, TIMESTAMP)
    read_again = dict(zip(roles, (read(role, content) for role, content in zip(roles, made, strict=True)), strict=True))
    for role, found in read_again.items():
        check_signatures(begun().root.signed, role, found)
        assert (found.signed.version, found.signed.expires) == (5, ends)
    assert json.loads(made[0])["signed"]["deviceId"] == "dev-1"
    read_again[SNAPSHOT].signed.meta["targets.json"].verify_length_and_hashes(made[0])
    read_again[TIMESTAMP].signed.snapshot_meta.verify_length_and_hashes(made[1])
    assert set(read_again[TARGETS].signed.targets) == set(files)


def test_the_director_adds_and_changes_nothing() -> None:
    told = directed(FILE, Share(RolloutId(4), 2, ActionId(9)), {"signed": {}})
    assert (told.path, told.length, told.hashes) == (FILE.path, FILE.length, FILE.hashes)
    custom: dict[str, Any] = dict(told.custom or {})
    assert {name: value for name, value in custom.items() if name not in ONLY} == FILE.custom
    assert {name: custom[name] for name in ONLY & set(custom)} == {
        "rolloutId": 4,
        "action": 9,
        "bundleId": "4/2",
        "bundleSize": 1,
        "allowDowngradeTo": {"signed": {}},
    }
    assert "allowDowngradeTo" not in (directed(FILE, Share(RolloutId(4), 2, ActionId(9)), None).custom or {})
