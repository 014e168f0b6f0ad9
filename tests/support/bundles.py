"""Bundles as people make them: a document that the keys of targets sign, and a medium with all that belongs to it."""

import json
from collections.abc import Mapping
from datetime import timedelta

from otaru.adapters.board.disk import Disk, make_folders
from otaru.domain.ids import DeviceId, Sha256
from otaru.domain.link import Told
from otaru.protocols import bundle as form
from otaru.protocols.bundle import Order
from otaru.trust.verify.chain import Grace
from otaru.trust.verify.offline import OfflineBundle, new_bundle, read_bundle
from tests.support.keys import TARGETERS, private, public
from tests.support.site import TENANT, Site

BUNDLE = "b-1"


def a_bundle(
    site: Site,
    *names: str,
    days: float = 60,
    devices: Mapping[str, int],
    targets: Mapping[str, str],
    bundle: str = BUNDLE,
) -> OfflineBundle:
    """A document for these devices by their director's versions, signed by these keys; without any by those who have to."""
    repository = site.images.repository
    assert repository.timestamp is not None
    assert repository.snapshot is not None
    grace = Grace(repository.timestamp.signed.version, repository.snapshot.signed.version)
    expires = site.images.now + timedelta(days=days)
    found = {path: Sha256(digest) for path, digest in targets.items()}
    made = new_bundle(TENANT, bundle, {DeviceId(one): n for one, n in devices.items()}, grace, found, expires)
    return signed(made, *(names or TARGETERS))


def signed(made: OfflineBundle, *names: str) -> OfflineBundle:
    for name in names:
        made = made.with_signature(public(name).keyid, private(name).sign(made.signed_bytes))
    return read_bundle(json.dumps(made.document.to_dict()).encode())


def a_medium(
    disk: Disk, root: str, site: Site, bundle: OfflineBundle, told: Mapping[str, Told], files: Mapping[str, bytes]
) -> None:
    """Write a bundle to a medium, beside what is there; `told` by device, `files` by SHA-256."""
    at = f"{root}/{form.BUNDLES}/{bundle.id}"
    for name, data in site.images.files.items():
        _write(disk, f"{at}/{form.IMAGE}/{name}", data)
    for name, data in site.director.roots.items():
        _write(disk, f"{at}/{form.DIRECTOR}/{name}", data)
    for device, said in told.items():
        made = site.director.made[device]
        roles = (made[role].to_bytes() for role in ("timestamp", "snapshot", "targets"))
        _write(disk, f"{at}/{form.device_file(DeviceId(device))}", form.order(Order(said, *roles)))
    for digest, data in files.items():
        _write(disk, f"{root}/{form.FILES}/{digest}", data)
    _write(disk, f"{at}/{form.DOCUMENT}", json.dumps(bundle.document.to_dict()).encode())


def _write(disk: Disk, path: str, data: bytes) -> None:
    make_folders(disk, path.rpartition("/")[0])
    disk.write_at(path, 0, data)
    disk.sync(path)
    disk.sync_folder(path.rpartition("/")[0])
