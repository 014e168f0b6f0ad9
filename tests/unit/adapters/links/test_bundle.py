"""A stick in the place of a server: which bundle of it, and what is never followed."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.links.bundle import FolderLink, find
from otaru.domain.ids import DeviceId
from otaru.domain.link import Batch, Opening, Told
from otaru.errors import (
    InvalidInputError,
    MetadataFormError,
    NotFoundError,
    OtaruError,
    RangeNotSatisfiableError,
    UnavailableError,
)
from otaru.protocols.bundle import BUNDLES, DOCUMENT, device_file
from otaru.trust.verify.refusals import OfflineBundleError
from otaru.trust.verify.steps import Source, Want
from tests.support.bundles import BUNDLE, a_bundle, a_medium
from tests.support.edge import DEVICE, Server
from tests.support.keys import NOW
from tests.support.modeldisk import ModelDisk

DEV = DeviceId(DEVICE)
AT = f"/usb/{BUNDLES}/{BUNDLE}"


@pytest.fixture
def server() -> Server:
    server = Server()
    server.direct("2.0.0", server.release("2.0.0", {"app": ("file", b"app 2.0.0 " * 9000)}))
    return server


def put(disk: ModelDisk, server: Server, name: str = BUNDLE, *, version: int = 1, days: float = 60) -> None:
    assert server.offer is not None
    ordered = server.site.director.made[DEVICE]["targets"].signed
    targets = {path: target.hashes["sha256"] for path, target in ordered.targets.items()}
    bundle = a_bundle(server.site, devices={DEVICE: version}, targets=targets, days=days, bundle=name)
    offer = replace(server.offer, window=Opening(is_open=False))
    a_medium(disk, "/usb", server.site, bundle, {DEVICE: Told(timedelta(0), offer)}, server.files)


@pytest.fixture
def disk(server: Server) -> ModelDisk:
    disk = ModelDisk()
    put(disk, server)
    return disk


@pytest.fixture
def link(disk: ModelDisk) -> FolderLink:
    return FolderLink(disk, "/usb", find(disk, "/usb", DEV, NOW), DEV)


def test_it_tells_what_a_server_would(link: FolderLink, server: Server) -> None:
    offer = link.poll().offer
    assert offer is not None
    assert server.offer is not None
    assert (offer.action, offer.version, offer.window) == (server.offer.action, "2.0.0", None)
    (file,) = offer.files
    download = link.open(file.addresses[0], 70_000)
    data = b""
    while piece := download.read():
        data += piece
    assert (download.first, data) == (70_000, server.files[file.sha256][70_000:])
    for source, role, version in (
        (Source.DIRECTOR, "timestamp", None),
        (Source.IMAGE, "root", 1),
        (Source.DIRECTOR, "root", 1),
    ):
        want = Want(source, role, version, 100_000)
        assert link.metadata(want) == server.site.answer(DEVICE, want)
    assert link.metadata(Want(Source.IMAGE, "root", 2, 1000)) is None
    assert link.metadata(Want(Source.LOG, "app:2.0.0", None, 1000)) is None
    assert link.metadata(Want(Source.IMAGE, "timestamp", None, 10)) == server.site.images.files["timestamp.json"][:11]


def test_of_several_it_takes_the_newest_order_that_holds(disk: ModelDisk, server: Server) -> None:
    for name, version, days in (("b-2", 3, 10), ("b-3", 2, 60), ("b-4", 9, -1)):
        put(disk, server, name, version=version, days=days)
    assert find(disk, "/usb", DEV, NOW).id == "b-2"
    assert find(disk, "/usb", DEV, NOW + timedelta(days=20)).id == "b-3"
    assert find(disk, "/usb", DEV, NOW + timedelta(days=90)).id == "b-4", "then verification says why not"


def test_what_is_for_others_or_half_written_is_none(disk: ModelDisk) -> None:
    with pytest.raises(OfflineBundleError):
        find(disk, "/usb", DeviceId("dev-2"), NOW)
    disk.rename(AT, f"/usb/{BUNDLES}/other-name")
    with pytest.raises(OfflineBundleError):
        find(disk, "/usb", DEV, NOW)
    disk.rename(f"/usb/{BUNDLES}/other-name", AT)
    disk.truncate(f"{AT}/{DOCUMENT}", 100)
    with pytest.raises(MetadataFormError):
        find(disk, "/usb", DEV, NOW)
    disk.remove(f"{AT}/{DOCUMENT}")
    with pytest.raises(OfflineBundleError):
        find(disk, "/usb", DEV, NOW)
    with pytest.raises(OfflineBundleError):
        find(disk, "/nowhere", DEV, NOW)


def test_links_and_pipes_are_not_followed(link: FolderLink, disk: ModelDisk, server: Server) -> None:
    (digest,) = server.files
    path = f"/usb/files/{digest}"
    disk.remove(path)
    disk.write_at("/secret", 0, server.files[digest])
    disk.link(path, "/secret")
    with pytest.raises(NotFoundError):
        link.open(f"files/{digest}")
    disk.remove(path)
    disk.write_at(path, 0, b"")
    with pytest.raises(NotFoundError):
        link.open(f"files/{digest}")
    for address in ("/secret", "../secret", "bundles/x", "files/../../secret"):
        with pytest.raises(OtaruError):
            link.open(address)


def test_a_broken_order_is_named(link: FolderLink, disk: ModelDisk) -> None:
    path = f"{AT}/{device_file(DEV)}"
    for broken in (b"", b"{", b"[]", b'{"told":{},"timestamp":"","snapshot":"","targets":""}', b"x" * 1_048_577):
        disk.truncate(path, 0)
        disk.write_at(path, 0, broken)
        with pytest.raises(InvalidInputError):
            link.poll()


def test_nobody_hears_there(link: FolderLink, server: Server) -> None:
    (digest,) = server.files
    for act in (lambda: link.report(Batch()), lambda: link.describe({}), lambda: link.tell([])):
        with pytest.raises(UnavailableError):
            act()
    with pytest.raises(RangeNotSatisfiableError):
        link.open(f"files/{digest}", 90_000)
    with pytest.raises(NotFoundError):
        link.open("files/" + "0" * 64)


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "bundles").write_text("none")
    with pytest.raises(OfflineBundleError):
        find(LocalDisk(), str(tmp_path), DEV, NOW)
