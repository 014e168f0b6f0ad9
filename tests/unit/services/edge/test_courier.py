"""A backup is brought part by part, goes on where the server is, and is given up where the server takes it never."""

from dataclasses import dataclass, field
from hashlib import sha256

import pytest

from otaru.domain.backup import MAX_PART
from otaru.domain.update import State
from otaru.domain.update_record import Record
from otaru.errors import BackupsOffError, InvalidInputError, TooLargeError, UnavailableError
from otaru.services.edge.courier import OFF_S, PARTS, Courier
from tests.support.edge import Clock

DATA = bytes(range(256)) * (MAX_PART // 256) * (PARTS + 2) + b"end"


@dataclass
class Shelf:
    waiting: list[str] = field(default_factory=lambda: ["000007"])
    why: str = ""

    def newest(self) -> str | None:
        return self.waiting[-1] if self.waiting else None

    def size_of(self, name: str) -> int:
        assert name == "000007"
        return len(DATA)

    def read(self, name: str, first: int, length: int) -> bytes:
        assert name == "000007"
        return DATA[first : first + length]

    def sent(self, name: str) -> None:
        self.waiting.remove(name)

    def withheld(self, why: str) -> None:
        self.why = why


@dataclass
class Road:
    here: bytes = b""
    fails: Exception | None = None
    stuck: bool = False

    def backed_up(self, digest: str) -> int:
        assert digest == sha256(DATA).hexdigest()
        if self.fails is not None:
            raise self.fails
        return len(self.here)

    def back_up(self, name: str, first: int, content: bytes, size: int, sha256: str) -> int:
        assert (name, size, len(sha256), len(content) <= MAX_PART) == ("000007", len(DATA), 64, True)
        if first == len(self.here) and not self.stuck:
            self.here += content
        return len(self.here)


def test_it_comes_whole_in_some_rounds() -> None:
    shelf, road = Shelf(), Road(here=DATA[:100])
    courier = Courier(shelf, road, Clock())
    assert not courier.carry(Record(State.INSTALLING)), "an update is under way"
    assert len(road.here) == 100
    rounds = 0
    while courier.carry(Record()):
        rounds += 1
    assert (rounds, road.here == DATA, shelf.waiting) == (1, True, [])
    assert not courier.carry(Record())


@pytest.mark.parametrize(
    ("error", "kept"),
    [(UnavailableError("no"), True), (TooLargeError("no room"), False), (InvalidInputError("others"), False)],
)
def test_what_cannot_be_brought_waits_or_is_given_up(error: Exception, kept: bool) -> None:
    shelf = Shelf()
    assert not Courier(shelf, Road(fails=error), Clock()).carry(Record())
    assert bool(shelf.waiting) is kept


def test_a_server_that_takes_no_more_is_not_asked_for_ever() -> None:
    shelf = Shelf()
    assert not Courier(shelf, Road(stuck=True), Clock()).carry(Record())
    assert shelf.waiting


def test_a_server_that_takes_none_is_asked_again_after_an_hour_and_says_why() -> None:
    shelf, road, clock = Shelf(), Road(fails=BackupsOffError("the tenant takes none")), Clock()
    courier = Courier(shelf, road, clock)
    assert not courier.carry(Record())
    assert (shelf.waiting, shelf.why) == (["000007"], "the tenant takes none")
    road.fails = None
    assert not courier.carry(Record())
    assert road.here == b"", "not within the hour"
    clock.passed += OFF_S
    while courier.carry(Record()):
        pass
    assert (road.here == DATA, shelf.waiting, shelf.why) == (True, [], "")
