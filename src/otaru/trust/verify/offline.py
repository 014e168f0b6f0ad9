"""Bundles for places without a network: the image repository's own files on a medium, and a signed document with them.

The road is the same as online, with one exception that people's keys sign for: the named versions of timestamp and
snapshot may be past their own end, as long as the document is not past its. The document stands in for the director: it
names the devices and the targets. An empty list of devices means every device that the targets fit. No floor is lowered
offline.

    {"_type": "offline-bundle", "tenant": "DEFAULT", "devices": [], "timestamp": 7, "snapshot": 5,
     "targets": {"app/stable/1.1.0/app.swu": "SHA256"}, "expires": "2027-06-01T00:00:00Z", "spec_version": "1.0"}
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from tuf.api.metadata import TargetFile

from otaru.domain import ids
from otaru.domain.ids import DeviceId, Sha256, TenantId
from otaru.errors import InvalidInputError, MetadataFormError
from otaru.trust.document import Document, check_document, read_document
from otaru.trust.verify.chain import Grace, descend, follow_roots
from otaru.trust.verify.fitness import Me
from otaru.trust.verify.refusals import OfflineBundleError
from otaru.trust.verify.state import State
from otaru.trust.verify.steps import Source, Steps
from otaru.trust.verify.target import MAX_TARGETS, Order, check_path
from otaru.trust.verify.update import IMAGE_RULES, Verdict, Wish, select

KIND = "offline-bundle"
MAX_SIZE = 1024 * 1024
MAX_DEVICES = 4096
_NAMES = ("tenant", "devices", "timestamp", "snapshot", "targets")


@dataclass(frozen=True, slots=True)
class OfflineBundle:
    """What people have signed for, or are asked to."""

    tenant: TenantId
    devices: frozenset[DeviceId]
    grace: Grace
    targets: Mapping[str, Sha256]
    """The digest of each target, by its path."""
    document: Document


def new_bundle(
    tenant: TenantId, devices: frozenset[DeviceId], grace: Grace, targets: Mapping[str, Sha256], expires: datetime
) -> OfflineBundle:
    """A bundle, unsigned.

    Raises:
        TargetPathError, MetadataFormError: something of it is not of its form.
    """
    fields = {
        "tenant": tenant,
        "devices": sorted(devices),
        "timestamp": grace.timestamp,
        "snapshot": grace.snapshot,
        "targets": dict(targets),
    }
    return _bundle(Document(KIND, fields, expires.replace(microsecond=0)))


def read_bundle(given: object) -> OfflineBundle:
    """Read a bundle's document, from its bytes or what they decode to. Nothing of it is believed yet.

    Raises:
        MetadataSizeError: it is too long.
        TargetPathError, MetadataFormError: it is not of its form.
    """
    return _bundle(read_document(KIND, given, _NAMES, MAX_SIZE))


def verify_offline(state: State, me: Me, bundle: OfflineBundle, now: datetime) -> Steps[Verdict]:
    """Ask a bundle what is due. All that is wanted of `Source.IMAGE` is on its medium.

    Raises:
        OtaruError: it is refused, see `REFUSALS`.
    """
    now = max(now, state.time)
    rooted = yield from follow_roots(Source.IMAGE, state.image, IMAGE_RULES, now)
    check_document(bundle.document, rooted.root.signed, now)
    if bundle.tenant != me.tenant or (bundle.devices and me.id not in bundle.devices):
        raise OfflineBundleError(f"the bundle is not for {me.id} of {me.tenant}")
    image = yield from descend(rooted, bundle.grace)
    order = Order(bundle="offline", bundle_size=len(bundle.targets))
    wishes = [Wish(path, order, partial(_check_digest, digest)) for path, digest in bundle.targets.items()]
    image, updates = yield from select(image, me, wishes, state, now)
    return Verdict(replace(state, image=image.trusted, time=now), updates)


def _check_digest(digest: Sha256, found: TargetFile) -> None:
    if found.hashes.get("sha256") != digest:
        raise OfflineBundleError(f"the bundle names another {found.path} than its metadata", path=found.path)


def _bundle(document: Document) -> OfflineBundle:
    told = document.fields
    try:
        devices = frozenset(ids.device_id(one) for one in _listed(told["devices"], MAX_DEVICES))
        targets = {path: ids.sha256(digest) for path, digest in _named(told["targets"]).items()}
        grace = Grace(_version(told["timestamp"]), _version(told["snapshot"]))
        tenant = ids.tenant_id(told["tenant"])
    except (InvalidInputError, TypeError, ValueError, AttributeError):
        raise MetadataFormError(f"the {KIND} is not of its form") from None
    for path in targets:
        check_path(path)
    return OfflineBundle(tenant, devices, grace, targets, document)


def _listed(told: object, most: int) -> list[Any]:
    if not isinstance(told, list) or len(told) > most:
        raise ValueError
    return told


def _named(told: object) -> Mapping[str, Any]:
    if not isinstance(told, Mapping) or not 1 <= len(told) <= MAX_TARGETS:
        raise ValueError
    return told


def _version(told: object) -> int:
    if type(told) is not int or told < 1:
        raise ValueError
    return told
