"""A person goes back to the version before, and the power goes at every operation of that."""

from collections import Counter

import pytest

from otaru.adapters.board.journal import FileJournal
from otaru.domain import deployment
from otaru.domain.link import Note
from otaru.domain.update import State
from otaru.errors import NothingToDoError
from tests.support.edge import OLD_APP, OLD_OS, Device, Server
from tests.support.modeldisk import Fate, PowerCut

NEW_OS, NEW_APP = b"os 2.0.0 " * 4000, b"app 2.0.0 " * 3000
FATES = ((Fate.LOST, 0), (Fate.KEPT, 0), (Fate.TORN, 1), (Fate.TORN, 2))


def updated() -> Device:
    server = Server()
    device = Device(server).provision()
    server.direct("2.0.0", server.release("2.0.0", {"os": ("raw", NEW_OS), "app": ("file", NEW_APP)}))
    device.live(lambda device: device.server.state in deployment.FINAL)
    assert server.state is deployment.State.SUCCEEDED
    return device


def go_back(base: Device, cut: int | None, fate: Fate = Fate.LOST, seed: int = 0) -> Device:
    """Somebody asks once; if the power goes before it was written down, he asks again."""
    server = Server(base.server.site, offer=base.server.offer, state=base.server.state, number=base.server.number)
    device = Device(server, base.disk.copy())
    device.disk.cuts = frozenset() if cut is None else frozenset({cut})
    device.disk.fate, device.disk.seed = fate, seed
    for _ in range(10):
        try:
            agent, _ = device.boot()
            agent.start()
            if agent.record.state is State.IDLE and not told(server):
                try:
                    agent.roll_back("it rattles")
                except NothingToDoError:
                    agent.tick()  # it was done, and is told now
            for _ in range(20):
                agent.tick()
                if agent.record.state is State.IDLE and told(server):
                    return device
        except PowerCut:
            device.disk.cut()
    raise AssertionError(FileJournal(device.disk, "/data/journal").load())


def told(server: Server) -> list[Note]:
    return [note for note in server.heard.values() if note.code == "rolled_back"]


def check(device: Device) -> None:
    (note,) = told(device.server)
    assert note.event is deployment.Event.REVERT
    agent, slot = device.boot()
    assert (device.os(slot), device.app()) == (OLD_OS, OLD_APP)
    agent.start()
    assert (agent.record.state, agent.record.former, agent.record.strikes) == (State.IDLE, None, {})
    assert agent.record.installed == {}


@pytest.mark.slow
def test_a_cut_at_every_point_of_the_way_back() -> None:
    every(1)


def test_a_cut_at_some_points_of_the_way_back() -> None:
    every(5)


def every(nth: int) -> None:
    base = updated()
    whole = go_back(base, None)
    check(whole)
    counted: Counter[str] = Counter()
    for point, what in enumerate(whole.disk.trace):
        for number, (fate, seed) in enumerate(FATES):
            if (point * len(FATES) + number) % nth:
                continue
            device = go_back(base, point, fate, seed)
            try:
                check(device)
            except AssertionError as error:
                raise AssertionError(f"cut at {point} {what} ({fate} {seed}): {error}") from None
            counted[what.partition(":")[0]] += 1
    print(f"\ngoing back: {counted.total()} cuts: {dict(counted)}")  # noqa: T201 - pytest -s shows it
