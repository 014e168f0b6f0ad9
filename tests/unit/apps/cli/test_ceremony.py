"""What somebody signs who has nothing but the request: all of it is shown, and what cannot be shown is refused."""

from datetime import timedelta
from typing import Any

import pytest
from tuf.api.metadata import Metadata, TargetFile

from otaru.apps.cli.ceremony import in_words, sign_request
from otaru.errors import MetadataFormError, NothingToDoError
from otaru.trust.tuf import changes
from tests.support.keys import APP, NOW, ROOTS, begun, first, private, public, some


class Hand:
    """Somebody's key."""

    def __init__(self, name: str) -> None:
        self.key, self._private = public(name), private(name)

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)


def request(role: str, found: Metadata[Any], name: str) -> dict[str, Any]:
    missing = [{"role": role, "needed": 1, "keys": [public(name).keyid]}]
    return {"metadata": {role: found.to_dict()}, "missing": missing}


def test_all_files_are_shown_with_what_is_said_of_them() -> None:
    files = {f"app/stable/{n}/x.bin": TargetFile.from_data("x", b"%d" % n, ["sha256"]) for n in range(50)}
    for number, file in enumerate(files.values()):
        file.unrecognized_fields["custom"] = {"hardwareIds": ["pi", "pi:2"], "releaseCounter": number}
    told = request(APP, changes.new_targets(APP, NOW, 2, files), "alice")
    ((role, found),) = sign_request(told, Hand("alice"))
    lines = in_words(role, found)
    assert all(any(f"{path}  sha256 {file.hashes['sha256']}" in line for line in lines) for path, file in files.items())
    assert lines[-1].endswith("for pi pi:2, counter 9")
    assert "until" in lines[0]
    with pytest.raises(NothingToDoError, match="already"):
        sign_request(told, Hand("alice"))
    with pytest.raises(NothingToDoError, match=public("mallory").keyid[:16]):
        sign_request(told, Hand("mallory"))


def test_a_key_under_the_id_of_another_is_not_signed() -> None:
    root = first()["root"]
    known = public("root-2").keyid
    root.signed.keys[known].keyval["public"] = public("mallory").keyval["public"]
    told = request("root", root, ROOTS[0])
    with pytest.raises(MetadataFormError, match=known):
        sign_request(told, Hand(ROOTS[0]))
    assert told["metadata"]["root"]["signatures"] == []


def test_a_product_gets_no_paths_of_another() -> None:
    targets = changes.delegate(begun(), APP, some(["alice"]), NOW + timedelta(days=1))["targets"]
    targets.signed.delegations.roles[APP].paths = ["other/stable/*/*"]
    with pytest.raises(MetadataFormError, match="other paths"):
        sign_request(request("targets", targets, "targets-1"), Hand("targets-1"))


def test_who_signs_files_delegates_nothing() -> None:
    targets = changes.delegate(begun(), APP, some(["alice"]), NOW)["targets"]
    with pytest.raises(MetadataFormError, match="delegate"):
        sign_request(request(APP, targets, "alice"), Hand("alice"))
