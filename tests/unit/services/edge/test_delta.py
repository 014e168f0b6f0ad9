"""Patches on the device: what it asks for, which it takes, and that whatever is wrong with one ends in the file itself."""

import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.adapters.board.disk import make_folders
from otaru.adapters.board.files import FilesInstaller
from otaru.domain import deployment
from otaru.domain.ids import Sha256
from otaru.domain.update import State
from otaru.errors import StoppedError
from otaru.images.delta import container, patch, rdiff
from otaru.images.delta.patch import Codec
from otaru.services.edge.delta import LEAST_PER_S, SLACK
from otaru.services.edge.fetch import Manner
from otaru.services.edge.parts import Parts
from tests.support.edge import OLD_APP, OLD_OS, Bytes, Device, Server, begun, rounds
from tests.support.images import Watched

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NEW = b"app 2.0.0 " * 5000
NEWER = b"app 3.0.0 " * 6000
MANNER = Manner(memory=10_000_000)
FULL, OLD = (sha256(data).hexdigest() for data in (NEW, OLD_APP))
Final = deployment.State


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def device(server: Server) -> Device:
    return Device(server, manner=MANNER).provision()


def release(server: Server, version: str = "2.0.0", data: bytes = NEW) -> None:
    server.direct(version, server.release(version, {"app": ("file", data)}))


def updated(server: Server, device: Device) -> list[str]:
    """Which files were asked for, until the device had the new version."""
    rounds(begun(device), lambda: server.state is Final.SUCCEEDED)
    assert device.app() == NEW
    assert device.disk.names("/data/staging") == []
    return server.opened


def said(server: Server) -> list[str]:
    """Why it was not by a patch."""
    return [note.code for note in server.heard.values() if note.event is None]


def lied(server: Server, made: bytes, **other: object) -> None:
    """Put other bytes in the place of the last patch; its digest is right."""
    (told,) = server.patches[Sha256(FULL)]
    digest = Sha256(sha256(made).hexdigest())
    server.files[digest] = made
    told = replace(told, sha256=digest, size=len(made), addresses=(f"/files/{digest}",))
    server.patches[Sha256(FULL)] = (replace(told, **other),)  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", Codec)
def test_a_file_comes_by_a_patch(server: Server, device: Device, codec: Codec) -> None:
    made = server.leads(OLD_APP, NEW, codec)
    release(server)
    assert updated(server, device) == [sha256(made).hexdigest()]
    assert len(made) < 1000


def test_what_was_installed_is_known_by_its_digest(server: Server, device: Device) -> None:
    """At first the factory's versions are all that is known of either component."""
    release(server)
    updated(server, device)
    release(server, "2.1.0", NEWER)
    made = server.leads(NEW, NEWER)
    release(server, "2.1.0", NEWER)
    rounds(begun(device), lambda: server.state is Final.SUCCEEDED)
    assert server.opened[-1] == sha256(made).hexdigest()
    taking = server.asked[-1]
    assert taking is not None
    assert (taking.has, taking.memory) == ((), MANNER.memory), "the os is still the factory's"
    server.direct("4.0.0", server.release("4.0.0", {"os": ("raw", OLD_OS + b"4")}))
    device.live(lambda _: server.state is Final.SUCCEEDED)
    begun(device).tick()
    taking = server.asked[-1]
    assert taking is not None
    assert set(taking.has) == {sha256(OLD_OS + b"4").hexdigest(), sha256(NEWER).hexdigest()}
    assert set(taking.forms) == {str(codec) for codec in Codec}


def test_who_has_no_memory_for_patches_asks_for_none(server: Server, device: Device) -> None:
    device.manner = Manner()
    server.leads(OLD_APP, NEW)
    release(server)
    assert updated(server, device) == [FULL]
    assert set(server.asked) == {None}


@pytest.mark.parametrize(
    "other",
    [{"form": "bsdiff"}, {"memory": MANNER.memory + 1}, {"size": len(NEW)}],
)
def test_a_patch_that_does_not_suit_is_not_fetched(server: Server, device: Device, other: dict[str, object]) -> None:
    server.leads(OLD_APP, NEW, **other)  # type: ignore[arg-type]
    release(server)
    assert updated(server, device) == [FULL]
    assert said(server) == []


def head_of(made: bytes, at: int, value: bytes) -> bytes:
    return made[:at] + value + made[at + len(value) :]


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "it leads from something else": (lambda made: head_of(made, 40, bytes(32)), "delta_source"),
    "it leads from more than there is": (lambda made: head_of(made, 32, b"\xff" * 7), "delta_source"),
    "it leads from less": (lambda made: head_of(made, 32, b"\1" + bytes(7)), "delta_source"),
    "it leads elsewhere": (lambda made: head_of(made, 80, bytes(32)), "delta_source"),
    "it makes more": (lambda made: head_of(made, 72, b"\xff" * 5), "delta_result"),
    "it makes less": (lambda made: head_of(made, 72, b"\1" + bytes(7)), "delta_result"),
    "it is of another form": (lambda made: head_of(made, 8, b"zstd-patch".ljust(24, b"\0")), "delta_result"),
    "it is no patch": (lambda made: bytes(len(made)), "delta_result"),
    "it is cut short": (lambda made: made[:-5], "delta_result"),
    "it is empty": (lambda _: b"", "delta_result"),
    "it takes more memory than it says": (
        lambda made: made[:144] + head_of(made[144:], 4, b"\xff\xff\xff\x7f"),
        "delta_result",
    ),
    "it makes another file": (
        lambda made: made[:144] + b"".join(patch.make(Codec.LZMA, Watched(OLD_APP), Watched(NEW[::-1])))[144:],
        "delta_result",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_is_wrong_with_a_patch_the_file_comes_in_full(server: Server, device: Device, name: str) -> None:
    spoil, code = HOSTILE[name]
    lied(server, spoil(server.leads(OLD_APP, NEW)))
    release(server)
    opened = updated(server, device)
    assert opened[-1] == FULL
    assert len(opened) <= 2, "one patch, once"
    assert said(server) == [code]


def test_a_patch_that_is_longer_than_was_said_is_read_no_further(server: Server, device: Device) -> None:
    made = server.leads(OLD_APP, NEW)
    server.files[sha256(made).hexdigest()] = made + bytes(1 << 20)
    release(server)
    assert updated(server, device)[-1] == FULL
    assert said(server) == ["not_found"], "nobody has a file of that name and length"


def test_a_patch_that_takes_too_long_is_given_up(server: Server, device: Device) -> None:
    server.leads(OLD_APP, NEW)
    release(server)
    whole = SLACK.total_seconds() + len(NEW) / LEAST_PER_S

    def busy(parts: Parts) -> Parts:
        def pause(_: float) -> None:
            device.clock.passed += whole / 2 + 1

        return replace(parts, pause=pause)

    device.changed = busy
    assert updated(server, device)[-1] == FULL
    assert said(server) == ["delta_result"]


def test_a_patch_that_makes_a_file_by_crumbs_is_written_in_blocks(server: Server, device: Device) -> None:
    """Each five of them by a command of its own, which packed are next to nothing."""
    big = bytes(300_000)
    body = zstd.compress(rdiff.MAGIC + b"\5\0\0\0\0\0" * (len(big) // 5) + b"\0")
    size, digest = container.End(len(OLD_APP), sha256(OLD_APP).digest()), sha256(big)
    head = container.write_head(container.Head(Codec.RDIFF.value, size, container.End(len(big), digest.digest()), 1))
    server.leads(OLD_APP, big)
    told = server.patches.pop(Sha256(digest.hexdigest()))
    made = head + container.write_window(container.Window(0, len(OLD_APP), len(big), len(body))) + body
    server.files[sha256(made).hexdigest()] = made
    way = replace(told[0], sha256=Sha256(sha256(made).hexdigest()), size=len(made), form=Codec.RDIFF.value)
    server.patches[Sha256(digest.hexdigest())] = (replace(way, addresses=(f"/files/{way.sha256}",)),)
    release(server, data=big)
    beats = []

    def counted(parts: Parts) -> Parts:
        return replace(parts, pause=lambda _: beats.append(1))

    device.changed = counted
    rounds(begun(device), lambda: server.state is Final.SUCCEEDED)
    assert (device.app(), server.opened) == (big, [way.sha256])
    assert len(beats) < 100


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 260), rot=st.binary(min_size=1, max_size=8))
def test_a_patch_of_other_bytes_never_installs_others(at: int, rot: bytes) -> None:
    server = Server()
    device = Device(server, manner=MANNER).provision()
    lied(server, head_of(server.leads(OLD_APP, NEW), at, rot))
    release(server)
    updated(server, device)


def test_who_wrote_to_what_runs_gets_the_file_in_full(server: Server, device: Device) -> None:
    server.leads(OLD_APP, NEW)
    release(server)
    device.disk.write_at("/opt/app/versions/old/app.bin", 5, b"mine")
    assert updated(server, device)[-1] == FULL
    assert said(server) == ["delta_source"]


def test_a_patch_that_nobody_has_is_done_without(server: Server, device: Device) -> None:
    made = server.leads(OLD_APP, NEW)
    del server.files[sha256(made).hexdigest()]
    release(server)
    assert updated(server, device)[-1] == FULL
    assert said(server) == ["not_found"]


def test_a_file_of_which_less_is_missing_than_a_patch_has_is_not_begun_anew(server: Server, device: Device) -> None:
    made = server.leads(OLD_APP, NEW)
    release(server)
    real = server.open

    def breaks(address: str, first: int = 0, tag: str = "") -> Bytes:
        if address.endswith(FULL):
            return real(address, first, tag)
        raise StoppedError("power")

    server.open = breaks  # type: ignore[method-assign]
    agent = begun(device)
    with pytest.raises(StoppedError):
        agent.tick()
    assert agent.record.state is State.FETCHING
    make_folders(device.disk, "/data/staging")
    device.disk.write_at(f"/data/staging/{FULL}", 0, NEW[: 10 - len(made)])
    device.disk.write_at(f"/data/staging/{FULL}.synced", 0, b"%d" % (len(NEW) - len(made) + 10))
    assert updated(server, device) == [FULL]


def test_an_agent_that_is_told_to_end_ends_while_it_makes_a_file(server: Server, device: Device) -> None:
    server.leads(OLD_APP, NEW)
    release(server)

    def ends(parts: Parts) -> Parts:
        def pause(_: float) -> None:
            raise StoppedError("the agent ends")

        return replace(parts, pause=pause)

    device.changed = ends
    agent = begun(device)
    with pytest.raises(StoppedError):
        agent.tick()
    assert agent.record.state is State.FETCHING
    device.changed = lambda parts: parts
    opened = updated(server, device)
    assert len(opened) == 1, "the patch is here already"


def test_an_order_to_cancel_is_heard_while_it_makes_a_file(server: Server, device: Device) -> None:
    server.leads(OLD_APP, NEW)
    release(server)

    def slow(parts: Parts) -> Parts:
        def pause(_: float) -> None:
            device.clock.passed += 120
            assert server.offer is not None
            server.state, server.cancel = Final.CANCELLING, server.offer.action

        return replace(parts, pause=pause)

    device.changed = slow
    rounds(begun(device), lambda: server.state is Final.CANCELLED)
    assert device.app() == OLD_APP
    assert device.disk.names("/data/staging") == []


def test_an_archive_is_nothing_to_lead_from(device: Device) -> None:
    installer = FilesInstaller("app", device.disk, "/opt/app", unpack=True)
    assert (installer.digest(), installer.source(10)) == (None, None)
    installer = FilesInstaller("app", device.disk, "/opt/none")
    assert (installer.digest(), installer.source(0)) == (None, None)
