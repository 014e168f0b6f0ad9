"""Documents of a release are stored bytes that were read once, before anything is kept of them."""

import asyncio
from collections.abc import Collection, Mapping

from otaru.domain.ids import Sha256, TenantId
from otaru.domain.release import Document, DocumentKind
from otaru.errors import InvalidInputError, TooLargeError
from otaru.services.control import artifacts
from otaru.services.control.world import World
from otaru.trust.documents import MAX_DOCUMENT, recognised


async def read(
    world: World, tenant: TenantId, named: Mapping[DocumentKind, Sha256], made_of: Collection[Sha256]
) -> tuple[Document, ...]:
    """The documents that stored bytes are. `made_of` are the files of their release.

    Raises:
        NotFoundError: bytes have not been uploaded to this tenant.
        TooLargeError: one is longer than `MAX_DOCUMENT`.
        InvalidInputError: one is no such document, or about other files. `document` says which, in both.
    """
    return tuple([await _read(world, tenant, kind, named[kind], made_of) for kind in sorted(named)])


async def _read(
    world: World, tenant: TenantId, kind: DocumentKind, sha256: Sha256, made_of: Collection[Sha256]
) -> Document:
    stored = await artifacts.show(world, tenant, sha256)
    if stored.blob.size > MAX_DOCUMENT:
        raise TooLargeError(f"the {kind} has more than {MAX_DOCUMENT} bytes", limit=MAX_DOCUMENT, document=str(kind))
    with artifacts.content(world, stored) as blob:
        data = await blob.read_at(0, stored.blob.size)
    try:
        form = await asyncio.to_thread(recognised, kind, data, made_of)
    except InvalidInputError as error:
        raise InvalidInputError(error.message, hint=error.hint, document=str(kind)) from None
    return Document(kind, form, stored.blob)
