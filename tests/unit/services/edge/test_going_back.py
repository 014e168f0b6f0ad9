"""A person at the device goes back to the version before: where it lies here, and no counter forbids it."""

from collections.abc import Callable

import pytest

from otaru.adapters.board.journal import FileJournal
from otaru.domain import deployment
from otaru.domain.update import Outcome, State
from otaru.errors import InvalidStateError, NothingToDoError, RefusedError
from otaru.services.edge.update import Updater
from tests.support.edge import OLD_APP, Device, Server, begun, rounds

NEW, NEWER = b"app 2.0.0 " * 5000, b"app 3.0.0 " * 5000
Final = deployment.State


@pytest.fixture
def device() -> Device:
    return Device(Server()).provision()


def updated(device: Device, version: str = "2.0.0", data: bytes = NEW, **custom: object) -> Updater:
    server = device.server
    server.direct(version, server.release(version, {"app": ("file", data)}, **custom))
    agent = begun(device)
    rounds(agent, lambda: server.state is Final.SUCCEEDED)
    return agent


def test_it_goes_back_at_once_and_says_so(device: Device) -> None:
    agent = updated(device)
    agent.roll_back("it rattles")
    assert device.app() == OLD_APP
    assert agent.record.state is State.IDLE
    assert agent.record.installed == {}
    assert [past.outcome for past in agent.record.history] == [Outcome.SUCCEEDED, Outcome.REVERTED]
    told = list(device.server.heard.values())[-1]
    assert (told.event, told.code, told.text) == (deployment.Event.REVERT, "rolled_back", ("it rattles",))
    assert device.server.installed == {}
    with pytest.raises(NothingToDoError):
        agent.roll_back("again")


def test_each_update_can_be_gone_back_from_and_then_be_taken_again(device: Device) -> None:
    updated(device)
    agent = updated(device, "3.0.0", NEWER)
    agent.roll_back("")
    assert device.app() == NEW
    assert agent.record.installed == {"app": "2.0.0"}
    updated(device, "3.0.0", NEWER)
    assert device.app() == NEWER


def test_the_server_hears_of_it_when_it_is_back(device: Device) -> None:
    agent = updated(device)
    device.server.down = True
    agent.roll_back("")
    assert device.app() == OLD_APP
    device.server.down = False
    agent.tick()
    assert list(device.server.heard.values())[-1].code == "rolled_back"


def test_nobody_goes_behind_a_counter(device: Device) -> None:
    updated(device, releaseCounter=3)
    agent = updated(device, "3.0.0", NEWER, releaseCounter=4)
    with pytest.raises(RefusedError, match="counter of app has risen to 4"):
        agent.roll_back("")
    assert device.app() == NEWER
    assert agent.record.state is State.IDLE


def test_a_counter_that_stayed_allows_it(device: Device) -> None:
    updated(device, releaseCounter=4)
    agent = updated(device, "3.0.0", NEWER, releaseCounter=4)
    agent.roll_back("")
    assert device.app() == NEW


def never_updated(device: Device) -> Updater:
    return begun(device)


def failed_since(device: Device) -> Updater:
    """What an update that failed has written over what lay beside."""
    updated(device)
    device.sick = True
    server = device.server
    server.direct("3.0.0", server.release("3.0.0", {"app": ("file", NEWER)}))
    agent = begun(device)
    for _ in range(30):
        device.clock.passed += agent.tick().total_seconds()
        if server.state in deployment.FINAL:
            return agent
    raise AssertionError(agent.record)


def gone_behind_our_back(device: Device) -> Updater:
    agent = updated(device)
    device.disk.remove("/opt/app/current")
    device.disk.link("/opt/app/current", "versions/old")
    return agent


@pytest.mark.parametrize("made", [never_updated, failed_since, gone_behind_our_back])
def test_there_is_nothing_to_go_back_to(device: Device, made: Callable[[Device], Updater]) -> None:
    agent = made(device)
    before = agent.record
    with pytest.raises(NothingToDoError):
        agent.roll_back("")
    assert agent.record == before == FileJournal(device.disk, "/data/journal").load()


def test_an_update_under_way_is_not_gone_back_from(device: Device) -> None:
    server = device.server
    updated(device)
    server.direct("3.0.0", server.release("3.0.0", {"app": ("file", NEWER)}))
    device.sick = True
    agent = begun(device)
    agent.tick()
    assert agent.record.state is State.ON_TRIAL
    with pytest.raises(InvalidStateError):
        agent.roll_back("")
