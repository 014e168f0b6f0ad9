"""The ports `Groups` and `Attributes`, on both engines; and the words of a fleet that begin so."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.domain.attribute import MAX_CHANGES, AttributeChange, AttributeKind, Declared
from otaru.domain.group import Group, GroupName
from otaru.domain.ids import DeviceId
from otaru.domain.targeting import Compared, Field, Relation
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, later, open_shelf

LAB, HAND = GroupName("lab"), GroupName("hand")
LEVEL = Declared("level", AttributeKind.NUMBER, NOW)
BELOW = Compared(Field.ATTRIBUTE, "level", Relation.BEFORE, "20", AttributeKind.NUMBER)


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        for tenant in (HERE, THERE):
            levels = ("7", "100", "lie")
            shelf.stock(tenant, [a_device(f"dev-{n}", attributes={"level": level}) for n, level in enumerate(levels)])
        yield shelf


def named(*numbers: int) -> list[DeviceId]:
    return [DeviceId(f"dev-{number}") for number in numbers]


def test_groups_come_back_by_name(shelf: Shelf) -> None:
    lab, hand = Group(LAB, "tag=='it''s'", "ü", NOW, NOW), Group(HAND, None, "", NOW, NOW)
    assert [shelf.groups.add(HERE, group) for group in (lab, hand, replace(lab, query=None))] == [True, True, False]
    assert shelf.groups.page(HERE, None, 9) == [hand, lab]
    assert shelf.groups.page(HERE, "hand", 1) == [lab]
    changed = replace(lab, query="id==*", description="", updated_at=later(1), edition=2)
    shelf.groups.save(HERE, changed)
    assert shelf.groups.get(HERE, "lab") == changed
    assert (shelf.groups.get(THERE, "lab"), shelf.groups.page(THERE, None, 9)) == (None, [])
    shelf.groups.remove(THERE, LAB)
    shelf.groups.remove(HERE, LAB)
    assert shelf.groups.page(HERE, None, 9) == [hand]


def test_lists_are_of_one_tenant(shelf: Shelf) -> None:
    for tenant in (HERE, THERE):
        shelf.groups.add(tenant, Group(HAND, None, "", NOW, NOW))
    assert shelf.groups.enter(HERE, HAND, named(0, 1, 0)) == 2
    assert shelf.groups.enter(HERE, HAND, named(1, 2)) == 1
    assert shelf.groups.leave(HERE, HAND, named(0, 7)) == 1
    assert (shelf.groups.members(HERE, HAND), shelf.groups.members(THERE, HAND)) == (2, 0)
    assert shelf.groups.leave(THERE, HAND, named(1)) == 0
    assert shelf.groups.of_device(HERE, named(1)[0]) == [HAND]
    assert shelf.groups.of_device(THERE, named(1)[0]) == []
    shelf.groups.remove(HERE, HAND)
    assert shelf.groups.of_device(HERE, named(1)[0]) == []
    assert shelf.groups.enter(HERE, HAND, []) == 0


def test_what_is_declared_is_sorted_step_by_step(shelf: Shelf) -> None:
    shelf.attributes.declare(HERE, LEVEL)
    assert shelf.attributes.sort(HERE, LEVEL, None, 2) == named(1)[0]
    assert shelf.attributes.declared(HERE) == [LEVEL]
    assert shelf.attributes.sort(HERE, LEVEL, named(1)[0], 2) is None
    assert shelf.attributes.declared(HERE) == [replace(LEVEL, ready=True)]
    assert [device.id for device in shelf.devices.page(HERE, BELOW, None, 9)] == named(0)
    assert (shelf.devices.count(THERE, BELOW), shelf.attributes.declared(THERE)) == (0, [])
    assert (shelf.attributes.unreadable(HERE, "level"), shelf.attributes.unreadable(THERE, "level")) == (1, 0)
    assert [shelf.attributes.clear(HERE, "level", 2) for _ in range(3)] == [2, 1, 0]
    assert shelf.devices.count(HERE, BELOW) == 0
    shelf.attributes.drop(HERE, "level")
    assert shelf.attributes.declared(HERE) == []


def test_what_became_of_attributes_is_bounded_and_forgotten(shelf: Shelf) -> None:
    device = shelf.devices.get(HERE, named(0)[0])
    assert device is not None
    for step in range(1, 8):
        facts = {f"a{number:02}": str(step) for number in range(80)}
        shelf.devices.save(HERE, replace(device, attributes=facts, updated_at=later(step)))
    found = shelf.attributes.changes(HERE, device.id, None, 1000)
    assert len(found) <= MAX_CHANGES
    assert found[0] == AttributeChange(later(7), "a00", "6", "7")
    assert found[-1].at == later(2)
    after = (found[99].at, found[99].name)
    assert shelf.attributes.changes(HERE, device.id, after, 2) == found[100:102]
    assert shelf.attributes.changes(THERE, device.id, None, 9) == []
    assert [shelf.attributes.prune(later(4), 100) for _ in range(3)] == [100, len(found) - 100 - 320, 0]
    assert shelf.attributes.purge(THERE, device.id) == 0
    assert shelf.attributes.purge(HERE, device.id) == 320


def test_words_are_found_by_how_they_begin(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(a_device("x", tags=("lab", "la%", "beta", "l"), runs={"app": "1.10"}), b"x")])
    assert shelf.devices.words(HERE, Field.TAG, 9, prefix="la") == ["la%", "lab"]
    assert shelf.devices.words(HERE, Field.TAG, 1, prefix="l") == ["l"]
    assert shelf.devices.words(HERE, Field.ATTRIBUTE, 9, prefix="lev") == ["level"]
    assert shelf.devices.words(HERE, Field.ATTRIBUTE, 9, "level", prefix="1") == ["100"]
    assert shelf.devices.words(HERE, Field.INSTALLED, 9, "app", prefix="1.1") == ["1.10"]
    assert shelf.devices.words(THERE, Field.TAG, 9, prefix="l") == []
