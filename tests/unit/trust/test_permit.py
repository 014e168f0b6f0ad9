"""Permissions to downgrade: what they allow, and what is refused with which code."""

import json
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru import errors
from otaru.domain.ids import DeviceId, TenantId
from otaru.trust.permit import MAX_SIZE, Permit, check_permit, new_permit, read_permit
from tests.support.keys import NOW, ROOTS, TARGETERS, begun, private, public

TENANT, DEVICE = TenantId("DEFAULT"), DeviceId("dev-1")


def a_permit(*names: str, counter: int = 3) -> Permit:
    permit = new_permit(TENANT, DEVICE, "app", counter, NOW + timedelta(days=7))
    for name in names:
        permit = permit.with_signature(public(name).keyid, private(name).sign(permit.signed_bytes))
    return permit


def check(permit: Permit, **other: Any) -> None:
    asked = {"tenant": TENANT, "device": DEVICE, "component": "app", "counter": 3, "now": NOW, **other}
    check_permit(permit, begun().root.signed, **asked)


def code(permit: Permit, **other: Any) -> str:
    with pytest.raises(errors.MetadataError) as caught:
        check(permit, **other)
    return caught.value.code


def test_it_holds_for_its_device_and_component_down_to_its_counter() -> None:
    permit = a_permit(*TARGETERS)
    check(permit)
    check(permit, counter=4)
    assert code(permit, counter=2) == "permit_other"
    assert code(permit, device=DeviceId("dev-2")) == "permit_other"
    assert code(permit, tenant=TenantId("other")) == "permit_other"
    assert code(permit, component="boot") == "permit_other"


def test_it_expires() -> None:
    permit = a_permit(*TARGETERS)
    check(permit, now=permit.expires - timedelta(seconds=1))
    assert code(permit, now=permit.expires) == "metadata_expired"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "metadata_unsigned"),
        (("mallory",), "metadata_signature"),
        (("online", "alice", *ROOTS), "metadata_signature"),
        ((TARGETERS[0], "online"), "metadata_threshold"),
    ],
)
def test_the_threshold_of_offline_targets_keys_has_to_sign(names: tuple[str, ...], expected: str) -> None:
    assert code(a_permit(*names)) == expected


def test_what_is_changed_after_signing_does_not_hold() -> None:
    told = a_permit(*TARGETERS).to_dict()
    for name, value in (("releaseCounter", 0), ("deviceId", "dev-2"), ("expires", "2099-01-01T00:00:00Z")):
        changed = deepcopy(told)
        changed["signed"][name] = value
        with pytest.raises(errors.MetadataSignatureError):
            check(read_permit(changed), device=DeviceId(changed["signed"]["deviceId"]), counter=0)


def test_it_is_read_as_it_is_written() -> None:
    permit = a_permit(*TARGETERS)
    assert read_permit(permit.to_dict()) == permit
    assert read_permit(json.dumps(permit.to_dict(), indent=4).encode()) == permit


def test_signatures_of_metadata_are_none_of_a_permission() -> None:
    """Whatever the same keys have signed for TUF, it has another type."""
    targets = begun().targets
    assert targets is not None
    told = a_permit().to_dict() | {"signatures": [s.to_dict() for s in targets.signatures.values()]}
    assert code(read_permit(told)) == "metadata_signature"
    with pytest.raises(errors.MetadataFormError):
        read_permit(targets.to_dict())


def test_too_long() -> None:
    with pytest.raises(errors.MetadataSizeError):
        read_permit(b" " * (MAX_SIZE + 1))
    with pytest.raises(errors.MetadataFormError):
        read_permit(b"[" * MAX_SIZE)


def _spoiled(**other: Any) -> dict[str, Any]:
    told = a_permit(*TARGETERS).to_dict()
    told["signed"] |= other
    return told


@pytest.mark.parametrize(
    "told",
    [
        _spoiled(_type="targets"),
        _spoiled(spec_version="2.0"),
        _spoiled(more=1),
        _spoiled(releaseCounter=-1),
        _spoiled(releaseCounter=True),
        _spoiled(releaseCounter=2**31),
        _spoiled(releaseCounter="3"),
        _spoiled(deviceId="../x"),
        _spoiled(deviceId=None),
        _spoiled(tenant=["DEFAULT"]),
        _spoiled(expires="2026-11-28"),
        _spoiled(expires="2026-11-28T12:00:00+00:00"),
        _spoiled(expires=7),
        a_permit().to_dict() | {"signatures": {}},
        a_permit().to_dict() | {"signatures": [{"keyid": "a", "sig": "b"}] * 2},
        a_permit().to_dict() | {"signatures": [{"keyid": "a"}]},
        a_permit().to_dict() | {"more": 1},
        None,
        [],
        b"",
        b"\xff",
    ],
)
def test_what_is_no_permission(told: object) -> None:
    with pytest.raises(errors.MetadataFormError):
        read_permit(told)


_LEAF = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.floats()
_JSON = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@settings(deadline=None)
@given(st.data())
def test_with_anything_in_a_place_it_is_refused_or_says_the_same(data: st.DataObject) -> None:
    good = a_permit(*TARGETERS)
    told: Any = good.to_dict()
    place, key = told, data.draw(st.sampled_from(sorted(told)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.integers(0, 3)):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(_JSON)
    try:
        permit = read_permit(told)
        check(permit)
    except errors.MetadataError:
        pass
    else:
        assert permit.signed_bytes == good.signed_bytes
