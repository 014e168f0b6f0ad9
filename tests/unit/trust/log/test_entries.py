"""What becomes an entry, in which words, and what audit entries hide."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import TenantId
from otaru.trust.log.canonical import canonical
from otaru.trust.log.entries import MAX_ENTRY, RULES, SALT_SIZE, Audited, Draft, Log, drafts, is_logged, opens

NOW = datetime(2026, 11, 21, 12, 0, 0, 120, UTC)
ACME = TenantId("acme")


def happening(kind: Kind, actor: str = "user:eve", subject: str = "s", **data: Any) -> Happening:
    return Happening(ACME, NOW, actor, kind, subject, data)


def made(*happenings: Happening) -> list[Draft]:
    salts = count(1)
    return drafts(happenings, lambda: next(salts).to_bytes(SALT_SIZE))


def test_every_kind_of_event_has_its_rule() -> None:
    assert set(RULES) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_what_devices_say_of_themselves_becomes_no_audit_entry(kind: Kind) -> None:
    audited = [d for d in made(happening(kind, "device:d-1")) if d.log is Log.AUDIT]
    assert bool(audited) == (RULES[kind].audited is Audited.ALL)
    assert made(happening(Kind.DEVICE_ATTRIBUTES), happening(Kind.DEPLOYMENT_MOVED, "system")) == []


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("actor", ["user:eve", "device:d-1", "judge", "system"])
def test_is_logged_says_whether_there_will_be_drafts(kind: Kind, actor: str) -> None:
    what = happening(kind, actor)
    assert is_logged(what) == bool(made(what))


def test_a_published_release_stands_in_the_public_log_with_its_digests() -> None:
    public, private = made(
        happening(Kind.RELEASE_MOVED, subject="app:1.1", artifacts=["aa", "bb"], to="published", **{"from": "draft"})
    )
    assert public.entry == (
        b'{"at":"2026-11-21T12:00:00.000120Z","by":"user","data":{"artifacts":["aa","bb"],"from":"draft",'
        b'"to":"published"},"kind":"release.moved","subject":"app:1.1"}'
    )
    assert (public.log, public.subject, public.text) == (Log.RELEASE, "app:1.1", None)
    assert private.log is Log.AUDIT


SECRETS = ["eve", "id==gw-7", "because of Bob"]


@pytest.mark.parametrize("kind", [k for k in Kind if RULES[k].public is not None])
def test_the_public_log_names_no_person_no_target_and_no_words_of_people(kind: Kind) -> None:
    public = made(happening(kind, target="id==gw-7", reason="because of Bob", name="because of Bob"))[0].entry.decode()
    assert [secret for secret in SECRETS if secret in public] == []


def test_an_audit_entry_hides_all_but_time_and_kind() -> None:
    (draft,) = made(happening(Kind.TENANT_HALTED, reason="because of Bob"))
    shown = json.loads(draft.entry)
    assert set(shown) == {"at", "kind", "commitment"}
    assert draft.subject == ""
    assert draft.text is not None
    assert json.loads(draft.text) == {
        "actor": "user:eve",
        "at": "2026-11-21T12:00:00.000120Z",
        "kind": "tenant.halted",
        "things": [{"data": {"reason": "because of Bob"}, "subject": "s"}],
    }


def test_the_same_twice_shows_two_different_entries() -> None:
    one, other = (
        made(happening(Kind.TENANT_LIFTED)),
        drafts([happening(Kind.TENANT_LIFTED)], lambda: b"x" * SALT_SIZE),
    )
    assert one[0].text == other[0].text
    assert one[0].entry != other[0].entry


def test_an_audit_entry_opens_to_its_text_and_no_other() -> None:
    (draft,) = made(happening(Kind.TENANT_LIFTED))
    assert draft.salt is not None
    assert draft.text is not None
    assert opens(draft.entry, draft.salt, draft.text)
    assert not opens(draft.entry, draft.salt, draft.text.replace(b"eve", b"bob"))
    assert not opens(draft.entry, draft.salt[::-1], draft.text)
    assert not opens(draft.entry, draft.salt, draft.text.replace(b"lifted", b"halted"))
    assert not opens(draft.entry.replace(b"12:00", b"13:00"), draft.salt, draft.text)
    assert not opens(draft.entry, draft.salt, b"no JSON")


def test_what_was_done_at_once_to_many_things_is_one_audit_entry() -> None:
    batch = [happening(Kind.DEVICE_ADDED, subject=f"d-{n}") for n in range(1000)]
    other = replace(batch[0], tenant=TenantId("rival"), subject="x")
    first, second = made(*batch[:500], other, *batch[500:])
    assert first.text is not None
    assert [thing["subject"] for thing in json.loads(first.text)["things"]] == [f"d-{n}" for n in range(1000)]
    assert (second.tenant, len(first.entry) < 300) == ("rival", True)


@given(st.integers(0, 2000))
def test_an_entry_fits_whatever_the_number_of_artifacts(number: int) -> None:
    digests = [f"{n:064x}" for n in range(number)]
    entry = made(happening(Kind.RELEASE_MOVED, artifacts=digests))[0].entry
    assert len(entry) <= MAX_ENTRY
    assert entry == canonical(json.loads(entry))


def test_data_of_any_json_can_be_logged() -> None:
    entry = made(happening(Kind.TENANT_CHANGED, huge=2**70, half=0.5, none=None, text="\u202e\x00"))
    assert len(entry) == 1
