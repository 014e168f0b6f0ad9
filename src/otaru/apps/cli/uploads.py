"""Bringing a file to the server: once, whole, and going on where an interrupted run ended.

A small file goes in one request. A larger one goes in pieces to an upload, whose offset the server keeps; the upload is
found again because it was begun with an Idempotency-Key made from the file's digest and name, which the server answers
with the same upload for a day. So running the command again resumes, and two runs at once work on one upload: whose
piece does not fit asks for the offset again.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from otaru.apps.cli.client import Api, path
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, OtaruError

SMALL = 8 * 1024 * 1024
PIECE = 16 * 1024 * 1024
"""Small enough for the body limits of usual proxies, large enough that the round trips between do not count."""
CHUNK = 256 * 1024
MAX_REFUSED = 20
"""Offsets the server may refuse in a row before we give up."""
MAX_GENERATIONS = 8


Progress = Callable[[str, int, int], None]
"""Shows how far it is: what is done, bytes so far, bytes in all."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to upload, with its digest."""

    path: Path
    name: str
    size: int
    sha256: str


def silent(what: str, done: int, total: int) -> None:
    """Show nothing."""
    del what, done, total


def read_file(file: Path, *, name: str | None = None, progress: Progress = silent) -> LocalFile:
    """Hash a file.

    Raises:
        InvalidInputError: it cannot be read, or is empty.
    """
    digest, done = hashlib.sha256(), 0
    try:
        total = file.stat().st_size
        with file.open("rb") as source:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                done += len(chunk)
                progress("reading", done, total)
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from None
    if done == 0:
        raise InvalidInputError(f"{file} is empty")
    return LocalFile(file, name or file.name, done, digest.hexdigest())


def upload(api: Api, file: LocalFile, *, progress: Progress = silent) -> dict[str, Any]:
    """Make sure that the server has the file; its artifact.

    Raises:
        ChecksumMismatchError: the file changed while it was sent.
        InvalidInputError: likewise, found out sooner.
    """
    if (known := _known(api, file)) is not None:
        return known
    found: dict[str, Any] = _at_once(api, file, progress) if file.size <= SMALL else _in_pieces(api, file, progress)
    return found


def _known(api: Api, file: LocalFile) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = api.get(path("artifacts", file.sha256))
    except NotFoundError:
        return None
    return found


def _at_once(api: Api, file: LocalFile, progress: Progress) -> Any:
    def attempt(tries: int) -> Any:
        del tries
        body = partial(_bytes, file, 0, file.size, progress)
        return api.send("POST", "/artifacts", body, file.size, {}, filename=file.name, sha256=file.sha256)

    return api.patiently(attempt)


def _in_pieces(api: Api, file: LocalFile, progress: Progress) -> Any:
    upload_id, offset = _begun(api, file)
    here = path("uploads", upload_id)
    refused = 0
    while True:
        try:
            if offset == file.size:
                return api.post(f"{here}/finish", {"sha256": file.sha256})
            offset = _piece(api, here, file, offset, progress)
            refused = 0
        except InvalidInputError:
            api.delete(here)  # what is there of it belongs to no file any more
            raise
        except (InvalidStateError, NotFoundError):
            # Another run sends to the same upload and may have finished it, or our last piece arrived without an answer.
            if (known := _known(api, file)) is not None:
                return known
            refused += 1
            if refused > MAX_REFUSED:
                raise
            api.sleep(min(0.1 * 2**refused, 3.0))
            offset = int(api.get(here)["offset"])


def _begun(api: Api, file: LocalFile) -> tuple[str, int]:
    """The upload's id and how much of it the server has: an earlier run's where there is one."""
    for generation in range(MAX_GENERATIONS):
        told = f"{file.sha256} {file.name} {generation}"
        key = f"upload-{hashlib.sha256(told.encode()).hexdigest()}"
        begun = api.post("/uploads", {"filename": file.name, "size": file.size}, key=key)
        try:
            return begun["id"], api.get(path("uploads", begun["id"]))["offset"]
        except NotFoundError:
            continue  # that one was finished or swept; its key still leads there
    raise OtaruError("the server forgets each upload it begins", hint="Try again later.")


def _piece(api: Api, here: str, file: LocalFile, offset: int, progress: Progress) -> int:
    """Send the next piece; the new offset. A broken connection asks the server how far it came."""

    def attempt(tries: int) -> int:
        start = offset
        if tries:
            start = int(api.get(here)["offset"])
            if start != offset:
                return start
        size = min(PIECE, file.size - start)
        body = partial(_bytes, file, start, size, progress)
        return int(api.send("PATCH", here, body, size, {"Upload-Offset": str(start)})["offset"])

    new = api.patiently(attempt)
    return int(new)


def _bytes(file: LocalFile, offset: int, size: int, progress: Progress) -> Iterator[bytes]:
    with file.path.open("rb") as source:
        source.seek(offset)
        left = size
        while left:
            chunk = source.read(min(CHUNK, left))
            if not chunk:
                raise InvalidInputError(f"{file.path} became shorter while it was sent")
            left -= len(chunk)
            yield chunk
            progress("sending", offset + size - left, file.size)
