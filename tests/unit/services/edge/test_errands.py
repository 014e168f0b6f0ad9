"""Errands on the device: a hostile server has nothing run but what is listed, each once, whatever goes off when."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.adapters.board.disk import make_folders, replace
from otaru.adapters.board.ledger import FileLedger
from otaru.domain.errand import MAX_PART, OPEN, Asked, State, Went, What
from otaru.domain.errand_book import Book
from otaru.errors import BackupError, InstallError, InvalidInputError, NotFoundError, OtaruError, UnavailableError
from otaru.ports.remote import Boot, Ran, Sharing
from otaru.services.edge.errands import Errands, Limits
from tests.support.edge import Clock, Server
from tests.support.modeldisk import Fate, ModelDisk, PowerCut

DATA = bytes(range(256)) * 1500
"""Three parts of diagnostics."""


@dataclass
class Asking(Server):
    """A server that keeps errands as ours does; or says whatever it likes."""

    stands: dict[int, State] = field(default_factory=dict)
    said: list[Went] = field(default_factory=list)
    sent: bytearray = field(default_factory=bytearray)
    breaks: int = -1
    """The call at which the link breaks."""
    deaf: bool = False
    """It takes no part."""
    refuses: OtaruError | None = None
    """What it says to every part."""

    def _call(self) -> None:
        self.breaks -= 1
        if self.breaks == -1:
            raise UnavailableError("the link broke")

    def errands(self, said: Sequence[Went]) -> dict[int, State | None]:
        self._call()
        found: dict[int, State | None] = {}
        for one in said:
            if one.number in self.stands and self.stands[one.number] in {State.WAITING, State.TAKEN}:
                self.stands[one.number] = one.state
                self.said.append(one)
            found[one.number] = self.stands.get(one.number)
        return found

    def received(self, errand: int) -> int:
        self._call()
        if self.stands.get(errand) is not State.TAKEN:
            raise NotFoundError("it waits for none")
        return len(self.sent)

    def send(self, errand: int, first: int, content: bytes, size: int, sha256: str) -> int:  # noqa: ARG002
        self._call()
        assert len(content) <= MAX_PART
        if self.refuses is not None:
            raise self.refuses
        if first == len(self.sent) and not self.deaf:
            self.sent += content
        return len(self.sent)


@dataclass
class Backups:
    """Two backups; what they are put back over is two files, one after the other."""

    disk: ModelDisk
    kept: tuple[str, ...] = ("000001", "000002")
    begun: list[str] = field(default_factory=list)
    broken: bool = False
    cut: bool = False
    """The power goes between the two."""

    def names(self) -> list[str]:
        return list(self.kept)

    def save(self, components: Collection[str], release: str) -> str:
        raise NotImplementedError

    def restore(self, name: str) -> None:
        self.begun.append(name)
        if self.broken:
            raise BackupError("it is not whole")
        for one in ("/data/a", "/data/b"):
            replace(self.disk, one, name.encode())
            if self.cut:
                raise PowerCut

    def back(self) -> list[str]:
        """What is in its place."""
        found = [self.disk.read_at(one, 0, 9) for one in ("/data/a", "/data/b") if self.disk.size(one) is not None]
        return [one.decode() for one in found]


@dataclass
class Device:
    """What a device did."""

    disk: ModelDisk
    server: Asking
    ran: list[str] = field(default_factory=list)
    reboots: int = 0
    boots: int = 1
    up_s: float = 10_000
    sharing: Sharing = field(default_factory=Sharing)
    clock: Clock = field(default_factory=Clock)
    names = frozenset({"ok", "bad", "gone"})
    safe: "Backups | None" = None

    def __post_init__(self) -> None:
        self.safe = Backups(self.disk)

    # Commands
    def run(self, name: str) -> Ran:
        if name == "gone":
            raise InstallError("it is not there")
        self.ran.append(name)
        return Ran(3 if name == "bad" else 0, f"{name} was run")

    # Gauges
    def read(self, off: Sequence[str]) -> dict[str, float]:  # noqa: ARG002
        return {}

    def boot(self) -> Boot:
        return Boot(f"boot-{self.boots}")

    def uptime_s(self) -> float:
        return self.up_s

    # Power
    def reboot(self) -> None:
        self.reboots += 1

    # Consent
    def now(self) -> Sharing:
        return self.sharing

    # Diagnoser
    def collect(self, number: int) -> tuple[int, str]:  # noqa: ARG002
        return len(DATA), sha256(DATA).hexdigest()

    def part(self, number: int, first: int, length: int) -> bytes:  # noqa: ARG002
        return DATA[first : first + length]

    def forget(self, number: int) -> None: ...

    def started(self, **limits: object) -> Errands:
        """The agent's process, begun anew."""
        made = Errands(
            FileLedger(self.disk, "/data/errands"),
            self.server,
            self.clock,
            self,
            self,
            self,
            self,
            self,
            Limits(**{"reboot": True, "restore": True, **limits}),  # type: ignore[arg-type]
            self.safe,
        )
        made.start()
        return made


@pytest.fixture
def device() -> Device:
    return a_device()


def a_device() -> Device:
    disk = ModelDisk()
    make_folders(disk, "/data")
    return Device(disk, Asking())


def asked(device: Device, what: What, name: str = "", number: int = 1) -> Asked:
    device.server.stands[number] = State.WAITING
    return Asked(number, what, name)


def went(
    device: Device, *asks: Asked, resting: bool = True, limits: Mapping[str, object] | None = None
) -> list[tuple[State, str]]:
    errands = device.started(**(limits or {}))
    for _ in range(2):
        errands.hear(asks, resting=resting)
    assert errands.book.pages == () or errands.book.pages[0].what is What.REBOOT
    return [(one.state, one.code) for one in device.server.said]


def test_a_command_of_the_list_is_run_once(device: Device) -> None:
    one = asked(device, What.RUN, "ok")
    assert went(device, one, one) == [(State.TAKEN, ""), (State.DONE, "")]
    assert device.server.said[-1].text == "ok was run"
    assert device.ran == ["ok"]


@pytest.mark.parametrize(("name", "code"), [("bad", "exit_3"), ("gone", "not_run")])
def test_what_fails_says_so(device: Device, name: str, code: str) -> None:
    assert went(device, asked(device, What.RUN, name))[-1] == (State.FAILED, code)


@pytest.mark.parametrize("name", ["rm -rf /", "", "OK", "ok;reboot", "../ok", "ok\0"])
def test_what_is_not_listed_is_refused(device: Device, name: str) -> None:
    assert went(device, asked(device, What.RUN, name)) == [(State.REFUSED, "not_allowed")]
    assert device.ran == []


@pytest.mark.parametrize(
    ("what", "limits", "sharing", "code"),
    [
        (What.REBOOT, {"reboot": False}, Sharing(), "not_allowed"),
        (What.DIAGNOSE, {"diagnostics": False}, Sharing(), "not_allowed"),
        (What.REBOOT, {}, Sharing(commands=False), "consent"),
        (What.DIAGNOSE, {}, Sharing(diagnostics=False), "consent"),
        (What.REBOOT, {"trusted": False}, Sharing(), "insecure"),
        (What.RESTORE, {"restore": False}, Sharing(), "not_allowed"),
        (What.RESTORE, {}, Sharing(commands=False), "consent"),
        (What.RESTORE, {"trusted": False}, Sharing(), "insecure"),
        (What.REBOOT, {"least_uptime_s": 20_000}, Sharing(), "too_often"),
        (What.DIAGNOSE, {"per_hour": 0}, Sharing(), "too_often"),
    ],
)
def test_maker_owner_and_limits_come_first(
    device: Device, what: What, limits: dict[str, object], sharing: Sharing, code: str
) -> None:
    device.sharing = sharing
    assert went(device, asked(device, what), limits=limits) == [(State.REFUSED, code)]
    assert (device.reboots, bytes(device.server.sent)) == (0, b"")


def test_so_many_in_an_hour(device: Device) -> None:
    errands = device.started(per_hour=2)
    for number in range(1, 6):
        errands.hear([asked(device, What.RUN, "ok", number)], resting=True)
    assert device.ran == ["ok"] * 2
    device.clock.passed += 3601
    errands.hear([asked(device, What.RUN, "ok", 9)], resting=True)
    assert device.ran == ["ok"] * 3


def test_what_was_recalled_is_not_run(device: Device) -> None:
    one = asked(device, What.RUN, "ok")
    device.server.stands[1] = State.CANCELLED
    errands = device.started()
    errands.hear([one], resting=True)
    assert device.ran == []
    assert errands.book == Book()


def test_a_server_that_was_put_back_gets_nothing_twice(device: Device) -> None:
    assert went(device, asked(device, What.RUN, "ok", 5))[-1] == (State.DONE, "")
    device.server.said.clear()
    assert went(device, asked(device, What.RUN, "ok", 5), asked(device, What.RUN, "ok", 3)) == [
        (State.FAILED, "known"),
        (State.FAILED, "known"),
    ]
    assert device.ran == ["ok"]


def test_no_reboot_in_an_update(device: Device) -> None:
    one = asked(device, What.REBOOT)
    assert went(device, one, resting=False) == []
    assert went(device, one) == [(State.TAKEN, "")]
    assert device.reboots == 1
    device.boots += 1
    assert went(device, one)[-1] == (State.DONE, "")
    assert device.reboots == 1


def test_a_reboot_that_does_not_come_about_has_failed(device: Device) -> None:
    errands = device.started()
    one = asked(device, What.REBOOT)
    errands.hear([one], resting=True)
    device.clock.passed += 301
    errands.hear([one], resting=True)
    assert (device.server.said[-1].state, device.server.said[-1].code) == (State.FAILED, "not_run")
    assert device.reboots == 1


@pytest.mark.parametrize(("name", "which"), [("", "000002"), ("000001", "000001")])
def test_a_backup_is_put_back(device: Device, name: str, which: str) -> None:
    one = asked(device, What.RESTORE, name)
    assert went(device, one, resting=False) == [], "an update goes first"
    assert went(device, one, one) == [(State.TAKEN, ""), (State.DONE, "")]
    assert device.safe is not None
    assert (device.safe.begun, device.safe.back()) == ([which], [which] * 2)
    assert which in device.server.said[-1].text


@pytest.mark.parametrize("name", ["000003", "../000001", "000001.age", "\x00"])
def test_a_backup_that_is_not_here_is_refused(device: Device, name: str) -> None:
    assert went(device, asked(device, What.RESTORE, name)) == [(State.REFUSED, "no_backup")]
    assert device.safe is not None
    device.safe.kept = ()
    assert went(device, asked(device, What.RESTORE, "", 2))[-1] == (State.REFUSED, "no_backup")
    assert device.safe.begun == []


def test_a_device_that_saves_nothing_refuses(device: Device) -> None:
    device.safe = None
    assert went(device, asked(device, What.RESTORE)) == [(State.REFUSED, "not_allowed")]


def test_a_backup_that_cannot_be_put_back_says_so(device: Device) -> None:
    assert device.safe is not None
    device.safe.broken = True
    assert went(device, asked(device, What.RESTORE))[-1] == (State.FAILED, "not_restored")
    assert len(device.safe.begun) == 1, "not again by itself"


def test_putting_back_goes_on_before_any_server_is_asked_and_not_for_ever(device: Device) -> None:
    assert device.safe is not None
    one = asked(device, What.RESTORE)
    device.safe.cut = True
    with pytest.raises(PowerCut):
        device.started().hear([one], resting=True)
    device.safe.cut = False
    assert device.safe.back() == ["000002"], "the one, and not the other"
    device.started()
    assert device.safe.back() == ["000002"] * 2
    assert [one.state for one in device.server.said] == [State.TAKEN], "told with the next poll"
    device.started().hear([], resting=True)
    assert device.server.said[-1].state is State.DONE
    second, begun = asked(device, What.RESTORE, "", 2), len(device.safe.begun)

    device.safe.cut = True
    with pytest.raises(PowerCut):
        device.started().hear([second], resting=True)
    for _ in range(20):
        with suppress(PowerCut):
            device.started()
    device.started().hear([], resting=True)
    assert (device.server.said[-1].state, device.server.said[-1].code) == (State.FAILED, "not_restored")
    assert (begun, len(device.safe.begun)) == (2, 2 + 6)


def test_diagnostics_go_on_where_the_link_broke(device: Device) -> None:
    one = asked(device, What.DIAGNOSE)
    for breaks in range(1, 8):
        device.server.breaks = breaks
        device.started().hear([one], resting=True)
    device.server.breaks = -1
    device.started().hear([one], resting=True)
    assert bytes(device.server.sent) == DATA
    assert device.server.stands[1] is State.DONE


def test_a_server_that_takes_nothing_is_given_up(device: Device) -> None:
    device.server.deaf = True
    assert went(device, asked(device, What.DIAGNOSE))[-1] == (State.FAILED, "not_taken")


def test_a_book_that_cannot_be_read_lets_nothing_be_run(device: Device) -> None:
    for which in (0, 1):
        device.disk.write_at(f"/data/errands.{which}", 0, b"rubbish")
        device.disk.sync(f"/data/errands.{which}")
    device.started().hear([asked(device, What.RUN, "ok")], resting=True)
    assert device.ran == []
    assert device.server.said == []


@pytest.mark.parametrize("fate", list(Fate))
@pytest.mark.parametrize("what", list(What))
def test_power_goes_at_every_write_and_nothing_is_done_twice(what: What, fate: Fate) -> None:
    """At each operation on the disk; afterwards the errand ends all the same, and the server is told one end."""
    cuts = 0
    for at in range(60):
        device = a_device()
        one = asked(device, what, "ok" if what is What.RUN else "")
        device.disk.fate, device.disk.seed = fate, at
        device.disk.cuts = frozenset({device.disk.points + at})
        try:
            errands = device.started()
            for _ in range(3):
                errands.hear([one], resting=True)
        except PowerCut:
            cuts += 1
        device.disk.cuts = frozenset()
        for _ in range(3):
            device.boots += 1
            device.started().hear([one] if device.server.stands[1] in OPEN else [], resting=True)
        assert device.server.stands[1] in {State.DONE, State.FAILED}, at
        assert len(device.ran) <= 1, at
        assert device.reboots <= 1, at
        if device.safe is not None and device.safe.begun:
            assert device.safe.back() == ["000002"] * 2, at
    assert cuts >= (4 if what is What.REBOOT else 12)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-5, 30),
            st.sampled_from(list(What)),
            st.sampled_from(["", "000001", "ok", "bad", "gone", "sh", "ok ok", "\x00"]),
            st.booleans(),
        ),
        max_size=25,
    ),
    st.integers(0, 5),
)
def test_whatever_a_server_says_only_the_list_is_run(orders: list[tuple[int, What, str, bool]], per_hour: int) -> None:
    device = a_device()
    errands = device.started(per_hour=per_hour)
    begun: list[int] = []
    for number, what, name, resting in orders:
        device.server.stands[number] = State.WAITING
        before = (len(device.ran), device.reboots, len(device.server.sent))
        errands.hear([Asked(number, what, name)], resting=resting)
        if (len(device.ran), device.reboots, len(device.server.sent)) != before:
            begun.append(number)
    assert set(device.ran) <= device.names
    assert begun == sorted(set(begun)), "each number once, and only upwards"
    assert len(begun) <= per_hour


def test_a_refusal_to_take_the_last_word_is_bounded(device: Device) -> None:
    device.server.breaks = 1  # the link breaks when the end is told
    errands = device.started()
    one = asked(device, What.RUN, "ok")
    errands.hear([one], resting=True)
    assert errands.book.page(1) is not None
    errands.hear([one], resting=True)
    assert (errands.book.page(1), device.ran) == (None, ["ok"])


def test_a_part_that_is_refused_for_good_ends_it(device: Device) -> None:
    device.server.refuses = InvalidInputError("the digest is another")
    assert went(device, asked(device, What.DIAGNOSE))[-1] == (State.FAILED, "not_taken")
