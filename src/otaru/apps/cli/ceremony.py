"""What people do with private keys, on a machine of theirs: make keys, begin a repository, sign requests.

Nothing here talks to a server. A request is a JSON file: `metadata` by role, to be signed, of which `repository`, and
`missing`, which says whose signatures it needs. Signing adds a signature to the file, which then goes to whoever signs
next, or is imported.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otaru.apps.cli.extras import extra
from otaru.errors import InvalidInputError, NothingToDoError

if TYPE_CHECKING:
    from otaru.ports.signing import Signer

MAX_REQUEST = 16 * 1024 * 1024
PERMIT = "downgrade"
"""What a permission to downgrade is called among the roles that a request has signed."""
_SHOWN = 20
ELSEWHERE = ("pkcs11:", "awskms:")
"""How the address of a key begins that lies in no file."""


@dataclass(frozen=True, slots=True)
class Own:
    """Keys of people for one role: those that lie somewhere, or so many new ones."""

    count: int
    threshold: int
    places: Sequence[str]


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
    with extra("keys"):
        from otaru.adapters.signers.file import read_key
    path = Path(where)
    covered = path.is_file() and b"ENCRYPTED" in path.read_bytes()[:100]
    return read_key(path, secret("OTARU_PASSPHRASE", f"passphrase of {path.name}").encode() if covered else None)


def public_at(where: str) -> str:
    """The public part (PEM) of a key in a token or in the cloud."""
    signer = signer_at(where)
    with extra("keys"):
        from otaru.trust.tuf.keys import as_pem
    return as_pem(signer.key)


def make_key(path: Path, kind: str, passphrase: str) -> "Signer":
    """A new key: its private part in `path`, under the passphrase, its public part beside it in `path`.pub."""
    with extra("keys"):
        from otaru.adapters.signers.file import FileSigner, generate, write_key
        from otaru.trust.tuf.keys import as_pem
    private = generate(kind)
    try:
        write_key(path, private, passphrase.encode())
        made = FileSigner(private)
        path.with_name(f"{path.name}.pub").write_text(as_pem(made.key))
    except OSError as error:
        raise InvalidInputError(f"the key {path} cannot be written: {error.strerror}") from None
    return made


def empty_folder(folder: Path) -> None:
    """Make a folder for a ceremony; one that is there has to be empty.

    Raises:
        InvalidInputError: it has something in it, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInputError(f"the folder {folder} is not empty")
    except OSError as error:
        raise InvalidInputError(f"the folder {folder} cannot be used: {error.strerror}") from None


def begin(folder: Path, online: str, root: Own, targets: Own) -> tuple[dict[str, Any], list[Path]]:
    """The image repository's first root and targets, signed, and the key files that were made for it.

    Args:
        folder: Where new keys and the root that devices are given are written.
        online: The server's public key (PEM), for snapshot and timestamp.
        root: The keys of root.
        targets: The keys of targets.

    Raises:
        InvalidInputError: a key cannot be used.
    """
    with extra("keys"):
        from otaru.adapters.clock import SystemClock
        from otaru.trust.tuf import changes
        from otaru.trust.tuf.keys import read_public
    made: list[Path] = []
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
            (folder / "1.root.json").write_bytes(whole.to_bytes())
    return told, made


def begin_director(folder: Path, online: str, root: Own) -> tuple[dict[str, Any], list[Path]]:
    """The director repository's first root, signed, and the key files that were made for it.

    Args:
        folder: Where new keys and the root that devices are given are written.
        online: The public key (PEM) of the director's signer.
        root: The keys of root, other ones than those of the image repository.

    Raises:
        InvalidInputError: a key cannot be used.
    """
    with extra("keys"):
        from otaru.adapters.clock import SystemClock
        from otaru.trust.tuf import changes
        from otaru.trust.tuf.keys import read_public
    made: list[Path] = []
    signers = _signers(folder, "director", root, made)
    server = ([read_public(online)], 1)
    keys: dict[str, changes.Keys] = dict.fromkeys(("targets", "snapshot", "timestamp"), server)
    keys["root"] = ([s.key for s in signers], root.threshold)
    whole = _all_sign(changes.new_root(keys, SystemClock().now()), signers)
    (folder / "1.director-root.json").write_bytes(whole.to_bytes())
    return {"root": whole.to_dict()}, made


def _all_sign(found: Any, signers: "Sequence[Signer]") -> Any:
    from otaru.trust.tuf.metadata import signed

    for signer in signers:
        found = signed(found, signer.key.keyid, signer.sign(found.signed_bytes))
    return found


def _signers(folder: Path, role: str, own: Own, made: list[Path]) -> "list[Signer]":
    if own.places:
        return [signer_at(place) for place in own.places]
    passphrase = secret("OTARU_PASSPHRASE", "passphrase of the new keys", again=True)
    paths = [folder / f"{role}-{number}.pem" for number in range(1, own.count + 1)]
    made += paths
    return [make_key(path, "ed25519", passphrase) for path in paths]


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
    kept |= {"permit": told["permit"]} if "permit" in told else {}
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
        MetadataError: it holds no metadata.
    """
    with extra("keys"):
        from otaru.trust.tuf.metadata import read, signed
    mine = {one["role"] for one in told["missing"] if signer.key.keyid in one["keys"]}
    done = []
    for role in sorted(mine & set(told["metadata"])):
        found = read(role, json.dumps(told["metadata"][role]).encode())
        if signer.key.keyid not in found.signatures:
            found = signed(found, signer.key.keyid, signer.sign(found.signed_bytes))
            told["metadata"][role] = found.to_dict()
            done.append((role, found))
    if "permit" in told and PERMIT in {one["role"] for one in told["missing"] if signer.key.keyid in one["keys"]}:
        done += _sign_permit(told, signer)
    if not done:
        raise NothingToDoError("the request needs no signature of this key", hint="`missing` in it names keys by id.")
    return done


def permission(tenant: str, device: str, component: str, counter: int, until: str) -> dict[str, Any]:
    """A permission to downgrade, unsigned, as a request holds it; good to the end of the day `until`, in UTC.

    Raises:
        InvalidInputError, MetadataFormError: a name, the counter or the day is none.
    """
    with extra("keys"):
        from datetime import datetime

        from otaru.domain.ids import DeviceId, TenantId
        from otaru.trust.permit import new_permit
    ends = datetime.fromisoformat(f"{until}T23:59:59+00:00")
    return new_permit(TenantId(tenant), DeviceId(device), component, counter, ends).to_dict()


def _sign_permit(told: dict[str, Any], signer: "Signer") -> list[tuple[str, Any]]:
    from otaru.trust.permit import read_permit

    permit = read_permit(json.dumps(told["permit"]).encode())
    if any(one["keyid"] == signer.key.keyid for one in told["permit"]["signatures"]):
        return []
    permit = permit.with_signature(signer.key.keyid, signer.sign(permit.signed_bytes))
    told["permit"] = permit.to_dict()
    return [(PERMIT, permit)]


def in_words(role: str, found: Any) -> list[str]:
    """What somebody signs, for them to read before it leaves their hands."""
    if role == PERMIT:
        until = f"until {found.expires:%Y-%m-%d %H:%M} UTC"
        return [
            f"{found.component} of {found.device} in {found.tenant} may go down to counter {found.counter}, {until}"
        ]
    content = found.signed
    lines = [f"{role} {content.version}, until {content.expires:%Y-%m-%d}, {len(found.signatures)} signatures:"]
    if content.type == "root":
        named: Mapping[str, Any] = content.roles
    else:
        named = content.delegations.roles if content.delegations else {}
        files = sorted(content.targets.items())
        lines += [f"  {path}  sha256 {file.hashes.get('sha256', '')}" for path, file in files[-_SHOWN:]]
        if len(files) > _SHOWN:
            lines.append(f"  and {len(files) - _SHOWN} more files")
    for name, keys in named.items():
        lines.append(f"  {name}: {keys.threshold} of {', '.join(key[:16] for key in keys.keyids)}")
    return lines
