"""The attacks of docs/attacks.md against the agent's own process: by whoever holds the network, the server or some of its keys.

Each device runs version 1.0.0. Whatever is tried, it goes on running it, says why it takes nothing else, and takes an honest
update when there is one.
"""

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile

from otaru.domain.deployment import Event
from otaru.domain.link import Note
from otaru.trust.verify.steps import Source
from tests.support.attacks import instead, replayed
from tests.support.ddi import eventually
from tests.support.edge import DEVICE
from tests.support.host import Host
from tests.support.impostor import Impostor, a_server, impostor
from tests.support.keys import APP, by, public
from tests.support.site import Files, Site, a_target, ordered

HARDWARE = {"hardwareIds": ["gateway"], "releaseCounter": 3}
Attack = Callable[["Place"], None]


def archive(version: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("version")
        info.size = len(version)
        tar.addfile(info, io.BytesIO(version.encode()))
    return packed.getvalue()


@dataclass
class Place:
    """One device, whose agent is at work, and its server, which is attacked."""

    impostor: Impostor
    host: Host
    number: int = 0
    version: str = ""
    first: Files = field(default_factory=dict)
    """What its image repository held when it first asked."""

    @property
    def site(self) -> Site:
        return self.impostor.server.site

    def next(self) -> str:
        """A version that was never spoken of."""
        self.number += 1
        self.version = f"1.0.{self.number}"
        return self.version

    def release(self, installer: str = "file", **custom: object) -> list[TargetFile]:
        version = self.next()
        parts = {"app": (installer, archive(version))}
        return self.impostor.server.release(version, parts, **{**HARDWARE, **custom})

    def order(self, targets: Sequence[TargetFile]) -> None:
        self.impostor.server.direct(self.version, targets)

    def ordered(self) -> TargetFile:
        """What the device has been ordered."""
        target: TargetFile
        (target,) = self.site.director.made[DEVICE]["targets"].signed.targets.values()
        return target

    def ends(self, timeout_s: float = 30) -> Note:
        """How the newest action ends."""

        def ended() -> Note | None:
            note, offer = self.impostor.ended(), self.impostor.server.offer
            return note if note is not None and offer is not None and note.action == offer.action else None

        return eventually(ended, timeout_s, why=self.host.said)

    def honestly(self, timeout_s: float = 30) -> None:
        """An honest release is installed."""
        with self.impostor.lock:
            self.impostor.be_honest()
            self.order(self.release())
        note = self.ends(timeout_s)
        assert note.event is Event.SUCCEED, note
        assert self.host.running() == self.version


def a_host(folder: Path, impostor: Impostor, more: str = "") -> Host:
    host = Host(folder / "device", slots=False, health=more)
    site, words = impostor.server.site, []
    for name, files in (("director", site.director.roots), ("image", site.images.files)):
        (folder / name).write_bytes(files["1.root.json"])
        words += [f"--{name}-root", str(folder / name)]
    host.enroll(impostor.url, "--device-token", "secret", *words, device=DEVICE)
    return host


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("attacked")
    with impostor(a_server()) as found:
        host = a_host(folder, found)
        with host.process() as process:
            place = Place(found, host)
            place.honestly()
            place.first = dict(found.server.site.images.files)
            place.honestly()
            yield place
            assert process.poll() is None, "the agent is still at work"


def drop(place: Place) -> None:
    place.order(place.release())
    place.impostor.between = lambda want, answer: (
        None if want.source is Source.IMAGE and want.name == "timestamp.json" else answer
    )


def freeze(place: Place) -> None:
    """Signed by the true key, and no longer in force."""
    place.order(place.release())
    director = place.site.director
    director.now -= timedelta(days=9)
    director.order(DEVICE, place.ordered())
    director.now += timedelta(days=9)


def endless_metadata(place: Place) -> None:
    place.order(place.release())
    place.impostor.between = lambda want, answer: (
        answer + b" " * 20_000_000
        if answer and want.name == "timestamp.json" and want.source is Source.IMAGE
        else answer
    )


def rollback_of_metadata(place: Place) -> None:
    """What the image repository said at first."""
    place.order(place.release())
    place.impostor.between = replayed(place.first, Source.IMAGE, "timestamp.json")


def mix_and_match(place: Place) -> None:
    """This timestamp, and a snapshot of another day under its name."""
    before = place.site.images.files[max(n for n in place.site.images.files if n.endswith(".snapshot.json"))]
    place.order(place.release())
    place.impostor.between = lambda want, answer: (
        before if want.source is Source.IMAGE and want.name.endswith(".snapshot.json") else answer
    )


def partial_bundle(place: Place) -> None:
    place.order(place.release())
    target = place.ordered()
    place.site.director.order(DEVICE, ordered(target, bundleSize=2))


def wrong_hardware(place: Place) -> None:
    place.order(place.release(hardwareIds=["other"]))


def unknown_installer(place: Place) -> None:
    place.order(place.release("rauc"))


def anothers_order(place: Place) -> None:
    """What the director has signed for another device."""
    place.order(place.release())
    place.site.director.order(DEVICE, place.ordered(), says="dev-2")


def evil(place: Place, path: str | None = None) -> TargetFile:
    """Bytes that nobody has released."""
    data = archive(place.next())
    target = a_target(path or f"app/stable/{place.version}/app.bin", data, version=place.version, **HARDWARE)
    place.impostor.server.files[target.hashes["sha256"]] = data
    return target


def stolen_director(place: Place) -> None:
    """Its key signs what no release manager has …"""
    place.order([evil(place)])


def stolen_director_lies(place: Place) -> None:
    """… and says another thing of what one has."""
    (target,) = place.release()
    place.order([ordered(target, version="9.9.9")])


def path_trick(place: Place) -> None:
    place.order([evil(place, "app/stable/../../etc/passwd")])


def stolen_image_timestamp(place: Place) -> None:
    """The key of snapshot and timestamp signs another listing of releases."""
    place.order(place.release())
    place.site.images.forge(APP, "online")


def unsigned_order(place: Place) -> None:
    """An order by a key that the director's root does not name."""
    place.order(place.release())
    director = place.site.director
    true, director.key = director.key, "mallory"
    director.order(DEVICE, place.ordered())
    director.key = true


def forged_root(place: Place) -> None:
    place.order(place.release())
    after = deepcopy(place.site.images.repository.root)
    after.signatures.clear()
    after.signed.version += 1
    mallory = public("mallory")
    after.signed.roles["targets"].keyids = [mallory.keyid]
    after.signed.keys[mallory.keyid] = mallory
    place.impostor.between = instead(Source.IMAGE, f"{after.signed.version}.root.json", by(after, "mallory").to_bytes())


def below_the_floor(place: Place) -> None:
    """What was signed long ago, and has a hole since."""
    place.order(place.release(releaseCounter=2))


def other_bytes(place: Place) -> None:
    place.order(place.release())
    place.impostor.body = lambda data: bytes(len(data))


def endless_file(place: Place) -> None:
    place.order(place.release())
    place.impostor.body = lambda data: data + b"x" * 5_000_000


def cut_short(place: Place) -> None:
    place.order(place.release())
    place.impostor.body = lambda data: data[:-1]


ATTACKS: dict[Attack, set[str]] = {
    drop: {"metadata_missing"},
    freeze: {"metadata_expired"},
    endless_metadata: {"metadata_too_large"},
    rollback_of_metadata: {"metadata_rollback"},
    mix_and_match: {"metadata_mismatch", "metadata_too_large"},
    partial_bundle: {"bundle_incomplete"},
    wrong_hardware: {"wrong_hardware"},
    unknown_installer: {"installer_unknown"},
    anothers_order: {"wrong_device"},
    stolen_director: {"target_unknown"},
    stolen_director_lies: {"target_disagrees"},
    path_trick: {"target_path"},
    stolen_image_timestamp: {"metadata_signature"},
    unsigned_order: {"metadata_signature"},
    forged_root: {"metadata_signature", "metadata_threshold"},
    below_the_floor: {"below_floor"},
    other_bytes: {"target_digest"},
}
"""With the codes by which a device may refuse it."""
FETCHED: set[Attack] = {other_bytes}
"""Only of these is any byte of a file asked for."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_it_is_refused_and_an_honest_update_goes_through_after_it(place: Place, attack: Attack) -> None:
    runs = place.host.running()
    with place.impostor.lock:
        place.impostor.be_honest()
        place.impostor.asked.clear()
        attack(place)
    note = place.ends()
    assert (note.event, note.code in ATTACKS[attack]) == (Event.FAIL, True), note
    assert place.host.running() == runs
    with place.impostor.lock:
        assert any(path.startswith("/files/") for path in place.impostor.asked) == (attack in FETCHED)
    assert place.host.ask("history")[0]["code"] == note.code
    place.honestly()


@pytest.mark.parametrize("attack", [endless_file, cut_short], ids=lambda attack: attack.__name__)
def test_a_file_of_another_length_is_asked_for_again_later(place: Place, attack: Attack) -> None:
    """It may be a cache that is wrong: the update is not given up for it, and nothing longer than what is signed is stored."""
    runs = place.host.running()
    with place.impostor.lock:
        place.impostor.be_honest()
        place.impostor.asked.clear()
        attack(place)
    eventually(lambda: any(path.startswith("/files/") for path in place.impostor.asked), why=place.host.said)
    kept = [file.stat().st_size for file in (place.host.data / "staging").rglob("*") if file.is_file()]
    assert all(size <= len(archive(place.version)) for size in kept)
    assert place.host.running() == runs
    with place.impostor.lock:
        place.impostor.be_honest()
    assert place.ends(timeout_s=120).event is Event.SUCCEED
    assert place.host.running() == place.version


@pytest.mark.slow
def test_answers_that_make_no_sense_change_nothing(place: Place) -> None:
    runs = place.host.running()
    lists_in_lists, great_map = b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff"
    answers = [
        (200, b"\xc1" * 100),
        (200, lists_in_lists),
        (200, great_map),
        (200, b""),
        (500, b"x" * 1000),
        (302, b""),
    ]
    for status, body in answers:
        with place.impostor.lock:
            place.impostor.asked.clear()
            place.impostor.raw = lambda path, answer=(status, body): answer if path.endswith("/poll") else None  # type: ignore[misc]
        eventually(lambda: "/device/v1/poll" in place.impostor.asked, timeout_s=60, why=place.host.said)
        assert place.host.running() == runs
        with place.impostor.lock:
            place.impostor.be_honest()
    place.honestly(timeout_s=120)


def test_its_credential_goes_to_its_own_server_alone(place: Place) -> None:
    with impostor(a_server()) as elsewhere:
        with place.impostor.lock:
            place.order(place.release())
            elsewhere.server.files = dict(place.impostor.server.files)
            offer = place.impostor.server.offer
            assert offer is not None
            files = [replace(file, addresses=(elsewhere.url + file.addresses[0],)) for file in offer.files]
            place.impostor.server.offer = replace(offer, files=tuple(files))
        assert place.ends().event is Event.SUCCEED
        assert elsewhere.shown
        assert set(elsewhere.shown) == {None}
