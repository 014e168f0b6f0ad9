"""Bundles for places without a network: both repositories' own files on a medium, and a signed document with them.

The road is the same as online, with one exception that people's keys sign for: the named versions of the image
repository's timestamp and snapshot, and of what the director has said to each of the named devices, may be past their own
end, as long as the document is not past its. It vouches for these targets and no others: whoever steals the director's
keys can put nothing else into the place of what was ordered. No floor is lowered offline.

    {"_type": "offline-bundle", "tenant": "DEFAULT", "bundle": "b-7", "devices": {"dev-1": 12}, "timestamp": 7, "snapshot": 5,
     "targets": {"app/stable/1.1.0/app.swu": "SHA256"}, "expires": "2027-06-01T00:00:00Z", "spec_version": "1.0"}

The number of a device is the version of its director metadata.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from otaru.domain import ids
from otaru.domain.ids import DeviceId, Sha256, TenantId
from otaru.errors import InvalidInputError, MetadataFormError
from otaru.trust.document import Document, check_document, read_document
from otaru.trust.verify.chain import Grace, descend, follow_roots, refresh
from otaru.trust.verify.fitness import Me
from otaru.trust.verify.refusals import OfflineBundleError
from otaru.trust.verify.state import State
from otaru.trust.verify.steps import Source, Steps
from otaru.trust.verify.target import MAX_TARGETS, check_path
from otaru.trust.verify.update import IMAGE_RULES, Verdict, agreed, director_rules

KIND = "offline-bundle"
MAX_SIZE = 1024 * 1024
MAX_DEVICES = 4096
_NAMES = ("tenant", "bundle", "devices", "timestamp", "snapshot", "targets")
_ID = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class OfflineBundle:
    """What people have signed for, or are asked to."""

    tenant: TenantId
    id: str
    devices: Mapping[DeviceId, int]
    """The version of what the director says to each."""
    grace: Grace
    """Of the image repository."""
    targets: Mapping[str, Sha256]
    """The digest of each target, by its path."""
    document: Document

    @property
    def expires(self) -> datetime:
        """From when on it does not hold."""
        return self.document.expires

    @property
    def signed_bytes(self) -> bytes:
        """What is to be signed."""
        return self.document.signed_bytes

    def with_signature(self, key_id: str, signature: bytes) -> "OfflineBundle":
        """With one more signature, over `signed_bytes`."""
        return replace(self, document=self.document.with_signature(key_id, signature))


def new_bundle(
    tenant: TenantId,
    bundle: str,
    devices: Mapping[DeviceId, int],
    grace: Grace,
    targets: Mapping[str, Sha256],
    expires: datetime,
) -> OfflineBundle:
    """A bundle, unsigned.

    Raises:
        TargetPathError, MetadataFormError: something of it is not of its form.
        MetadataSizeError: it is too long.
    """
    fields = {
        "tenant": tenant,
        "bundle": bundle,
        "devices": dict(devices),
        "timestamp": grace.timestamp,
        "snapshot": grace.snapshot,
        "targets": dict(targets),
    }
    return read_bundle(Document(KIND, fields, expires.replace(microsecond=0)).to_dict())


def read_bundle(given: object) -> OfflineBundle:
    """Read a bundle's document, from its bytes or what they decode to. Nothing of it is believed yet.

    Raises:
        MetadataSizeError: it is too long.
        TargetPathError, MetadataFormError: it is not of its form.
    """
    return _bundle(read_document(KIND, given, _NAMES, MAX_SIZE))


def verify_offline(state: State, me: Me, bundle: OfflineBundle, now: datetime) -> Steps[Verdict]:
    """Ask a bundle what is due, as `verify` asks a server. All that is wanted of both repositories is on its medium.

    The image repository's root comes first: its keys of targets sign the document.

    Raises:
        OtaruError: it is refused, see `REFUSALS`.
    """
    now = max(now, state.time)
    rooted = yield from follow_roots(Source.IMAGE, state.image, IMAGE_RULES, now)
    check_document(bundle.document, rooted.root.signed, now)
    version = bundle.devices.get(me.id)
    if bundle.tenant != me.tenant or version is None:
        raise OfflineBundleError(f"the bundle is not for {me.id} of {me.tenant}")
    grace = Grace(version, version, version)
    director = yield from refresh(Source.DIRECTOR, state.director, director_rules(me), now, grace)
    state = replace(state, director=director.trusted, image=rooted.trusted, time=now)
    orders = director.targets.signed.targets
    if not orders:
        return Verdict(state)
    for path, one in orders.items():
        if bundle.targets.get(path) != one.hashes.get("sha256"):
            raise OfflineBundleError(f"the bundle does not vouch for what it directs to: {path}", path=path)
    image = yield from descend(rooted, bundle.grace)
    return (yield from agreed(image, me, orders.values(), state, now))


def _bundle(document: Document) -> OfflineBundle:
    told = document.fields
    try:
        devices = {ids.device_id(one): _version(number) for one, number in _named(told["devices"], MAX_DEVICES).items()}
        targets = {path: ids.sha256(digest) for path, digest in _named(told["targets"], MAX_TARGETS).items()}
        grace = Grace(_version(told["timestamp"]), _version(told["snapshot"]))
        tenant = ids.tenant_id(told["tenant"])
        name = _name(told["bundle"])
    except (InvalidInputError, TypeError, ValueError, AttributeError):
        raise MetadataFormError(f"the {KIND} is not of its form") from None
    for path in targets:
        check_path(path)
    return OfflineBundle(tenant, name, devices, grace, targets, document)


def _named(told: object, most: int) -> Mapping[str, Any]:
    if not isinstance(told, Mapping) or not 1 <= len(told) <= most:
        raise ValueError
    return told


def _name(told: object) -> str:
    if not isinstance(told, str) or not _ID.fullmatch(told):
        raise ValueError
    return told


def _version(told: object) -> int:
    if type(told) is not int or told < 1:
        raise ValueError
    return told
