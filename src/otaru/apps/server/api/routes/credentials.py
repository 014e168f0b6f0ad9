"""`/devices/{device}/credentials`: what opens the door for a device, beside its target token."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import DeviceWork, Once, Reading
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import DeviceName, span
from otaru.apps.server.api.models.identity import AddedCredential, CredentialIn, CredentialOut
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items
from otaru.domain.credential import CredentialKind
from otaru.domain.ids import CredentialId, DeviceId
from otaru.errors import InvalidInputError
from otaru.ports.store import Tx
from otaru.services.control import credentials
from otaru.services.control.credentials import Given
from otaru.services.control.world import World

router = noun("/devices/{device}/credentials", tag="devices")

Id = Annotated[DeviceName, Path(description="The device's id.")]
One = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z]+$", description="The credential's id.")]


@router.get("", responses=errors(404))
async def list_credentials(call: Reading, device: Id) -> Items[CredentialOut]:
    """List a device's credentials beside its target token, with those that were revoked or have ended of late."""
    found = await credentials.page(call.world, call.tenant, DeviceId(device))
    return Items(items=[CredentialOut.of(one) for one in found], next=None)


@router.post("", status_code=201, response_model=AddedCredential, responses=errors(404, 409, 413, 507))
async def add_credential(call: DeviceWork, once: Once, device: Id, body: CredentialIn) -> Response:
    """Give a device another token, a certificate that somebody else has issued, or a public key. The others stay good."""

    def work(world: World) -> Awaitable[Given]:
        return _add(world, call, DeviceId(device), body)

    def show(_: Tx, given: Given) -> AddedCredential:
        return AddedCredential.added(given.credential, given.token)

    return await once(call, work, show, 201)


@router.delete("/{credential}", status_code=204, responses=errors(404, 507))
async def revoke_credential(call: DeviceWork, device: Id, credential: One) -> None:
    """Revoke a credential: it opens nothing any more, and its key or token never comes back."""
    await credentials.revoke(call.world, call.tenant, call.actor, DeviceId(device), CredentialId(credential))


async def _add(world: World, call: DeviceWork, device: DeviceId, body: CredentialIn) -> Given:
    who, life = (call.tenant, call.actor, device), span(body.expires_in_s)
    foreign = "pem" if body.kind is CredentialKind.TOKEN else "token"
    if getattr(body, foreign) is not None:
        raise InvalidInputError(f"a {body.kind} has no {foreign}")
    if body.kind is CredentialKind.TOKEN:
        return await credentials.add_token(world, *who, body.label, life, body.token)
    if body.pem is None:
        raise InvalidInputError(f"the {body.kind} is missing", hint="Send it as pem.")
    if body.kind is CredentialKind.KEY:
        return await credentials.add_key(world, *who, body.pem, body.label, life)
    if life is not None:
        raise InvalidInputError("a certificate says itself how long it is good", hint="Leave expires_in_s out.")
    return await credentials.add_certificate(world, *who, body.pem, body.label)
