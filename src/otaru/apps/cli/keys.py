"""`otaru keys`: who may sign releases, and what is signed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from otaru.apps.cli import ceremony, files, values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import command, group
from otaru.apps.cli.printer import Column, Printer, field, moment, plain, remark
from otaru.domain.terms import MAX_COUNTER
from otaru.errors import AlreadyExistsError, InvalidInputError, MetadataVersionError

noun = group("Keys: who may sign releases, and what is signed (TUF).")

Role = Annotated[str, typer.Argument(metavar="ROLE", help="root, targets or product.NAME.CHANNEL.")]
KeyId = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="The key's id, its beginning, its public part in a file, or a role with one key (director:ROLE, too).",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write what others have to sign.")
]
Request = Annotated[Path, typer.Argument(metavar="FILE", help="A request of otaru keys.")]
REQUEST = Path("keys-request.json")


@command(noun, "init")
def init(
    api: Api,
    printer: Printer,
    offline: Annotated[Path, typer.Option(metavar="DIR", help="A folder for the new keys and the first roots.")],
    root: Annotated[int, typer.Option(min=1, max=32, help="How many root keys to make.")] = 3,
    root_threshold: Annotated[int, typer.Option(min=1, max=32, help="How many of them have to sign.")] = 2,
    targets: Annotated[int, typer.Option(min=1, max=32, help="How many targets keys to make.")] = 3,
    targets_threshold: Annotated[int, typer.Option(min=1, max=32, help="How many of them have to sign.")] = 2,
    root_key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A root key that is there: a file, pkcs11:… or awskms:…", show_default=False),
    ] = None,
    targets_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="A targets key that is there: a file, pkcs11:… or awskms:…", show_default=False
        ),
    ] = None,
    director: Annotated[int, typer.Option(min=1, max=32, help="How many root keys of the director to make.")] = 3,
    director_threshold: Annotated[int, typer.Option(min=1, max=32, help="How many of them have to sign.")] = 2,
    director_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="A root key of the director that is there: a file or pkcs11:…", show_default=False
        ),
    ] = None,
) -> None:
    """Begin both repositories with keys of your own: the ceremony.

    Root and targets keys are made here, as files under a passphrase (OTARU_PASSPHRASE, else asked for), or are those
    you name. The server never sees them. It makes keys of its own for what is signed all the time. Where there is an
    image repository already, only the director's begins. Run again after an interruption, it goes on where it was.
    """
    own = {
        "root": ceremony.Own(root, root_threshold, root_key or ()),
        "targets": ceremony.Own(targets, targets_threshold, targets_key or ()),
        "director": ceremony.Own(director, director_threshold, director_key or ()),
    }
    known = api.get("/keys")
    ours = ceremony.began(offline, ceremony.FIRST, known["roles"])
    if known["director"] and not ceremony.began(offline, ceremony.FIRST_DIRECTOR, known["director"]):
        raise _has_keys()
    if known["roles"] and (offline / ceremony.FIRST).exists() and not ours:
        raise _has_keys()
    plan = {"server": api.where, "tenant": api.get("/tenant")["id"]}
    ceremony.open_folder(offline, plan | {role: keys.plan for role, keys in own.items()})
    document: dict[str, Any] = {"roles": [], "published": []}
    if not known["roles"]:
        online = api.post("/keys/online")
        with ceremony.kept_unless_refused(offline) as made:
            metadata = ceremony.begin(offline, online["public"], own["root"], own["targets"], made)
            document |= _first(api, {"metadata": metadata}) | {"online": online["id"]}
        ours = True
    if not known["director"]:
        directing = api.post("/keys/online", repository="director")
        with ceremony.kept_unless_refused(offline) as made:
            metadata = ceremony.begin_director(offline, directing["public"], own["director"], made)
            _first(api, {"metadata": metadata, "repository": "director"})
        document["director_online"] = directing["id"]
    document |= {"root": str(offline / ceremony.FIRST)} if ours else {}
    document["director_root"] = str(offline / ceremony.FIRST_DIRECTOR)
    document["keys"] = [str(path) for path in ceremony.close_folder(offline)]
    printer.result(document, "\n".join(_begun(document)))


def _first(api: Api, body: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a repository's first metadata."""
    try:
        return dict(api.post("/keys/metadata", body))
    except MetadataVersionError:  # somebody else has begun it meanwhile
        raise _has_keys() from None


def _has_keys() -> AlreadyExistsError:
    return AlreadyExistsError("the tenant has keys already", hint="Replace them: otaru keys rotate.")


def _begun(document: Mapping[str, Any]) -> list[str]:
    """What to do with what a ceremony has made."""
    told = [f"{path}: give it to its keeper, keep no copy here." for path in document["keys"]]
    told += [f"{document[name]}: build it into devices." for name in ("root", "director_root") if name in document]
    if "online" in document:
        told.append(f"The server keeps the key {document['online'][:16]} for snapshot and timestamp.")
    if "director_online" in document:
        told.append(f"The director's signer keeps the key {document['director_online'][:16]}.")
    return [*told, "Next: otaru keys delegate product.NAME.stable --key FILE.pub"]


@command(noun, "make")
def make(
    printer: Printer,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where the private key goes; FILE.pub is the public one.")
    ],
    kind: Annotated[Literal["ed25519", "p256"], typer.Option(help="The kind of key.")] = "ed25519",
) -> None:
    """Make a key on this machine, under a passphrase (OTARU_PASSPHRASE, else asked for)."""
    passphrase = ceremony.secret("OTARU_PASSPHRASE", "passphrase of the new key", again=True)
    made = ceremony.make_key(file, kind, passphrase)
    document = {"id": made.key.keyid, "private": str(file), "public": f"{file}.pub"}
    printer.result(
        document, f"Key {made.key.keyid}: {file} is for its keeper alone, {file}.pub for otaru keys delegate."
    )


@command(noun, "status")
def status(api: Api, printer: Printer) -> None:
    """Show the roles, when they end, and the keys."""
    found = api.get("/keys")
    facts = (("roles", len(found["roles"])), ("development keys", found["development"]))
    printer.details(found, facts)
    roles: tuple[Column, ...] = (
        ("Role", lambda r: r["name"]),
        field("Version"),
        ("Ends", lambda r: moment(r["expires_at"])),
        ("Signed by", lambda r: f"{r['threshold']} of {' '.join(key[:16] for key in r['keys'])}"),
        ("To do", _to_do),
    )
    printer.section("Roles", found["roles"], roles)
    made = [role | {"version": role["version"] or "per device"} for role in found["director"]]
    printer.section("Roles of the director", made, roles)
    keys: tuple[Column, ...] = (
        ("Key", lambda k: k["id"][:16]),
        ("For", lambda k: k["role"] if k["repository"] == "image" else f"{k['repository']}:{k['role']}"),
        ("Where", lambda k: f"{k['place']}, development" if k["development"] else k["place"]),
        ("Made", lambda k: moment(k["created_at"])),
        ("Revoked", lambda k: moment(k["revoked_at"])),
    )
    printer.section("Keys", found["keys"], keys)


def _to_do(role: Mapping[str, Any]) -> str:
    if role["expired"]:
        return "has ended: sign it anew"
    if role["due"]:
        return "ends soon: sign it anew"
    return "lists other files than the published releases have" if role["stale"] else ""


@command(noun, "delegate")
def delegate(
    api: Api,
    printer: Printer,
    role: Role,
    key: Annotated[
        list[str],
        typer.Option(metavar="KEY", help="A public key (PEM), or pkcs11:… or awskms:…; may be given several times."),
    ],
    threshold: Annotated[int, typer.Option(min=1, max=32, help="How many of them have to sign.")] = 1,
    output: Output = REQUEST,
) -> None:
    """Let these keys, and no others, sign a product's releases."""
    order = {"order": "delegate", "role": role, "keys": [_public(path) for path in key], "threshold": threshold}
    _ordered(printer, output, api.post("/keys/changes", {"change": order}))


@command(noun, "rotate")
def rotate(
    api: Api,
    printer: Printer,
    key: KeyId,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The new public key (PEM, pkcs11:… or awskms:…); without it the server makes one, for one of its own.",
        ),
    ] = None,
    output: Output = REQUEST,
) -> None:
    """Put another key in a key's place, in every role that has it."""
    order = {"order": "replace", "key": _id(api, key), "by": by and _public(by), "make": by is None}
    _ordered(printer, output, api.post("/keys/changes", {"change": order}))


@command(noun, "revoke")
def revoke(api: Api, printer: Printer, key: KeyId, output: Output = REQUEST) -> None:
    """Take a key from every role that has it, for ever. What it had signed is signed anew by others."""
    order = {"order": "replace", "key": _id(api, key)}
    _ordered(printer, output, api.post("/keys/changes", {"change": order}))


@command(noun, "rekey")
def rekey(
    api: Api,
    printer: Printer,
    role: Role,
    threshold: Annotated[
        int | None, typer.Option(min=1, max=32, help="How many of its keys have to sign.", show_default=False)
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A public key (PEM, pkcs11:… or awskms:…) to give it.", show_default=False),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="A key to take from it, as in revoke.", show_default=False)
    ] = None,
    make: Annotated[
        bool, typer.Option("--make", help="Give it a key that the director's signer makes; for its online roles.")
    ] = False,
    repository: Annotated[Literal["image", "director"], typer.Option(help="Of which repository.")] = "image",
    output: Output = REQUEST,
) -> None:
    """Change a role's threshold and keys at once: root's, targets' or a product's. What is not named stays.

    In the director repository any role's: those of its online roles are its signer's. A key that no role has afterwards
    is revoked, for ever.
    """
    keys = {"add": [_public(where) for where in add or ()], "remove": [_id(api, key) for key in remove or ()]}
    order = {"order": "rekey", "role": role, "threshold": threshold, "make": make, "repository": repository, **keys}
    _ordered(printer, output, api.post("/keys/changes", {"change": order}))


@command(noun, "request")
def request(
    api: Api,
    printer: Printer,
    role: Role,
    release: Annotated[
        list[str] | None,
        typer.Option(metavar="PRODUCT:VERSION", help="A draft to publish by it; may be given several times."),
    ] = None,
    repository: Annotated[Literal["image", "director"], typer.Option(help="Of which repository.")] = "image",
    output: Output = REQUEST,
) -> None:
    """Have a role signed anew: to publish drafts, to drop what was withdrawn, or before it ends."""
    named = [values.release(one) for one in release or ()]
    if strange := next((product for product, _ in named if not role.startswith(f"product.{product}.")), None):
        raise InvalidInputError(f"{role} does not sign releases of {strange}")
    order = {"role": role, "versions": [version for _, version in named], "repository": repository}
    _ordered(printer, output, api.post("/keys/requests", order))


@command(noun, "permit-downgrade")
def permit_downgrade(
    api: Api,
    printer: Printer,
    device: Annotated[str, typer.Argument(metavar="DEVICE")],
    component: Annotated[str, typer.Option(metavar="COMPONENT", help="Of the device.")],
    counter: Annotated[int, typer.Option(min=0, max=MAX_COUNTER, help="The lowest security counter that is allowed.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="The last day, in UTC.")],
    output: Output = REQUEST,
) -> None:
    """Let one device go below its security counter, until a day: the keepers of targets sign it."""
    targets = next((role for role in api.get("/keys")["roles"] if role["name"] == "targets"), None)
    if targets is None:
        raise InvalidInputError("the tenant has no keys yet", hint="Begin with otaru keys init, or publish a release.")
    api.get(path("devices", device))  # nobody is to sign for a device that there is not
    tenant = api.get("/tenant")["id"]
    permit = ceremony.permission(tenant, device, component, counter, values.day(until))
    missing = [{"role": ceremony.PERMIT, "needed": targets["threshold"], "keys": targets["keys"]}]
    _ordered(printer, output, {"applied": False, "metadata": {}, "missing": missing, "permit": permit})


@command(noun, "permits")
def permits(api: Api, printer: Printer, device: Annotated[str, typer.Argument(metavar="DEVICE")]) -> None:
    """List the permissions to downgrade that a device has or had."""
    found = api.get("/keys/permits", device=device)
    columns = (field("Component"), ("Down to", lambda p: p["counter"]), ("Until", lambda p: moment(p["expires_at"])))
    printer.table(found, found["items"], columns)


@command(noun, "sign")
def sign(
    printer: Printer,
    file: Request,
    key: Annotated[
        str,
        typer.Option(metavar="KEY", help="A private key: a file, pkcs11:token=…;object=…?module-path=… or awskms:KEY"),
    ],
) -> None:
    """Sign a request with a key of yours, on any machine: no server is asked. FILE gets the signature."""
    told = ceremony.read_request(file)
    done = ceremony.sign_request(told, ceremony.signer_at(key))
    ceremony.write_request(file, told, over=True)
    document = {"signed": [role for role, _ in done], "file": str(file)}
    text = "\n".join(plain(line) for role, found in done for line in ceremony.in_words(role, found))
    then = "otaru bundle seal DIR" if "bundle" in told else f"otaru keys import {file}"
    printer.result(document, f"{text}\n{file} is signed. When all have signed: {then}")


@command(noun, "import")
def bring(api: Api, printer: Printer, file: Request) -> None:
    """Bring a signed request to the server, which judges it anew: all of it holds, or nothing does."""
    told = ceremony.read_request(file)
    if "bundle" in told:
        raise InvalidInputError(f"{file} is the request of a bundle", hint="It needs no server: otaru bundle seal DIR")
    if "permit" in told:
        made = api.post("/keys/permits", {"permit": told["permit"]})
        printer.result(made, f"{made['component']} of {made['device']} may go down to counter {made['counter']}.")
        return
    of = told.get("repository", "image")
    accepted = api.post("/keys/metadata", {"metadata": told["metadata"], "repository": of})
    published = [f"{name} is published." for name in accepted["published"]]
    printer.result(accepted, "\n".join([f"Signed anew: {', '.join(accepted['roles'])}.", *published]))


def _ordered(printer: Printer, output: Path, outcome: dict[str, Any]) -> None:
    """Say that it is done, or write what others have to sign."""
    if outcome["applied"]:
        printer.result(outcome, f"Done: {', '.join(outcome['metadata'])} signed anew.")
        return
    ceremony.write_request(output, outcome)
    lacks = [
        f"{one['role']}: {one['needed']} more of {', '.join(key[:16] for key in one['keys'])}"
        for one in outcome["missing"]
    ]
    told = list(
        dict.fromkeys(lacks)
    )  # a new root is signed by what the old one and what the new one says: often the same
    told += [f"Each signs {output}: otaru keys sign {output} --key KEY", f"Then: otaru keys import {output}"]
    printer.result(outcome | {"file": str(output)}, "\n".join(["Signatures are missing.", *told]))


def waits(release: dict[str, Any]) -> bool:
    """Whether a release that was to be published waits for signatures; then it says so."""
    name = f"{release['product']}:{release['version']}"
    for one in release.get("missing", ()):
        if one["role"] == "root":
            remark("otaru: the tenant has no keys yet: otaru keys init")
        elif not one["keys"]:
            remark(f"otaru: nobody may sign {one['role']} yet: otaru keys delegate {one['role']} --key FILE.pub")
        else:
            remark(
                f"otaru: {one['role']} needs {one['needed']} signatures: otaru keys request {one['role']} --release {name}"
            )
    return bool(release.get("missing"))


def _public(where: str | Path) -> str:
    """A public key as PEM, from a file or from where its private part lies."""
    if isinstance(where, str) and where.startswith(ceremony.ELSEWHERE):
        return ceremony.public_at(where)
    path = Path(where)
    text = files.text(path)
    if "PRIVATE" in text:
        raise InvalidInputError(f"{path} is a private key: it stays where it is", hint="Give FILE.pub.")
    return text


def _id(api: Api, beginning: str) -> str:
    """The whole id of a key.

    Raises:
        InvalidInputError: there is none, or there are several.
    """
    status = api.get("/keys")
    keys = status["keys"]
    named = [("", role) for role in status["roles"]] + [("director:", role) for role in status["director"]]
    own = next((role["keys"] for of, role in named if of + role["name"] == beginning), None)
    if own is not None and len(own) == 1:
        return str(own[0])
    if (path := Path(beginning)).is_file():
        wanted = _public(path).strip()
        found = [key["id"] for key in keys if key["public"].strip() == wanted]
    else:
        found = [key["id"] for key in keys if key["id"].startswith(beginning)]
    if len(found) != 1:
        told = "several keys are" if found or own else "no key is"
        raise InvalidInputError(f"{told} {beginning!r}", hint="otaru keys status lists them.")
    return str(found[0])
