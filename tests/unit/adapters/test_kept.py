from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otaru.adapters.kept import Keyed, Packed, Plain, keep
from otaru.domain.credential import Credential, CredentialKind
from otaru.domain.deployment import State
from otaru.domain.device import AutoConfirm, Hardware, Lifecycle
from otaru.domain.ids import MAX_ACTION, ActionId, CredentialId, DeviceId, RolloutId, Version
from otaru.domain.offer import Membership, Subject
from otaru.ports.registry import Entry, KeyedEntry
from tests.support.fleet import NOW

INTEGER = st.integers(0, 2**31 - 1)
SMALL = st.integers(0, 2**15 - 1)

memberships = st.builds(
    Membership,
    rollout=INTEGER.map(RolloutId),
    attempt=SMALL,
    state=st.sampled_from(State),
    segment=SMALL,
    wave=SMALL,
    rank=INTEGER,
    action=st.integers(0, MAX_ACTION).map(ActionId),
    order_cancel=st.booleans(),
)
subjects = st.builds(
    Subject,
    id=st.text(min_size=1).map(DeviceId),
    lifecycle=st.sampled_from(Lifecycle),
    hardware=st.builds(Hardware, st.text(min_size=1), st.text()),
    installed=st.lists(st.tuples(st.text(), st.text().map(Version)), max_size=3).map(tuple),
    auto_confirm=st.booleans(),
    memberships=st.lists(memberships, max_size=5).map(tuple),
    counters=st.lists(st.tuples(st.text(), INTEGER), max_size=2).map(tuple),
    zone=st.sampled_from(["", "Europe/Paris"]),
    pins=st.lists(st.text(), max_size=2).map(tuple),
)
FACTS: dict[str, st.SearchStrategy[Any]] = {
    "subject": subjects,
    "token_hash": st.binary(max_size=64),
    "attributes_requested": st.booleans(),
    "auto_confirm": st.none() | st.builds(AutoConfirm, st.none() | st.text(), st.none(), st.just(NOW)),
    "last_installed_action": INTEGER,
}
credentials = st.builds(
    Credential,
    id=st.text().map(CredentialId),
    kind=st.sampled_from(CredentialKind),
    digest=st.binary(),
    issuer=st.binary(),
    label=st.text(),
    created_at=st.just(NOW),
    expires_at=st.none() | st.just(NOW),
)
entries: st.SearchStrategy[Entry] = st.builds(Entry, **FACTS) | st.builds(
    KeyedEntry, **FACTS, credentials=st.lists(credentials, max_size=3).map(tuple), verifies=st.booleans()
)


def _facts(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.subject,
        entry.token_hash,
        entry.attributes_requested,
        entry.auto_confirm,
        entry.last_installed_action,
        entry.credentials,
        entry.verifies,
    )


@given(entries, st.integers(0))
def test_what_is_kept_comes_back(entry: Entry, tick: int) -> None:
    kept = keep(entry, tick, lambda value: value)
    assert kept.tick == tick
    assert _facts(kept.entry(entry.subject.id)) == _facts(entry)
    kind = Packed if entry.subject.memberships else Keyed if entry.verifies else Plain
    assert type(kept) is (Keyed if entry.credentials else kind)


def test_who_has_no_credentials_pays_nothing_for_them() -> None:
    slots = {name for kind in Plain.__mro__ for name in getattr(kind, "__slots__", ())}
    assert not slots & {"credentials", "verifies"}


def _member(number: int) -> Entry:
    share = Membership(RolloutId(1), 1, State.SCHEDULED, 0, 0, number, ActionId(0))
    subject = Subject(
        DeviceId(f"d{number}"), Lifecycle.ACTIVE, Hardware("rpi4"), (("app", Version("1")),), False, (share,)
    )
    return Entry(subject, number.to_bytes(32, "big"), False, None, 0)


def test_what_members_have_in_common_is_kept_once() -> None:
    known: dict[Any, Any] = {}
    kept = [keep(_member(number), 1, lambda value: known.setdefault(value, value)) for number in range(3)]
    assert len({id(one.alike) for one in kept if isinstance(one, Packed)}) == len(known) == 1
