"""`otaru release add --sign-with`: request, sign and import in one go, by whoever has a release manager's keys at hand.

A person who signs a request by `otaru keys sign` reads it first. Nobody reads here, so the program holds what the server
wants signed against what was given to it: of this release exactly these files, of others only what one of these keys has
signed before. A server that slips something in gets no signature for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otaru.apps.cli import ceremony
from otaru.apps.cli.client import Api
from otaru.apps.cli.printer import remark
from otaru.domain.device import hardware
from otaru.domain.ids import ProductName
from otaru.errors import InvalidInputError, MetadataVersionError, NotFoundError, RefusedError, SignatureMissingError
from otaru.trust.tuf.names import role_of

if TYPE_CHECKING:
    from otaru.ports.signing import Signer

TRIES = 5
"""How often somebody else may sign the same role meanwhile."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Keys at hand, and the role that they sign."""

    role: str
    signers: "Sequence[Signer]"


def ready(api: Api, product: str, channel: str, places: Sequence[str], output: Path) -> Hands:
    """Open the keys and hold them against the role's, before anything is uploaded.

    Raises:
        InvalidInputError: a key cannot be opened; or others have to sign too, and `output`, which is for them, is there.
        SignatureMissingError: nobody may sign the role yet.
        RefusedError: one of the keys is none of the role's.
    """
    role = role_of(ProductName(product), channel)
    signers = [ceremony.signer_at(place) for place in places]
    roles = {found["name"]: found for found in api.get("/keys")["roles"]}
    if not roles:
        raise SignatureMissingError("the tenant has no keys yet", hint="Begin with otaru keys init.")
    if role not in roles:
        told = f"nobody may sign {role} yet"
        raise SignatureMissingError(told, hint=f"otaru keys delegate {role} --key FILE.pub")
    for place, signer in zip(places, signers, strict=True):
        if signer.key.keyid not in roles[role]["keys"]:
            allowed = " ".join(key[:16] for key in roles[role]["keys"])
            raise RefusedError(
                f"{place} is the key {signer.key.keyid[:16]}, which may not sign {role}",
                hint=f"Its keys are {allowed}. Another one: otaru keys rekey {role} --add FILE.pub",
            )
    hands = {signer.key.keyid: signer for signer in signers}
    if len(hands) < roles[role]["threshold"] and output.exists():
        raise InvalidInputError(f"there is a file {output} already", hint="Name another one with -o.")
    return Hands(role, list(hands.values()))


def publish(api: Api, hands: Hands, body: Mapping[str, Any], output: Path) -> bool:
    """Have a draft published by the keys at hand. False: others have to sign too; what they need is in `output`.

    Raises:
        RefusedError: the server wants something signed that it was not given.
        MetadataError: somebody else signs the role all the time, or the server refuses it.
    """
    for left in reversed(range(TRIES)):
        outcome = api.post("/keys/requests", {"role": hands.role, "versions": [body["version"]]})
        if outcome["applied"]:
            return True
        _check(api, hands, body, outcome["metadata"])
        for signer in hands.signers:
            ceremony.sign_request(outcome, signer)
        if any(_lacks(one, outcome["metadata"]) for one in outcome["missing"]):
            ceremony.write_request(output, outcome)
            return False
        try:
            api.post("/keys/metadata", {"metadata": outcome["metadata"]})
        except MetadataVersionError:
            if not left:
                raise
            remark(f"otaru: somebody else has signed {hands.role} meanwhile: once more")
            continue
        return True
    return False


def _lacks(missing: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    signed = {one["keyid"] for one in metadata[missing["role"]]["signatures"]}
    needed: int = missing["needed"]
    return len(signed & set(missing["keys"])) < needed


def _check(api: Api, hands: Hands, body: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    if set(metadata) != {hands.role}:
        raise RefusedError(f"the server wants more signed than {hands.role}: {', '.join(sorted(metadata))}")
    signed = metadata[hands.role].get("signed", {})
    if signed.get("_type") != "targets" or signed.get("delegations"):
        raise RefusedError(f"the server wants something else signed than files of {hands.role}")
    files: dict[str, Any] = signed.get("targets", {})
    product, version = body["product"], body["version"]
    channel = hands.role.rpartition(".")[2]
    own = {name: file for name, file in files.items() if name.startswith(f"{product}/{channel}/{version}/")}
    if sorted(map(_said, own.values())) != sorted(_given(body)):
        raise RefusedError(
            f"the server wants other files signed as {product} {version} than it was given",
            hint="Nothing was signed. Find out why before anybody signs: otaru keys request, then otaru keys sign.",
        )
    others = {name: file for name, file in files.items() if name not in own}
    before = _before(api, hands, int(signed.get("version", 1)) - 1)
    if before is None:
        if others:
            remark(f"otaru: {hands.role} lists {len(others)} files more, which none of these keys has signed before")
    elif strange := sorted(name for name, file in others.items() if before.get(name) != file):
        raise RefusedError(f"the server wants signed, too, what nobody gave here: {strange[0]}")


def _before(api: Api, hands: Hands, version: int) -> Mapping[str, Any] | None:
    """The files of the role's last metadata, where one of the keys at hand has signed it."""
    if version < 1:
        return {}
    from securesystemslib.exceptions import UnverifiedSignatureError

    from otaru.trust.tuf.metadata import read

    tenant = api.get("/tenant")["id"]
    try:
        found = read(hands.role, api.fetch(f"/tuf/{tenant}/image/metadata/{version}.{hands.role}.json"))
    except NotFoundError:
        return None
    for signer in hands.signers:
        try:
            signer.key.verify_signature(found.signatures[signer.key.keyid], found.signed_bytes)
        except (KeyError, UnverifiedSignatureError):
            continue
        listed: Mapping[str, Any] = found.to_dict()["signed"]["targets"]
        return listed
    return None


def _said(file: Mapping[str, Any]) -> tuple[str, ...]:
    custom = file.get("custom", {})
    told = (custom.get(name, "") for name in ("component", "version", "sbom", "provenance"))
    return (file["hashes"]["sha256"], *told, *custom.get("hardwareIds", ()))


def _given(body: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What the files of a release have to say: bytes for several kinds of hardware are one file."""
    models: dict[tuple[str, str, str], set[str]] = {}
    for part in body["artifacts"]:
        same = (part["filename"], part["sha256"], part.get("component") or body["product"])
        models.setdefault(same, set()).update(str(hardware(model)) for model in part["hardware"])
    told = (body["version"], body.get("sbom") or "", body.get("provenance") or "")
    return [(sha256, component, *told, *sorted(fits)) for (_, sha256, component), fits in models.items()]
