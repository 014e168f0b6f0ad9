"""`otaru log`: check what the server has logged, without believing it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otaru.apps.cli import files
from otaru.apps.cli.client import Api
from otaru.apps.cli.client import path as segments
from otaru.apps.cli.command import Cursor, Limit, Visitor, command, group, more
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.extras import extra
from otaru.apps.cli.printer import Printer, field, moment, remark
from otaru.domain.release import release_name
from otaru.errors import InvalidInputError, NotFoundError, NothingToDoError, RefusedError

if TYPE_CHECKING:
    from otaru.trust.log.notes import Checkpoint, Verifier
    from otaru.trust.log.tiles import Tile

noun = group("The transparency logs: what was done, so that it cannot be undone unseen.")

_PATIENCE = 10
"""Looks for a checkpoint that covers an entry of this moment, half a second apart."""


class Which(StrEnum):
    """Which log."""

    RELEASE = "release"
    AUDIT = "audit"


Log = Annotated[Which, typer.Option("--log", help="Which log.")]
Tenant = Annotated[
    str | None, typer.Option(help="Whose log (else the token's tenant, or DEFAULT).", show_default=False)
]
From = Annotated[
    Path,
    typer.Option("--from", metavar="FILE", help="Where the last checkpoint is kept; made at the first time."),
]
Key = Annotated[
    str | None, typer.Option(metavar="KEY", help="The log's public key, got another way.", show_default=False)
]


@command(noun, "show")
def show(api: Api, printer: Printer) -> None:
    """Show how far the logs have come, and their public keys."""
    document = api.get("/log")
    columns = (
        field("Log"),
        field("Entries"),
        field("Signed"),
        ("Signed at", lambda one: moment(one.get("signed_at"))),
        field("Witnessed"),
        field("Key"),
    )
    printer.table(document, document["logs"], columns)


@command(noun, "entries")
def entries(
    api: Api,
    printer: Printer,
    log: Log = Which.RELEASE,
    subject: Annotated[
        str | None, typer.Option(help="Only of this release or rollout (release log).", show_default=False)
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """List entries, the newest first; of the audit log with what they commit to."""
    page = api.pages(f"/log/{log}/entries", limit=limit, cursor=cursor, subject=subject)
    columns = (
        field("Index"),
        ("Time", lambda one: moment(one.get("at"))),
        field("Kind"),
        ("Says", lambda one: one["entry"] if log is Which.RELEASE else one["text"] or "(erased)"),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "checkpoint")
def checkpoint(api: Visitor, printer: Printer, log: Log = Which.RELEASE, tenant: Tenant = None) -> None:
    """Show the newest checkpoint, once its signature was found good."""
    with extra("server"):
        from otaru.trust.log.notes import Verifier  # noqa: F401 - the extra is there
    served = _Served(api, tenant, log)
    head = served.head(served.key())
    document = {"origin": head.origin, "size": head.size, "root": head.root.hex(), "note": served.note}
    printer.result(document, served.note.rstrip("\n"))


@command(noun, "verify")
def verify(
    api: Visitor, printer: Printer, saved: From, log: Log = Which.RELEASE, tenant: Tenant = None, key: Key = None
) -> None:
    """Look through a whole log, and see that it only grew.

    Every entry is fetched and the tree made anew. The checkpoint in FILE, seen before, must be a beginning of it; the new
    one is kept there. At the first time the log's key is believed as the server shows it, unless --key names it.
    """
    served, old, new = _verified(api, saved, log, tenant, key)
    seen = f"it begins with the {old.size} that were seen before" if old else "it is seen for the first time"
    erased = f"; {served.erased} of them erased" if served.erased else ""
    document = {"origin": new.origin, "size": new.size, "root": new.root.hex(), "before": old and old.size}
    printer.result({**document, "erased": served.erased}, f"{new.origin}: {new.size} entries are good, {seen}{erased}.")


@command(noun, "witness")
def witness(
    api: Api,
    printer: Printer,
    saved: From,
    name: Annotated[str, typer.Option(help="The witness's name, such as example.org/witness.")],
    key_file: Annotated[
        Path, typer.Option("--key-file", help="Its private key, Ed25519 in PEM; made where there is none.")
    ],
    log: Log = Which.RELEASE,
    key: Key = None,
) -> None:
    """Verify a log, then sign its checkpoint as a witness; the server keeps the signature beside it."""
    with extra("server"):
        from otaru.apps.cli.witness import cosigned
    served, _, new = _verified(api, saved, log, None, key)
    note, public = cosigned(served.note, name, key_file)
    api.post(f"/log/{log}/cosignatures", {"note": note, "witness": str(public)})
    printer.result(
        {"size": new.size, "note": note, "witness": str(public)},
        f"{new.size} entries are witnessed. Your key: {public}",
    )


@command(noun, "prove")
def prove(
    api: Api,
    printer: Printer,
    release: Annotated[str, typer.Argument(metavar="PRODUCT:VERSION", help="A release that was published.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write it here.", show_default=False)] = None,
) -> None:
    """Make a proof that a release was published, to be checked offline (`otaru log check`)."""
    with extra("server"):
        from otaru.trust.log import merkle
        from otaru.trust.log.notes import offline_proof
        from otaru.trust.log.tiles import subtrees
    served = _Served(api, None, Which.RELEASE)
    key = served.key()
    for _ in range(_PATIENCE):
        entry, head = _published(api, release), served.head(key)
        if entry is not None and entry["index"] < head.size:
            break
        api.sleep(0.5)
    else:
        raise NotFoundError(f"no checkpoint says that {release} was published")
    path = merkle.inclusion(entry["index"], head.size, subtrees(head.size, served.tile))
    proof = offline_proof(entry["index"], path, served.note, entry["entry"].encode())
    if output is not None:
        files.write(output, proof)
    document = {"index": entry["index"], "size": head.size, "entry": entry["entry"], "proof": proof}
    printer.result(document, f"Entry {entry['index']} of {head.size}: {output}" if output else proof.rstrip("\n"))


def _published(api: Api, release: str) -> Any:
    """The entry of a release's publishing, once it has its place."""
    import json

    if api.get(f"/releases{segments(*release_name(release))}")["state"] == "draft":
        raise NothingToDoError(f"{release} is not published")
    for page in api.each_page("/log/release/entries", limit=0, subject=release):
        for one in page["items"]:
            if json.loads(one["entry"])["data"].get("to") == "published":
                return one
    return None


@command(noun, "check")
def check(
    printer: Printer,
    proof: Annotated[Path, typer.Argument(help="A proof of `otaru log prove`.")],
    saved: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Of `otaru log verify`: holds the log's key.")
    ] = None,
    key: Key = None,
    witness: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="A witness that must have signed; may be repeated.")
    ] = None,
) -> None:
    """Check a proof, offline. The log's key comes from --key or --from."""
    import json

    with extra("server"):
        from otaru.trust.log.merkle import ProofError, leaf_hash
        from otaru.trust.log.notes import NoteError, check_offline_proof, proven
    if key is None and saved is None:
        raise InvalidInputError("whose log is it?", hint="Name its key with --key, or --from FILE of otaru log verify.")
    log = _key(key) if key is not None else _kept(saved)[0] if saved is not None else None
    text = files.text(proof)
    witnesses = [_key(one, "witness") for one in witness or ()]
    try:
        entry = proven(text)
        assert log is not None  # noqa: S101 - one of the two is given
        head = check_offline_proof(text, leaf_hash(entry), log, witnesses, len(witnesses))
    except (NoteError, ProofError) as error:
        raise RefusedError(f"{proof} proves nothing: {error}") from None
    told = entry.decode(errors="replace")
    printer.result(
        {"origin": head.origin, "size": head.size, "entry": json.loads(told)}, f"It is in {head.origin}:\n{told}"
    )


@command(noun, "erase")
def erase(
    api: Api,
    printer: Printer,
    index: Annotated[int, typer.Argument(min=0, help="The entry of the audit log.")],
    yes: Annotated[bool, typer.Option("--yes", help="It cannot be undone; say so.")] = False,
) -> Exit | None:
    """Erase what an entry of the audit log commits to.

    The entry itself stays, and the log can be checked as before.
    """
    if not yes:
        remark("otaru: nothing is erased without --yes: it cannot be undone")
        return Exit.USAGE
    api.delete(f"/log/audit/entries/{index}/text")
    printer.result({"erased": index}, f"The text of entry {index} is erased.")
    return None


class _Served:
    """A log as a server shows it."""

    def __init__(self, api: Api, tenant: str | None, log: Which) -> None:
        if tenant is None:
            tenant = api.get("/tenant")["id"] if api.known else "DEFAULT"
        self._api = api
        self._below = segments("log", tenant, log)
        self.note = ""
        self.erased = 0

    def key(self) -> "Verifier":
        return _key(self._api.fetch(f"{self._below}/key").decode(errors="replace"))

    def head(self, key: "Verifier") -> "Checkpoint":
        """The newest checkpoint, signed by this key."""
        from otaru.trust.log.notes import NoteError, opened

        self.note = self._api.fetch(f"{self._below}/checkpoint").decode(errors="replace")
        try:
            return opened(self.note, key)
        except NoteError as error:
            raise RefusedError(f"the checkpoint of {self._api.where} is not to be believed: {error}") from None

    def tile(self, tile: "Tile") -> bytes:
        return self._api.fetch(f"{self._below}/{tile.path}")

    def texts(self, leaves: bytes) -> None:
        """Hold what audit entries commit to against the leaf hashes of entries that were looked through."""
        from otaru.trust.log.entries import opens
        from otaru.trust.log.merkle import HASH_SIZE, leaf_hash

        size, listed = len(leaves) // HASH_SIZE, 0
        for page in self._api.each_page("/log/audit/entries", limit=0):
            for one in page["items"]:
                index, entry = one["index"], one["entry"].encode()
                if index >= size:
                    continue  # younger than the checkpoint
                listed += 1
                if one["text"] is None or one["salt"] is None:
                    self.erased += 1
                elif not opens(entry, bytes.fromhex(one["salt"]), one["text"].encode()):
                    raise RefusedError(f"entry {index} was changed: its text is not what was logged", entry=index)
                if leaf_hash(entry) != leaves[index * HASH_SIZE : (index + 1) * HASH_SIZE]:
                    raise RefusedError(f"entry {index} is listed otherwise than it was logged", entry=index)
        if listed != size:
            raise RefusedError(f"of {size} entries {listed} are listed")


def _verified(
    api: Api, saved: Path, log: Which, tenant: str | None, key: str | None
) -> "tuple[_Served, Checkpoint | None, Checkpoint]":
    """The log, its head before and its head now, which is kept."""
    with extra("server"):
        from otaru.trust.log.merkle import leaf_hash
        from otaru.trust.log.review import ReviewError, review
    served = _Served(api, tenant, log)
    known, old = _kept(saved) if saved.exists() else (None, None)
    named = None if key is None else _key(key)
    if named is not None and known is not None and named != known:
        raise InvalidInputError(f"{saved} is of another key than --key names")
    trusted = named or known or served.key()
    new = served.head(trusted)
    leaves = bytearray()
    try:
        for _, entry in review(new, served.tile, old):
            leaves += leaf_hash(entry)
    except ReviewError as error:
        raise RefusedError(f"{new.origin} was tampered with: {error}", entry=error.entry) from None
    if log is Which.AUDIT:
        served.texts(bytes(leaves))
    _keep(saved, f"{trusted}\n\n{served.note}")
    return served, old, new


def _kept(saved: Path) -> "tuple[Verifier, Checkpoint]":
    """The key and the checkpoint that a file keeps."""
    from otaru.trust.log.notes import NoteError, opened

    first, _, note = files.text(saved).partition("\n\n")
    key = _key(first)
    try:
        return key, opened(note, key)
    except NoteError as error:
        raise InvalidInputError(f"{saved} keeps no checkpoint: {error}") from None


def _key(text: str, whose: str = "log") -> "Verifier":
    from otaru.trust.log.notes import NoteError, verifier

    try:
        return verifier(text)
    except NoteError as error:
        raise InvalidInputError(f"it is no {whose}'s public key: {error}") from None


def _keep(file: Path, text: str) -> None:
    """Replace a file as a whole: half a checkpoint is none."""
    new = file.with_name(f"{file.name}.new")
    try:
        new.write_text(text)
        new.replace(file)
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be written: {error.strerror}") from None
