"""Permissions to downgrade: one device may take, in one component, a release below the counter that it has burnt.

A security floor keeps a device from software with known holes. Who lowers it must not be the server alone, so the
permission is signed offline (`trust.document`), names its one device and component, and expires. It travels in the
director's targets as `allowDowngradeTo`. It allows counters from `counter` upwards; the device's floor stays where it is,
and a fuse that hardware has blown is above every permission (`trust.verify`).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tuf.api.metadata import Root

from otaru.domain import ids
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.terms import MAX_COUNTER
from otaru.errors import InvalidInputError, MetadataFormError, PermitError
from otaru.trust.document import Document, check_document, read_document

KIND = "downgrade"
MAX_SIZE = 16 * 1024
_NAMES = ("tenant", "deviceId", "component", "releaseCounter")


@dataclass(frozen=True, slots=True)
class Permit:
    """A permission, signed or not yet."""

    tenant: TenantId
    device: DeviceId
    component: str
    counter: int
    """The lowest security counter that it allows."""
    document: Document

    @property
    def expires(self) -> datetime:
        """From when on it does not hold."""
        return self.document.expires

    @property
    def signed_bytes(self) -> bytes:
        """What is to be signed."""
        return self.document.signed_bytes

    def to_dict(self) -> dict[str, Any]:
        """As `allowDowngradeTo` holds it."""
        return self.document.to_dict()

    def with_signature(self, key_id: str, signature: bytes) -> "Permit":
        """With one more signature, over `signed_bytes`."""
        return replace(self, document=self.document.with_signature(key_id, signature))


def new_permit(tenant: TenantId, device: DeviceId, component: str, counter: int, expires: datetime) -> Permit:
    """A permission, unsigned.

    Raises:
        MetadataFormError: a name or the counter is none.
    """
    fields = {"tenant": tenant, "deviceId": device, "component": component, "releaseCounter": counter}
    return _permit(Document(KIND, fields, expires.replace(microsecond=0)))


def read_permit(given: object) -> Permit:
    """Read a permission, from its bytes or what they decode to. Nothing of it is believed yet.

    Raises:
        MetadataSizeError: it is too long.
        MetadataFormError: it is not a permission.
    """
    return _permit(read_document(KIND, given, _NAMES, MAX_SIZE))


def check_permit(
    permit: Permit, root: Root, *, tenant: TenantId, device: DeviceId, component: str, counter: int, now: datetime
) -> None:
    """Check that it is signed, has not expired and allows this device this component with this counter.

    `root` is the image repository's, verified.

    Raises:
        MetadataUnsignedError, MetadataSignatureError, MetadataThresholdError: too few keys of targets have signed.
        MetadataExpiredError: it has expired.
        PermitError: it permits something else.
    """
    check_document(permit.document, root, now)
    if (permit.tenant, permit.device, permit.component) != (tenant, device, component):
        raise PermitError(
            f"the permission is for {permit.component} of {permit.device}, not for {component} of {device}",
            hint="Each device and component needs a permission of its own.",
        )
    if counter < permit.counter:
        raise PermitError(
            f"the permission goes down to counter {permit.counter}, not to {counter}", permitted=permit.counter
        )


def _permit(document: Document) -> Permit:
    fields = document.fields
    counter = fields["releaseCounter"]
    if type(counter) is not int or not 0 <= counter <= MAX_COUNTER:
        raise MetadataFormError(f"a counter is a number from 0 to {MAX_COUNTER}")
    try:
        tenant, device = ids.tenant_id(fields["tenant"]), ids.device_id(fields["deviceId"])
        return Permit(tenant, device, ids.name(fields["component"]), counter, document)
    except InvalidInputError as error:
        raise MetadataFormError(f"a permission names a tenant, a device and a component: {error.message}") from None
    except (TypeError, AttributeError):
        raise MetadataFormError("a permission names a tenant, a device and a component") from None
