"""What people do with private keys, on a machine of theirs: make keys, begin a repository, sign requests.

Nothing here talks to a server. A request is a JSON file: `metadata` by role, to be signed, of which `repository`, and
`missing`, which says whose signatures it needs. Signing adds a signature to the file, which then goes to whoever signs
next, or is imported.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otaru.apps.cli import files
from otaru.apps.cli.extras import extra
from otaru.apps.cli.printer import several
from otaru.errors import InvalidInputError, NothingToDoError, OtaruError, OverloadedError, UnavailableError
from otaru.protocols.bundle import KIND

if TYPE_CHECKING:
    from otaru.ports.signing import Signer

MAX_REQUEST = 16 * 1024 * 1024
PERMIT = "downgrade"
"""What a permission to downgrade is called among the roles that a request has signed."""
BUNDLE = KIND
"""What a bundle for places without a network is called there."""
FIRST, FIRST_DIRECTOR = "1.root.json", "1.director-root.json"
"""What devices are given."""
UNFINISHED = "unfinished"
"""The file that says in a ceremony's folder how it was begun, until it is over."""
ELSEWHERE = ("pkcs11:", "awskms:")
"""How the address of a key begins that lies in no file."""


@dataclass(frozen=True, slots=True)
class Own:
    """Keys of people for one role: those that lie somewhere, or so many new ones."""

    count: int
    threshold: int
    places: Sequence[str]

    @property
    def plan(self) -> dict[str, Any]:
        """As an unfinished ceremony's folder says it."""
        return {"keys": list(self.places) or self.count, "threshold": self.threshold}


def secret(variable: str, what: str, *, again: bool = False) -> str:
    """A passphrase or PIN: from the environment, else asked for where somebody can answer.

    Raises:
        InvalidInputError: nobody can, or it is empty.
    """
    if given := os.environ.get(variable):
        return given
    if not sys.stdin.isatty():
        raise InvalidInputError(f"the {what} is not given", hint=f"Set {variable}, or run it in a terminal.")
    import typer

    typed: str = typer.prompt(what.capitalize(), hide_input=True, confirmation_prompt=again, err=True)
    return typed


def signer_at(where: str) -> "Signer":
    """The signer of a key that lies in a file, as `pkcs11:…` in a token, or as `awskms:…` in the cloud.

    Raises:
        InvalidInputError: there is none, or its passphrase or PIN is wrong.
    """
    if where.startswith("pkcs11:"):
        with extra("pkcs11"):
            from otaru.adapters.signers.pkcs11 import Pkcs11Signer, place
        return Pkcs11Signer(place(where), secret("OTARU_PIN", "PIN of the token"))
    if where.startswith("awskms:"):
        with extra("kms"):
            from otaru.adapters.signers.kms import KmsSigner
        return KmsSigner(where)
    from otaru.adapters.signers.file import read_key

    path = Path(where)
    covered = path.is_file() and b"ENCRYPTED" in path.read_bytes()[:100]
    return read_key(path, secret("OTARU_PASSPHRASE", f"passphrase of {path.name}").encode() if covered else None)


def public_at(where: str) -> str:
    """The public part (PEM) of a key in a token or in the cloud."""
    signer = signer_at(where)
    from otaru.trust.tuf.keys import as_pem

    return as_pem(signer.key)


def make_key(path: Path, kind: str, passphrase: str) -> "Signer":
    """A new key: its private part in `path`, under the passphrase, its public part beside it in `path`.pub."""
    from otaru.adapters.signers.file import FileSigner, generate, write_key

    private = generate(kind)
    made = FileSigner(private)
    try:
        write_key(path, private, passphrase.encode())
        _write_public(path, made)
    except OSError as error:
        raise InvalidInputError(f"the key {path} cannot be written: {error.strerror}") from None
    return made


def _write_public(path: Path, signer: "Signer") -> None:
    from otaru.trust.tuf.keys import as_pem

    path.with_name(f"{path.name}.pub").write_text(as_pem(signer.key))


def open_folder(folder: Path, plan: Mapping[str, Any]) -> None:
    """Make a folder for a ceremony; one that is there is empty, or has what is left of the same one, which goes on.

    Raises:
        InvalidInputError: it has something else in it, or cannot be made.
    """
    text, mark = json.dumps(plan, indent=1), folder / UNFINISHED
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            mark.write_text(text)
        elif not mark.exists():
            raise InvalidInputError(f"the folder {folder} is not empty", hint="Name another one.")
        elif files.text(mark) != text:
            raise InvalidInputError(
                f"the folder {folder} has an unfinished ceremony that was begun otherwise",
                hint=f"Run it as {mark} says, or in another folder.",
            )
    except OSError as error:
        raise InvalidInputError(f"the folder {folder} cannot be used: {error.strerror}") from None


def close_folder(folder: Path) -> list[Path]:
    """The ceremony is over: nothing goes on from here. The private keys that it has left."""
    (folder / UNFINISHED).unlink(missing_ok=True)
    return [path for role in ("root", "targets", "director") for path in sorted(folder.glob(f"{role}-*.pem"))]


@contextmanager
def kept_unless_refused(folder: Path) -> Iterator[list[Path]]:
    """Take away the files that are listed in the block when what they were made for is refused.

    When it is open whether it was (no answer came), they stay: the ceremony goes on with them.
    """
    made: list[Path] = []
    try:
        yield made
    except OtaruError as error:
        if isinstance(error, UnavailableError | OverloadedError) or type(error) is OtaruError:
            raise
        for path in made:
            path.unlink(missing_ok=True)
        if [path.name for path in folder.iterdir()] == [UNFINISHED]:
            (folder / UNFINISHED).unlink()
            folder.rmdir()
        raise


def began(folder: Path, first: str, roles: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the unfinished ceremony in a folder is the one that `roles` hold by: its first root has the same keys."""
    keys = next((role["keys"] for role in roles if role["name"] == "root"), None)
    try:
        told = json.loads((folder / first).read_bytes())
        return (folder / UNFINISHED).exists() and sorted(told["signed"]["roles"]["root"]["keyids"]) == sorted(
            keys or ()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def begin(folder: Path, online: str, root: Own, targets: Own, made: list[Path]) -> dict[str, Any]:
    """The image repository's first root and targets, signed.

    Args:
        folder: Where new keys and the root that devices are given are written.
        online: The server's public key (PEM), for snapshot and timestamp.
        root: The keys of root.
        targets: The keys of targets.
        made: Gets the files that are written.

    Raises:
        InvalidInputError: a key cannot be used.
    """
    from otaru.adapters.clock import SystemClock
    from otaru.trust.tuf import changes
    from otaru.trust.tuf.keys import read_public

    signers = {"root": _signers(folder, "root", root, made), "targets": _signers(folder, "targets", targets, made)}
    server = ([read_public(online)], 1)
    keys: dict[str, changes.Keys] = {
        "root": ([s.key for s in signers["root"]], root.threshold),
        "targets": ([s.key for s in signers["targets"]], targets.threshold),
        "snapshot": server,
        "timestamp": server,
    }
    now = SystemClock().now()
    told = {}
    for role, unsigned in (("root", changes.new_root(keys, now)), ("targets", changes.new_targets("targets", now))):
        whole = _all_sign(unsigned, signers[role])
        told[role] = whole.to_dict()
        if role == "root":
            _write(folder / FIRST, whole.to_bytes(), made)
    return told


def begin_director(folder: Path, online: str, root: Own, made: list[Path]) -> dict[str, Any]:
    """The director repository's first root, signed.

    Args:
        folder: Where new keys and the root that devices are given are written.
        online: The public key (PEM) of the director's signer.
        root: The keys of root, other ones than those of the image repository.
        made: Gets the files that are written.

    Raises:
        InvalidInputError: a key cannot be used.
    """
    from otaru.adapters.clock import SystemClock
    from otaru.trust.tuf import changes
    from otaru.trust.tuf.keys import read_public

    signers = _signers(folder, "director", root, made)
    server = ([read_public(online)], 1)
    keys: dict[str, changes.Keys] = dict.fromkeys(("targets", "snapshot", "timestamp"), server)
    keys["root"] = ([s.key for s in signers], root.threshold)
    whole = _all_sign(changes.new_root(keys, SystemClock().now()), signers)
    _write(folder / FIRST_DIRECTOR, whole.to_bytes(), made)
    return {"root": whole.to_dict()}


def _write(path: Path, content: bytes, made: list[Path]) -> None:
    made.append(path)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror}") from None


def _all_sign(found: Any, signers: "Sequence[Signer]") -> Any:
    from otaru.trust.tuf.metadata import signed

    for signer in signers:
        found = signed(found, signer.key.keyid, signer.sign(found.signed_bytes))
    return found


def _signers(folder: Path, role: str, own: Own, made: list[Path]) -> "list[Signer]":
    if own.places:
        return [signer_at(place) for place in own.places]
    paths = [folder / f"{role}-{number}.pem" for number in range(1, own.count + 1)]
    for path in paths:  # the power may have gone before anything was written into it
        if path.is_file() and not path.stat().st_size:
            path.unlink()
    there = {path for path in paths if path.exists()}
    if len(there) < len(paths):
        passphrase = secret("OTARU_PASSPHRASE", "passphrase of the new keys", again=True)
    found = []
    for path in paths:
        if path in there:
            found.append(signer_at(str(path)))
            _write_public(path, found[-1])
        else:
            made += [path, path.with_name(f"{path.name}.pub")]
            found.append(make_key(path, "ed25519", passphrase))
    return found


def read_request(path: Path) -> dict[str, Any]:
    """A request, as `write_request` has written it.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(MAX_REQUEST))
        good = isinstance(told["metadata"], dict) and isinstance(told["missing"], list)
    except OSError as error:
        raise InvalidInputError(f"the request {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if not good:
        raise InvalidInputError(f"{path} is not a request of otaru keys")
    return dict(told)


def write_request(path: Path, told: Mapping[str, Any], *, over: bool = False) -> None:
    """Write a request to a file; one that is there is kept unless `over`.

    Raises:
        InvalidInputError: there is such a file, or it cannot be written.
    """
    kept = {"repository": told.get("repository", "image"), "metadata": told["metadata"], "missing": told["missing"]}
    kept |= {name: told[name] for name in ("permit", "bundle") if name in told}
    text = json.dumps(kept, indent=1) + "\n"
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not over:
            raise InvalidInputError(f"there is a file {path} already", hint="Name another one with -o.")
        draft.write_text(text)
        draft.replace(path)
    except OSError as error:
        raise InvalidInputError(f"the request {path} cannot be written: {error.strerror}") from None


def sign_request(told: dict[str, Any], signer: "Signer") -> list[tuple[str, Any]]:
    """Add the signer's signature wherever the request needs it; what was signed, by role.

    Raises:
        NothingToDoError: the request needs none of it.
        MetadataError: it holds no metadata, or some that says other things than those that are shown (`in_words`).
    """
    from otaru.trust.tuf.metadata import read, signed
    from otaru.trust.tuf.repository import check_form

    mine = {one["role"] for one in told["missing"] if signer.key.keyid in one["keys"]}
    if not mine:
        allowed = " ".join(sorted({key[:16] for one in told["missing"] for key in one["keys"]}))
        raise NothingToDoError(
            f"the request needs no signature of the key {signer.key.keyid[:16]}", hint=f"It needs some of {allowed}."
        )
    done = []
    for role in sorted(mine & set(told["metadata"])):
        found = read(role, json.dumps(told["metadata"][role]).encode())
        check_form(role, found)
        if signer.key.keyid not in found.signatures:
            found = signed(found, signer.key.keyid, signer.sign(found.signed_bytes))
            told["metadata"][role] = found.to_dict()
            done.append((role, found))
    if "permit" in told and PERMIT in mine:
        done += _sign_permit(told, signer)
    if "bundle" in told and BUNDLE in mine:
        done += _sign_bundle(told, signer)
    if not done:
        raise NothingToDoError(f"the key {signer.key.keyid[:16]} has signed the request already")
    return done


def permission(tenant: str, device: str, component: str, counter: int, until: str) -> dict[str, Any]:
    """A permission to downgrade, unsigned, as a request holds it; good to the end of the day `until`, in UTC.

    Raises:
        InvalidInputError, MetadataFormError: a name, the counter or the day is none.
    """
    from datetime import datetime

    from otaru.adapters.clock import SystemClock
    from otaru.domain.ids import DeviceId, TenantId
    from otaru.trust.permit import new_permit

    ends = datetime.fromisoformat(f"{until}T23:59:59+00:00")
    if ends < SystemClock().now():
        raise InvalidInputError(f"{until} is over")
    return new_permit(TenantId(tenant), DeviceId(device), component, counter, ends).to_dict()


def _sign_permit(told: dict[str, Any], signer: "Signer") -> list[tuple[str, Any]]:
    from otaru.trust.permit import read_permit

    permit = read_permit(json.dumps(told["permit"]).encode())
    if any(one["keyid"] == signer.key.keyid for one in told["permit"]["signatures"]):
        return []
    permit = permit.with_signature(signer.key.keyid, signer.sign(permit.signed_bytes))
    told["permit"] = permit.to_dict()
    return [(PERMIT, permit)]


def _sign_bundle(told: dict[str, Any], signer: "Signer") -> list[tuple[str, Any]]:
    from otaru.trust.verify.offline import read_bundle

    bundle = read_bundle(json.dumps(told["bundle"]).encode())
    if signer.key.keyid in bundle.document.signatures:
        return []
    bundle = bundle.with_signature(signer.key.keyid, signer.sign(bundle.signed_bytes))
    told["bundle"] = bundle.document.to_dict()
    return [(BUNDLE, bundle)]


def in_words(role: str, found: Any) -> list[str]:
    """What somebody signs, for them to read before it leaves their hands."""
    if role == PERMIT:
        until = f"until {found.expires:%Y-%m-%d %H:%M} UTC"
        return [
            f"{found.component} of {found.device} in {found.tenant} may go down to counter {found.counter}, {until}"
        ]
    if role == BUNDLE:
        until = f"until {found.expires:%Y-%m-%d %H:%M} UTC"
        whose = several(len(found.devices), "device", "devices")
        lines = [f"the bundle {found.id} of {found.tenant} for {whose}, {until}:"]
        lines += [f"  {path}  sha256 {digest}" for path, digest in sorted(found.targets.items())]
        return [*lines, f"  for {' '.join(sorted(found.devices))}"]
    content = found.signed
    signed = several(len(found.signatures), "signature", "signatures")
    lines = [f"{role} {content.version}, until {content.expires:%Y-%m-%d}, {signed}:"]
    if content.type == "root":
        named: Mapping[str, Any] = content.roles
    else:
        named = content.delegations.roles if content.delegations else {}
        lines += [_file(path, file) for path, file in sorted(content.targets.items())]  # all: who signs has to see it
    for name, keys in named.items():
        lines.append(f"  {name}: {keys.threshold} of {', '.join(key[:16] for key in keys.keyids)}")
    return lines


def _file(path: str, file: Any) -> str:
    said = file.custom or {}
    told = f"  {path}  sha256 {file.hashes.get('sha256', '')}  for {' '.join(map(str, said.get('hardwareIds') or ()))}"
    return told + (f", counter {counter}" if (counter := said.get("releaseCounter")) else "")
