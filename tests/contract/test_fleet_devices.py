"""The port `Devices`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert

from otaru.adapters.sql.tables import telemetry_last
from otaru.domain.deployment import State
from otaru.domain.device import AutoConfirm, Device, Hardware, Installed, Lifecycle, Source
from otaru.domain.ids import DeviceId, TenantId, Version
from otaru.domain.rollout import RolloutState
from otaru.domain.targeting import Field, Query, parse
from otaru.errors import NotFoundError
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, a_release, a_rollout, later, open_shelf

DEV = DeviceId("dev-1")
FULL = replace(
    a_device(
        "dev-1",
        tags=("lab", "beta"),
        attributes={"region": "eu-1", "note": "ü\n'\"%"},
        hardware=Hardware("rpi4", "1.2"),
        runs={"app": "1.0", "os": "12"},
    ),
    edition=3,
    auto_confirm=AutoConfirm("anna", None, NOW),
    attributes_requested=False,
    last_contact=NOW,
    address="10.0.0.1",
    updated_at=later(5),
)


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


def test_a_device_comes_back_as_it_was_added(shelf: Shelf) -> None:
    assert shelf.devices.add(HERE, [(FULL, b"hash"), (a_device("dev-2"), b"h2")]) == [True, True]
    assert shelf.devices.get(HERE, DEV) == FULL
    assert shelf.devices.get(HERE, DeviceId("dev-2")) == a_device("dev-2")
    assert shelf.devices.get(HERE, DeviceId("dev-3")) is None


def test_a_taken_id_changes_nothing(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(FULL, b"hash")])
    other = a_device("dev-1", tags=("other",), attributes={"x": "y"}, runs={"app": "9"})
    twice = a_device("dev-2", tags=("second",))
    assert shelf.devices.add(HERE, [(other, b"x"), (a_device("dev-2"), b"y"), (twice, b"z")]) == [False, True, False]
    assert shelf.devices.get(HERE, DEV) == FULL
    assert shelf.devices.get(HERE, DeviceId("dev-2")) == a_device("dev-2")
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    assert entry.token_hash == b"hash"
    assert shelf.devices.add(HERE, []) == []


def test_save_replaces_what_a_person_may_change(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(FULL, b"hash")])
    changed = replace(
        FULL,
        lifecycle=Lifecycle.QUARANTINED,
        hardware=Hardware("rpi5"),
        tags=frozenset({"beta", "new"}),
        attributes={"note": "plain", "site": "7"},
        auto_confirm=None,
        attributes_requested=True,
        pins=frozenset({"app", "os"}),
        edition=4,
        updated_at=later(9),
    )
    shelf.devices.save(HERE, changed)
    assert shelf.devices.get(HERE, DEV) == changed
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    assert entry.subject.pins == ("app", "os")
    shelf.devices.save(HERE, FULL)
    assert shelf.devices.get(HERE, DEV) == FULL


def test_what_is_not_there_cannot_be_changed(shelf: Shelf) -> None:
    with pytest.raises(NotFoundError):
        shelf.devices.save(HERE, FULL)
    with pytest.raises(NotFoundError):
        shelf.devices.set_token(HERE, DEV, b"x")
    with pytest.raises(NotFoundError):
        shelf.devices.set_auto_confirm(HERE, DEV, None)


def test_install_sets_the_version_of_a_component(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(FULL, b"hash"), (a_device("dev-2"), b"h")])
    new = Installed("app", Version("1.1"), Source.OFFLINE, later(7), confirmed=False)
    shelf.devices.install(HERE, [(DEV, replace(new, version=Version("1.0.9"))), (DEV, new), (DeviceId("dev-2"), new)])
    shelf.devices.install(HERE, [(DeviceId("nobody"), new)])
    shelf.devices.install(HERE, [])
    dev = shelf.devices.get(HERE, DEV)
    assert dev is not None
    assert dev.installed == (new, *FULL.installed[1:])
    assert [d.installed for d in shelf.devices.page(HERE, parse("id==dev-2", NOW), None, 9)] == [(new,)]


def test_a_security_counter_only_rises(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(FULL, b"hash")])

    def counters(*burnt: int) -> tuple[tuple[str, int], ...]:
        facts = [Installed("app", Version(f"2.{burn}"), Source.OTARU, later(1), counter=burn) for burn in burnt]
        shelf.devices.install(HERE, [(DEV, fact) for fact in facts])
        entry, dev = shelf.devices.entry(HERE, DEV), shelf.devices.get(HERE, DEV)
        assert entry is not None
        assert dev is not None
        assert {i.component: i.counter for i in dev.installed if i.counter} == dict(entry.subject.counters)
        assert dev.version_of("app") == f"2.{burnt[-1]}", "the version is the last one"
        return entry.subject.counters

    assert counters(0) == ()
    assert counters(3) == (("app", 3),)
    assert counters(2) == (("app", 3),)
    assert counters(7, 0, 5) == (("app", 7),)


def test_a_contact_is_never_older_than_the_known_one(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(a_device("dev-1"), b"h"), (a_device("dev-2"), b"h")])
    two = DeviceId("dev-2")
    shelf.devices.contacts([(HERE, DEV, later(2), "b"), (HERE, DEV, later(1), "a"), (HERE, two, later(5), "x")])
    shelf.devices.contacts(
        [(HERE, DEV, later(3), "c"), (HERE, two, later(4), "y"), (HERE, DeviceId("ghost"), NOW, "g")]
    )
    shelf.devices.contacts([])
    found = shelf.devices.page(HERE, None, None, 10)
    assert [(d.id, d.last_contact, d.address) for d in found] == [("dev-1", later(3), "c"), ("dev-2", later(5), "x")]


def test_contacts_of_several_tenants_come_together(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(a_device("dev-1"), b"h")])
    shelf.devices.add(THERE, [(a_device("dev-1"), b"h")])
    shelf.devices.contacts([(THERE, DEV, later(2), "t"), (HERE, DEV, later(1), "h")])
    assert _contact(shelf, HERE) == (later(1), "h")
    assert _contact(shelf, THERE) == (later(2), "t")


def _contact(shelf: Shelf, tenant: TenantId) -> tuple[object, object]:
    device = shelf.devices.get(tenant, DEV)
    assert device is not None
    return device.last_contact, device.address


def test_who_is_heard_of_again_is_no_longer_silent(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(a_device("dev-1"), b"h"), (a_device("dev-2"), b"h"), (a_device("dev-3"), b"h")])
    for hours in (-200, -199.9, -1, 0):
        shelf.devices.contacts([(HERE, DeviceId("dev-1"), later(hours * 3600), "")])
    shelf.devices.contacts([(HERE, DeviceId("dev-2"), later(-200 * 3600), "")])
    silent, heard = (parse(f"last_contact={relation}=-P7D", NOW) for relation in ("lt", "ge"))
    assert [d.id for d in shelf.devices.page(HERE, silent, None, 9)] == ["dev-2"]
    assert [d.id for d in shelf.devices.page(HERE, heard, None, 9)] == ["dev-1"]
    stored = shelf.session.connection.exec_driver_sql("SELECT hour, last_contact / 3600000000 FROM device_contact")
    assert all(hour == of for hour, of in stored)


def test_pages_are_complete_and_without_duplicates(shelf: Shelf) -> None:
    devices = [
        a_device(f"dev-{n:03}", tags=("odd",) if n % 2 else ("even", "odd"), attributes={"n": str(n % 7)})
        for n in range(100)
    ]
    shelf.devices.add(HERE, [(d, b"h") for d in reversed(devices)])
    for text, wanted in (
        (None, devices),
        ("tag==odd", devices),
        ("tag==even", devices[::2]),
        ("tag==even,tag==odd", devices),
        ("attr.n==3,attr.n==4", [d for d in devices if d.attributes["n"] in "34"]),
        ("tag==even;attr.n==*", devices[::2]),
        ("attr.n==3;tag==e*", [d for d in devices[::2] if d.attributes["n"] == "3"]),
        ("id==dev-0*;(tag==even,attr.n==1)", [d for d in devices if "even" in d.tags or d.attributes["n"] == "1"]),
        ("hardware==rpi4", devices),
        ("hardware==rpi4;tag==even", devices[::2]),
        ("tag==none", []),
    ):
        query = parse(text, NOW) if text else None
        pages = _pages(shelf, query, 7)
        assert [d for page in pages for d in page] == wanted, text
        assert all(len(page) == 7 for page in pages[:-1])
        assert shelf.devices.count(HERE, query) == len(wanted), text


def _pages(shelf: Shelf, query: Query | None, limit: int) -> list[list[Device]]:
    pages: list[list[Device]] = []
    after = None
    while True:
        page = shelf.devices.page(HERE, query, after, limit)
        if not page:
            return pages
        pages.append(page)
        after = page[-1].id


def test_an_entry_says_what_a_poll_needs(shelf: Shelf) -> None:
    release = shelf.stock(HERE, [FULL, a_device("dev-2")])
    for number in (1, 2, 3):
        shelf.launch(HERE, a_rollout(number, seed=number), release)
    shelf.move(HERE, 2, "dev-1", State.DOWNLOADING)
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    assert entry.subject.id == DEV
    assert entry.subject.lifecycle is Lifecycle.ACTIVE
    assert entry.subject.hardware == Hardware("rpi4", "1.2")
    assert entry.subject.installed == (("app", "1.0"), ("os", "12"))
    assert entry.subject.auto_confirm
    assert entry.auto_confirm == FULL.auto_confirm
    assert not entry.attributes_requested
    assert entry.token_hash == b"t" * 32
    assert entry.last_installed_action == 0
    assert [(m.rollout, m.state, m.action, m.order_cancel) for m in entry.subject.memberships] == [
        (1, State.SCHEDULED, 0, False),
        (2, State.DOWNLOADING, 1, False),
        (3, State.SCHEDULED, 0, False),
    ]
    plain = shelf.devices.entry(HERE, DeviceId("dev-2"))
    assert plain is not None
    assert plain.auto_confirm is None
    assert not plain.subject.auto_confirm
    assert shelf.devices.entry(HERE, DeviceId("dev-9")) is None


@pytest.mark.parametrize(("said", "known"), [("Asia/Tokyo", "Asia/Tokyo"), ("Mars/Base", ""), (None, "")])
def test_an_entry_knows_the_zone_that_the_device_is_in(shelf: Shelf, said: str | None, known: str) -> None:
    shelf.stock(HERE, [a_device("dev-1", attributes={"timezone": said} if said else {})])
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    assert entry.subject.zone == known


def test_an_entry_lists_scheduled_shares_of_active_rollouts_only(shelf: Shelf) -> None:
    release = shelf.stock(HERE, [a_device("dev-1")])
    for number, state in enumerate(RolloutState, 1):
        shelf.launch(HERE, replace(a_rollout(number), state=state), release)
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    listed = {list(RolloutState)[m.rollout - 1] for m in entry.subject.memberships}
    assert listed == {RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.STOPPING}


def test_an_entry_lists_an_open_share_whatever_its_rollout_is(shelf: Shelf) -> None:
    release = shelf.stock(HERE, [a_device("dev-1")])
    rollout = shelf.launch(HERE, a_rollout(), release)
    shelf.move(HERE, 1, "dev-1", State.CANCELLING)
    shelf.rollouts.save(HERE, replace(rollout, state=RolloutState.STOPPED))
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    (membership,) = entry.subject.memberships
    assert membership.order_cancel
    assert entry.subject.open == membership


def test_the_newest_success_is_what_is_installed_by_us(shelf: Shelf) -> None:
    release = shelf.stock(HERE, [a_device("dev-1")])
    for number, state in enumerate((State.SUCCEEDED, State.SUCCEEDED, State.FAILED), 1):
        shelf.launch(HERE, a_rollout(number), release)
        shelf.move(HERE, number, "dev-1", state)
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    assert entry.last_installed_action == 2
    assert entry.subject.memberships == ()


def test_tokens_and_standing_consent_are_set_alone(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(FULL, b"hash")])
    shelf.devices.set_token(HERE, DEV, b"new")
    standing = AutoConfirm(None, "ok", NOW + timedelta(microseconds=1))
    shelf.devices.set_auto_confirm(HERE, DEV, standing)
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    assert entry.token_hash == b"new"
    assert entry.auto_confirm == standing
    shelf.devices.set_auto_confirm(HERE, DEV, None)
    assert shelf.devices.get(HERE, DEV) == replace(FULL, auto_confirm=None)


def test_devices_are_asked_for_their_attributes_anew(shelf: Shelf) -> None:
    known = replace(FULL, attributes_requested=False)
    theirs = replace(a_device("dev-1"), attributes_requested=False)
    shelf.devices.add(HERE, [(known, b"hash")])
    shelf.devices.add(THERE, [(theirs, b"hash")])
    for _ in range(2):
        shelf.devices.ask_attributes(HERE, [DEV, DeviceId("nobody")])
        assert shelf.devices.get(HERE, DEV) == replace(known, attributes_requested=True)
    assert shelf.devices.get(THERE, DEV) == theirs


def test_a_tenant_sees_and_changes_its_own_devices_only(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(FULL, b"hash"), (a_device("only-here", tags=("lab",)), b"h")])
    theirs = a_device("dev-1", tags=("theirs",), attributes={"a": "b"})
    assert shelf.devices.add(THERE, [(theirs, b"other")]) == [True]
    shelf.devices.save(THERE, replace(theirs, tags=frozenset({"changed"}), attributes={}, lifecycle=Lifecycle.PENDING))
    shelf.devices.set_token(THERE, DEV, b"changed")
    shelf.devices.set_auto_confirm(THERE, DEV, AutoConfirm("eve", None, NOW))
    shelf.devices.install(THERE, [(DEV, Installed("app", Version("666"), Source.UNKNOWN, NOW))])
    shelf.devices.install(THERE, [(DeviceId("only-here"), Installed("app", Version("666"), Source.UNKNOWN, NOW))])
    shelf.devices.contacts([(THERE, DEV, later(99), "evil"), (THERE, DeviceId("only-here"), later(99), "evil")])
    assert shelf.devices.get(HERE, DEV) == FULL
    assert shelf.devices.get(HERE, DeviceId("only-here")) == a_device("only-here", tags=("lab",))
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    assert entry.token_hash == b"hash"
    assert shelf.devices.get(THERE, DeviceId("only-here")) is None
    assert shelf.devices.entry(THERE, DeviceId("only-here")) is None
    for text in ("tag==lab", "id==*", "attr.region==eu-1", "attr.region==eu*", "hardware==rpi4", "tag==l*,tag==b*"):
        found = shelf.devices.page(THERE, parse(text, NOW), None, 10)
        assert all(d.tags == {"changed"} for d in found), text
        assert shelf.devices.count(THERE, parse(text, NOW)) == len(found), text
    with pytest.raises(NotFoundError):
        shelf.devices.save(THERE, a_device("only-here"))


def test_shares_of_another_tenant_are_not_in_an_entry(shelf: Shelf) -> None:
    for tenant in (HERE, THERE):
        release = shelf.stock(tenant, [a_device("dev-1")], a_release())
        shelf.launch(tenant, a_rollout(1), release)
    shelf.move(THERE, 1, "dev-1", State.SUCCEEDED)
    entry = shelf.devices.entry(HERE, DEV)
    assert entry is not None
    assert [m.state for m in entry.subject.memberships] == [State.SCHEDULED]
    assert entry.last_installed_action == 0


def test_the_words_of_a_fleet_are_each_told_once(shelf: Shelf) -> None:
    assert shelf.devices.words(HERE, Field.HARDWARE, 5) == []
    boards = [Hardware("b"), Hardware("a", "2"), Hardware("a", "1"), Hardware("\U0001f680"), Hardware("Z")]
    shelf.devices.add(
        HERE,
        [(a_device(f"d-{n}", hardware=board, tags=("x", f"t{n % 2}")), b"") for n, board in enumerate(boards)],
    )
    shelf.devices.add(THERE, [(a_device("d-1", hardware=Hardware("c"), tags=("y",)), b"")])
    assert shelf.devices.words(HERE, Field.HARDWARE, 5) == ["Z", "a", "b", "\U0001f680"]
    assert shelf.devices.words(HERE, Field.HARDWARE, 2) == ["Z", "a"]
    assert shelf.devices.words(HERE, Field.TAG, 5) == ["t0", "t1", "x"]
    assert shelf.devices.words(THERE, Field.TAG, 1) == ["y"]
    assert shelf.devices.words(HERE, Field.REVISION, 5) == ["1", "2"]


def test_the_names_of_a_fleet_and_their_words(shelf: Shelf) -> None:
    assert shelf.devices.words(HERE, Field.ATTRIBUTE, 5) == []
    fleet = [a_device(f"d-{n}", attributes={"b": str(n % 3), "a": "x"}, runs={"app": f"1.{n % 2}"}) for n in range(6)]
    shelf.devices.add(HERE, [(device, b"") for device in fleet])
    shelf.devices.add(THERE, [(a_device("d-1", attributes={"c": "y"}, runs={"os": "9"}), b"")])
    assert shelf.devices.words(HERE, Field.ATTRIBUTE, 5) == ["a", "b"]
    assert shelf.devices.words(HERE, Field.ATTRIBUTE, 2, "b") == ["0", "1"]
    assert shelf.devices.words(HERE, Field.ATTRIBUTE, 5, "c") == []
    assert shelf.devices.words(HERE, Field.INSTALLED, 5) == ["app"]
    assert shelf.devices.words(HERE, Field.INSTALLED, 5, "app") == ["1.0", "1.1"]


def test_facts_are_what_a_device_told_of_what_is_asked(shelf: Shelf) -> None:
    shelf.stock(HERE, [a_device("dev-1", attributes={"battery": "12", "idle": "true", "site": "a"})])
    shelf.stock(THERE, [a_device("dev-1", attributes={"battery": "99"})])
    assert shelf.devices.facts(HERE, DEV, {"battery", "site", "door"}) == (("battery", "12"), ("site", "a"))
    assert shelf.devices.facts(HERE, DEV, ()) == ()
    assert shelf.devices.facts(HERE, DeviceId("nobody"), {"battery"}) == ()


def test_telemetry_is_a_fact_before_the_attribute_of_its_name(shelf: Shelf) -> None:
    shelf.stock(HERE, [a_device("dev-1", attributes={"battery": "12", "site": "a"})])
    row = {"tenant": HERE, "device": DEV, "name": "battery", "value": 80.5, "since": NOW}
    shelf.session.connection.execute(insert(telemetry_last).values(**row))
    assert shelf.devices.facts(HERE, DEV, {"battery", "site", "signal"}) == (("battery", "80.5"), ("site", "a"))
    assert shelf.devices.facts(THERE, DEV, {"battery"}) == ()
