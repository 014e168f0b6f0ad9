"""Drift is told once each time that it changes, and looked for after each update and now and then."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from otaru.domain.device import Merge
from otaru.domain.drift import NONE, drifted
from otaru.domain.update import State
from otaru.domain.update_record import Record
from otaru.errors import UnavailableError
from otaru.ports.board import Drift
from otaru.services.edge.drift import MAX_NAMED, DriftWatch, said_of
from tests.support.edge import Clock, Server


class Told(Server):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[dict[str, str]] = []

    def describe(self, attributes: Mapping[str, str], mode: Merge = Merge.MERGE) -> None:
        assert mode is Merge.MERGE
        if self.down:
            raise UnavailableError("the server does not answer")
        self.said.append(dict(attributes))


class Settings:
    def __init__(self) -> None:
        self.found: Drift | None = None
        self.looks = 0

    def drift(self) -> Drift | None:
        self.looks += 1
        if self.found is None:
            return None
        if self.found.changed == ("disk",):
            raise OSError(5, "Input/output error")
        return self.found


def test_what_changes_is_told_once() -> None:
    server, clock, settings = Told(), Clock(), Settings()
    watch = DriftWatch({"settings": (settings, timedelta(hours=1))}, server, clock)
    watch.look(Record())
    assert server.said == [], "nothing was ever installed"
    settings.found = Drift()
    watch.look(Record())
    assert settings.looks == 1, "it is not time yet"
    watch.look(Record(number=1, state=State.INSTALLING))
    assert settings.looks == 1, "an update is under way"
    watch.look(Record(number=1))
    watch.look(Record(number=1))
    assert (settings.looks, server.said) == (2, [{"drift.settings": NONE}])
    settings.found = Drift(("app.toml", "motd"))
    clock.passed += 3600
    server.down = True
    watch.look(Record(number=1))
    server.down = False
    watch.look(Record(number=1))
    assert settings.looks == 3
    assert server.said[1:] == [{"drift.settings": "app.toml,motd"}]
    settings.found = Drift(("disk",))
    clock.passed += 3600
    watch.look(Record(number=1))
    assert len(server.said) == 2, "a disk that cannot be read says nothing"


def test_it_is_logged_once_too(caplog: pytest.LogCaptureFixture) -> None:
    clock, settings = Clock(), Settings()
    watch = DriftWatch({"settings": (settings, timedelta(hours=1))}, Told(), clock)
    for changed in ("motd", "motd", "disk", "disk", "motd", "", "motd"):
        settings.found = Drift((changed,) if changed else ())
        watch.look(Record())
        clock.passed += 3600
    drifted_, broken = "settings: it is not as it was installed: motd", "settings: [Errno 5] Input/output error"
    assert [one.message for one in caplog.records] == [drifted_, broken, drifted_, drifted_]


def test_its_words() -> None:
    assert said_of(Drift()) == NONE
    assert said_of(Drift(("a", "b"), ("a", "b"))) == "put back: a,b"
    assert said_of(Drift(("a", "b"), ("a",))) == "b"
    assert said_of(Drift(tuple(f"f{n}" for n in range(MAX_NAMED + 3)))).endswith("f9 and 3 more")


def test_the_server_reads_what_the_device_says() -> None:
    attributes = {"drift.settings": "app.toml", "drift.other": NONE, "site": "depot"}
    assert drifted(attributes) == {"settings": "app.toml"}


def test_it_is_looked_for_between_two_polls() -> None:
    server, clock, settings = Told(), Clock(), Settings()
    settings.found = Drift()
    watch = DriftWatch({"settings": (settings, timedelta(minutes=5))}, server, clock)
    watch.work(Record())
    assert settings.looks == 0, "the first look is the one after a round"
    watch.look(Record())
    assert watch.due_in_s() == 300
    clock.passed += 299
    watch.work(Record())
    assert settings.looks == 1
    clock.passed += 1
    assert watch.due_in_s() == 1, "it never keeps the agent awake"
    watch.work(Record(state=State.INSTALLING))
    assert (settings.looks, watch.due_in_s()) == (1, 60)
    clock.passed += 60
    settings.found = Drift(("motd",))
    watch.work(Record())
    assert (settings.looks, watch.due_in_s()) == (2, 300)
    assert server.said[-1] == {"drift.settings": "motd"}
