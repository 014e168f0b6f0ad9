"""`/artifacts` and `/uploads`: bytes, as they are (application/octet-stream), streamed at constant memory."""

from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Header, Path, Query, Request, Response

from otaru.apps.server.api.call import Call, Once, Reading, ReleaseWork, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import Digest, FileName, WholeNumber
from otaru.apps.server.api.models.images import ImageOut
from otaru.apps.server.api.models.releases import (
    ArtifactDetail,
    ArtifactOut,
    FinishIn,
    ListedArtifact,
    UploadIn,
    UploadOut,
)
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.apps.server.body import ClientGoneError, Receive, Scope, Send
from otaru.apps.server.files import serve_artifact
from otaru.domain import ids
from otaru.domain.backup import Backup
from otaru.domain.ids import Sha256
from otaru.domain.release import Blob
from otaru.ports.store import Tx
from otaru.services.control import artifacts, inspection
from otaru.services.control.artifacts import Stored, Upload
from otaru.services.control.world import World

router = noun()

_RAW: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

Hash = Annotated[Digest, Path(description="The artifact's SHA-256.")]
Id = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z]+$", description="The upload's id.")]


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. An empty message at the end is no chunk.

    Raises:
        ClientGoneError: the sender broke off.
    """
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body", False):
            return


def _announced(request: Request) -> int | None:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None


def _show(_: Tx, stored: Stored) -> ArtifactOut:
    return ArtifactOut.of(stored)


@router.post(
    "/artifacts",
    status_code=201,
    response_model=ArtifactOut,
    responses={200: {"model": ArtifactOut, "description": "It was there already."}, **errors(413, 422, 507)},
    openapi_extra=_RAW,
    tags=["artifacts"],
)
async def upload_artifact(
    call: ReleaseWork,
    filename: Annotated[FileName | None, Query(description="For people only: a release names its files.")] = None,
    sha256: Annotated[Digest | None, Query(description="What the bytes have to be.")] = None,
) -> Response:
    """Upload an artifact at once, as raw bytes. Bytes are known by their SHA-256: sent twice they are stored once."""
    del filename
    expected = None if sha256 is None else Sha256(sha256)
    stored = await artifacts.store(call.world, call.tenant, _chunks(call.request), _announced(call.request), expected)
    return answered(ArtifactOut.of(stored), 201 if stored.new else 200)


@router.get("/artifacts", responses=errors(), tags=["artifacts"])
async def list_artifacts(call: Reading, wanted: Wanted) -> Items[ListedArtifact]:
    """List artifacts by their SHA-256, with how many releases they stand in."""
    after = wanted.after(text(ids.sha256))
    found = await artifacts.page(call.world, call.tenant, after[0] if after else None, wanted.limit + 1)
    images = await inspection.images(call.world, call.tenant, [blob.sha256 for blob, _, _ in found])

    def show(row: tuple[Blob, datetime, int]) -> ListedArtifact:
        blob, at, number = row
        known = images.get(blob.sha256)
        image = None if known is None else ImageOut.of(known)
        return ListedArtifact(**ArtifactOut.of(Stored(blob, at)).model_dump(), releases=number, image=image)

    items, following = wanted.page(found, show, lambda row: (row[0].sha256,))
    return Items(items=items, next=following)


@router.get("/artifacts/{sha256}", response_model=ArtifactDetail, responses=errors(404), tags=["artifacts"])
async def show_artifact(call: Reading, sha256: Hash) -> Response:
    """Show an artifact, and what it says of itself."""
    stored = await artifacts.show(call.world, call.tenant, Sha256(sha256))
    images = await inspection.images(call.world, call.tenant, [stored.blob.sha256])
    return answered(ArtifactDetail.detailed(stored, images.get(stored.blob.sha256)))


@router.delete("/artifacts/{sha256}", status_code=204, responses=errors(404, 409, 507), tags=["artifacts"])
async def delete_artifact(call: ReleaseWork, sha256: Hash) -> None:
    """Delete an artifact that stands in no release. Its bytes leave the disk with a later sweep."""
    await artifacts.delete(call.world, call.tenant, Sha256(sha256))


@router.post("/uploads", status_code=201, response_model=UploadOut, responses=errors(409, 413, 507), tags=["uploads"])
async def begin_upload(call: ReleaseWork, once: Once, body: UploadIn) -> Response:
    """Begin an upload in parts, which goes on after a break."""

    def work(world: World) -> Awaitable[Upload]:
        return artifacts.begin(world, call.tenant, body.filename, body.size)

    def show(_: Tx, upload: Upload) -> UploadOut:
        return UploadOut.of(upload)

    return await once(call, work, show, 201)


@router.get("/uploads/{upload}", response_model=UploadOut, responses=errors(404), tags=["uploads"])
async def show_upload(call: ReleaseWork, upload: Id) -> Response:
    """Show an upload, and the offset to go on from."""
    return answered(UploadOut.of(await artifacts.progress(call.world, call.tenant, upload)))


@router.patch(
    "/uploads/{upload}",
    response_model=UploadOut,
    responses=errors(404, 409, 413, 507),
    openapi_extra=_RAW,
    tags=["uploads"],
)
async def append_to_upload(
    call: ReleaseWork,
    upload: Id,
    upload_offset: Annotated[
        WholeNumber,
        Header(alias="Upload-Offset", ge=0, le=2**53 - 1, description="Where these bytes begin: the upload's end."),
    ],
) -> Response:
    """Add raw bytes to an upload. What arrived before a break is kept."""
    chunks = _chunks(call.request)
    return answered(UploadOut.of(await artifacts.append(call.world, call.tenant, upload, upload_offset, chunks)))


@router.post(
    "/uploads/{upload}/finish",
    status_code=201,
    response_model=ArtifactOut,
    responses={
        200: {"model": ArtifactOut, "description": "It was there already."},
        **errors(404, 409, 413, 422, 507),
    },
    tags=["uploads"],
)
async def finish_upload(call: ReleaseWork, once: Once, upload: Id, body: FinishIn | None = None) -> Response:
    """Make a complete upload an artifact."""
    expected = Sha256(body.sha256) if body and body.sha256 else None
    return await once(
        call,
        lambda world: artifacts.finish(world, call.tenant, upload, expected),
        _show,
        lambda stored: 201 if stored.new else 200,
    )


@router.delete("/uploads/{upload}", status_code=204, responses=errors(404, 409, 507), tags=["uploads"])
async def abort_upload(call: ReleaseWork, upload: Id) -> None:
    """Forget an upload and its bytes."""
    await artifacts.abort(call.world, call.tenant, upload)


class Content(Response):
    """The bytes of an artifact, or the range of them that is asked for."""

    def __init__(self, call: Call, stored: Stored | Backup, filename: str = "") -> None:
        super().__init__()
        self._call = call
        self._sha256 = stored.blob.sha256 if isinstance(stored, Stored) else stored.sha256
        self._filename = filename or self._sha256

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        sha256, x_accel = self._sha256, self._call.request.app.state.settings.x_accel
        blobs = self._call.world.blobs
        await serve_artifact(scope, receive, send, blobs, sha256, filename=self._filename, x_accel=x_accel)


CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "All of it.", "content": {"application/octet-stream": {}}},
    206: {"description": "The range.", "content": {"application/octet-stream": {}}},
    304: {"description": "As If-None-Match has it."},
    **errors(404, 412, 416),
}


@router.get("/artifacts/{sha256}/content", response_class=Response, responses=CONTENT, tags=["artifacts"])
async def download_artifact(call: Reading, sha256: Hash) -> Response:
    """Download an artifact, or a Range of it."""
    return Content(call, await artifacts.given(call.world, call.tenant, Sha256(sha256)))


@router.head("/artifacts/{sha256}/content", response_class=Response, responses=CONTENT, tags=["artifacts"])
async def measure_artifact(call: Reading, sha256: Hash) -> Response:
    """As a download, without the bytes."""
    return Content(call, await artifacts.given(call.world, call.tenant, Sha256(sha256)))
