"""A stick as `otaru bundle` writes it (`protocols.bundle`): every file is put in place at once, synced, and read again.

The document comes last, so that what was interrupted is no bundle. What waits for signatures lies beside its place as a
request of `otaru keys`.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otaru.adapters.board.disk import LocalDisk, make_folders, replace
from otaru.apps.cli import ceremony
from otaru.apps.cli.artifacts import fetched, unfinished
from otaru.apps.cli.bars import bar
from otaru.apps.cli.client import Api
from otaru.errors import ChecksumMismatchError, InvalidInputError, NothingToDoError, OtaruError
from otaru.protocols.bundle import BUNDLES, DIRECTOR, DOCUMENT, FILES, IMAGE, PROOF, REQUEST

if TYPE_CHECKING:
    from otaru.ports.signing import Signer


@dataclass(frozen=True, slots=True)
class Written:
    """A bundle on the medium."""

    id: str
    sealed: bool
    """It has all its signatures."""
    where: Path
    """Its document, or the request for what is missing."""


def write(api: Api, medium: Path, made: Mapping[str, Any], signers: "Sequence[Signer]") -> Written:
    """Write a bundle that the server has made, with its files.

    Raises:
        OtaruError: the medium cannot be written, or keeps other bytes than it was given.
        NothingToDoError: a key is none of those that sign for it.
    """
    with _on(medium):
        make_folders(LocalDisk(), str(medium.resolve()))
        _check_plain(medium, made["id"])
        for file in made["files"]:
            _fetch(api, medium / FILES, file)
        folder = medium / BUNDLES / made["id"]
        for one in made["orders"]:
            _put(folder / one["file"], one["content"].encode())
        for name, files in ((IMAGE, made["image"]), (DIRECTOR, made["director"])):
            for file, content in files.items():
                _put(folder / name / file, content.encode())
        if made["proof"]:
            _put(folder / PROOF, made["proof"].encode())
        missing = made["missing"]
        told = {
            "metadata": {},
            "missing": [] if missing is None else [{**missing, "role": ceremony.BUNDLE}],
            "bundle": made["document"],
        }
        for signer in signers if missing is not None else ():
            ceremony.sign_request(told, signer)
        if missing is None or len(told["bundle"]["signatures"]) >= _needed(made):
            return _seal(folder, told["bundle"])
        _put(folder / REQUEST, json.dumps(told, indent=1).encode())
        return Written(made["id"], sealed=False, where=folder / REQUEST)


def seal(medium: Path) -> list[Written]:
    """Put documents in place that have been signed: of each request what it is now.

    Raises:
        NothingToDoError: there is none.
    """
    with _on(medium):
        found = []
        for request in sorted((medium / BUNDLES).glob(f"*/{REQUEST}")):
            _check_plain(medium, request.parent.name)
            told = ceremony.read_request(request)
            if "bundle" not in told:
                raise InvalidInputError(f"{request} is not the request of a bundle")
            if _holds(request.parent, told["bundle"]):
                found.append(_seal(request.parent, told["bundle"]))
            else:
                found.append(Written(request.parent.name, sealed=False, where=request))
    if not found:
        raise NothingToDoError(f"{medium}: no bundle there waits for signatures")
    return found


def _needed(made: Mapping[str, Any]) -> int:
    return len(made["document"]["signatures"]) + int(made["missing"]["needed"])


def _holds(folder: Path, document: Mapping[str, Any]) -> bool:
    """Whether enough keys have signed, by the newest root beside it. A document that is past its end is refused."""
    from otaru.adapters.clock import SystemClock
    from otaru.errors import MetadataThresholdError, MetadataUnsignedError
    from otaru.trust.document import check_document
    from otaru.trust.tuf.metadata import as_root, read
    from otaru.trust.tuf.names import ROOT
    from otaru.trust.verify.offline import read_bundle

    roots = sorted((folder / IMAGE).glob(f"*.{ROOT}.json"), key=lambda path: int(path.name.partition(".")[0]))
    if not roots:
        raise InvalidInputError(f"{folder} has no root", hint="Export it anew.")
    root = as_root(read(ROOT, roots[-1].read_bytes()))
    try:
        check_document(read_bundle(document).document, root.signed, SystemClock().now())
    except (MetadataUnsignedError, MetadataThresholdError):
        return False
    return True


def _seal(folder: Path, document: Mapping[str, Any]) -> Written:
    _put(folder / DOCUMENT, json.dumps(document).encode())
    LocalDisk().remove(str(folder / REQUEST))
    LocalDisk().sync_folder(str(folder))
    return Written(folder.name, sealed=True, where=folder / DOCUMENT)


def _fetch(api: Api, folder: Path, file: Mapping[str, Any]) -> None:
    """A file of the release: what is there and right stays, what was interrupted goes on."""
    make_folders(LocalDisk(), str(folder.resolve()))
    at, digest = folder / file["sha256"], file["sha256"]
    for name in (at, unfinished(at, digest)):
        _remove_odd(name)
    if not (at.is_file() and at.stat().st_size == file["size"] and _digest(at) == digest):
        with bar(file["filename"]) as progress:
            fetched(api, digest, at, int(file["size"]), progress)
        _settle(at)
        if _digest(at) != digest:
            at.unlink()
            raise ChecksumMismatchError(f"{at} holds other bytes than were written", hint="Take another stick.")


def _check_plain(medium: Path, name: str) -> None:
    """Nothing is written through a link that lies on a medium: it leads to what is none of it. Raises OtaruError."""
    folder = medium / BUNDLES / name
    for at in chain((medium / FILES, medium / BUNDLES, folder), folder.rglob("*")):
        if at.is_symlink() and at.is_dir():
            raise OtaruError(f"{at} is a link, and is not followed", hint="Remove it, or take another stick.")


def _remove_odd(path: Path) -> None:
    """A link, a pipe or a device in a file's place."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            path.unlink()


def _settle(path: Path) -> None:
    """Bring a file and its name to the medium, and forget what memory has of it: what is read next is what is there."""
    with suppress(OSError):  # FAT knows no permissions of files
        LocalDisk().mode(str(path), 0o644)  # whoever carries it may read it: nothing on it is secret
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    LocalDisk().sync_folder(str(path.parent))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put(path: Path, data: bytes) -> None:
    disk, at = LocalDisk(), str(path.absolute())
    make_folders(disk, str(path.parent.resolve()))
    replace(disk, at, data)
    _settle(path)
    if path.read_bytes() != data:
        raise ChecksumMismatchError(f"{path} holds other bytes than were written", hint="Take another stick.")


@contextmanager
def _on(medium: Path) -> Iterator[None]:
    """Say what a medium's failure is."""
    try:
        yield
    except OSError as error:
        raise OtaruError(f"{medium} cannot be used: {error.strerror or error}") from None
