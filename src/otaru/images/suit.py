"""SUIT envelopes (draft-ietf-suit-manifest): a manifest in CBOR, its digest, COSE signatures over that, payloads beside it.

The signature is over the digest's bytes, the digest over the manifest with the head of the byte string around it. Parts
that may be cut off (`severable`) and payloads that came along count when the manifest names their digest.
"""

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from otaru.images import cbor, keys
from otaru.images.cbor import Tag, Value
from otaru.images.facts import Facts, Format, Payload, Signature, Verdict
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader

START = b"\xd8\x6b"
_ENVELOPE, _SIGN1 = 107, 18
_AUTHENTICATION, _MANIFEST = 2, 3
_VERSION, _SEQUENCE, _COMMON = 1, 2, 3
_COMPONENTS, _SHARED = 2, 4
_COMMANDS = (7, 8, 9, 16, 20)  # validate, load, invoke, payload-fetch, install
_SEVERABLE = {16: "payload-fetch", 20: "install", 23: "text"}
_TEXT = 23
_SET_INDEX, _TRY_EACH, _OVERRIDE, _RUN = 12, 15, 20, 32
_VENDOR, _CLASS, _DIGEST, _SIZE, _URI = 1, 2, 3, 14, 21
_MODEL_NAME, _COMPONENT_VERSION = 2, 6
_HASHES = {-16: "sha256", -43: "sha384", -44: "sha512"}
_ALGORITHMS = {-7: "sha256", -35: "sha384", -36: "sha512", -9: "sha256", -51: "sha384", -52: "sha512"}
_EDDSA = (-8, -19)
_COVERS = "the manifest"


@dataclass(slots=True)
class _Heard:
    """What the commands say, by component."""

    components: tuple[str, ...]
    vendors: dict[str, None] = field(default_factory=dict)
    digests: dict[tuple[int, str, str], None] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    sources: dict[int, str] = field(default_factory=dict)


def read(reader: Reader, anchors: Anchors) -> Facts:
    """Read an envelope, whole: its limit is that of headers.

    Raises:
        BrokenImageError: it is no envelope, or its manifest, a part or a payload is not the one that was digested.
    """
    depth = reader.limits.depth
    envelope = cbor.decode(reader.head(0, reader.size, "the envelope"), "the envelope", depth)
    parts = _map(envelope.value) if isinstance(envelope, Tag) and envelope.number == _ENVELOPE else {}
    wrapped, manifest = parts.get(_AUTHENTICATION), parts.get(_MANIFEST)
    if not isinstance(wrapped, bytes) or not isinstance(manifest, bytes):
        raise BrokenImageError("the envelope holds no manifest, or none with a digest")
    proofs = cbor.decode(wrapped, "the authentication", depth)
    if not isinstance(proofs, tuple) or not proofs or not isinstance(proofs[0], bytes):
        raise BrokenImageError("the authentication holds no digest")
    algorithm, told = _digest(proofs[0])
    found = hashlib.new(algorithm, cbor.octets(manifest)).hexdigest()
    if found != told:
        raise BrokenImageError(f"the manifest has the {algorithm} {found}, the envelope says {told}")
    signatures = tuple(_signature(reader, proof, proofs[0], f"{algorithm}:{told}", anchors) for proof in proofs[1:])
    return _facts(reader, parts, _map(cbor.decode(manifest, "the manifest", depth)), signatures, f"{algorithm}:{told}")


def _facts(
    reader: Reader,
    envelope: dict[Value, Value],
    manifest: dict[Value, Value],
    signatures: tuple[Signature, ...],
    digest: str,
) -> Facts:
    sequence = manifest.get(_SEQUENCE)
    if manifest.get(_VERSION) != 1 or not isinstance(sequence, int) or sequence < 0:
        raise BrokenImageError("the manifest is of another version than 1, or has no sequence number")
    common = _map(_nested(reader, manifest.get(_COMMON), "the common part"))
    components = common.get(_COMPONENTS, ())
    if not isinstance(components, tuple):
        raise BrokenImageError("the manifest's components are no list")
    heard = _Heard(tuple(_component(one) for one in components))
    sequences = [common.get(_SHARED), *(_part(reader, envelope, manifest, key) for key in _COMMANDS)]
    for commands in sequences:
        if commands is not None:
            _hear(reader, commands, heard, reader.limits.depth)
    described = dict(_texts(reader, _part(reader, envelope, manifest, _TEXT)))
    return Facts(
        Format.SUIT,
        format_version="1",
        product=described.get(_MODEL_NAME),
        version=described.get(_COMPONENT_VERSION),
        hardware=tuple(heard.vendors),
        payloads=tuple(_payloads(reader, envelope, heard)),
        signatures=signatures,
        digest=digest,
        security_counter=sequence,
    )


def _part(reader: Reader, envelope: dict[Value, Value], manifest: dict[Value, Value], key: int) -> Value:
    """A part that may stand in the manifest, or in the envelope with its digest in the manifest; None without it."""
    own, severed = manifest.get(key), envelope.get(key)
    if own is None and severed is None:
        return None
    if isinstance(own, bytes) and severed is None:
        return own
    name = _SEVERABLE.get(key, str(key))
    if not isinstance(own, tuple) or not (severed is None or isinstance(severed, bytes)):
        raise BrokenImageError(f"{name} stands beside the manifest, which does not know it")
    if severed is None:
        return None
    reader.count("parts")
    _check(own, cbor.octets(severed), name)
    return severed


def _hear(reader: Reader, raw: Value, heard: _Heard, depth: int) -> None:
    """Go through a command sequence, and keep what its parameters are set to."""
    if depth < 0:
        raise BrokenImageError("the commands nest too deep")
    commands = _nested(reader, raw, "the commands")
    if not isinstance(commands, tuple) or len(commands) % 2:
        raise BrokenImageError("the commands are no pairs")
    current: tuple[int, ...] = (0,) if len(heard.components) == 1 else tuple(range(len(heard.components)))
    for command, argument in zip(commands[::2], commands[1::2], strict=True):
        reader.count("commands")
        if command == _SET_INDEX:
            current = _index(argument, len(heard.components))
        elif command == _OVERRIDE:
            _keep(reader, _map(argument), current, heard)
        elif command == _RUN:
            _hear(reader, argument, heard, depth - 1)
        elif command == _TRY_EACH:
            for one in argument if isinstance(argument, tuple) else ():
                if one is not None:
                    _hear(reader, one, heard, depth - 1)


def _keep(reader: Reader, parameters: dict[Value, Value], current: tuple[int, ...], heard: _Heard) -> None:
    for key, name in ((_VENDOR, "vendor"), (_CLASS, "class")):
        value = parameters.get(key)
        if isinstance(value, bytes) and len(value) == 16:
            heard.vendors[f"{name} {uuid.UUID(bytes=value)}"] = None
    digest, size, uri = parameters.get(_DIGEST), parameters.get(_SIZE), parameters.get(_URI)
    for component in current:
        reader.count("parameters")
        if isinstance(size, int) and size >= 0:
            heard.sizes[component] = size
        if isinstance(uri, str):
            heard.sources[component] = uri
        if isinstance(digest, bytes):
            heard.digests[component, *_digest(digest)] = None


def _payloads(reader: Reader, envelope: dict[Value, Value], heard: _Heard) -> Iterator[Payload]:
    alternatives = Counter(component for component, _, _ in heard.digests)
    digests: dict[tuple[str, str], str] = {}
    for component, algorithm, told in heard.digests:
        source = heard.sources.get(component)
        inside = envelope.get(source)
        verified = False
        if source is not None and isinstance(inside, bytes):
            found = digests.get((algorithm, source)) or hashlib.new(algorithm, inside).hexdigest()
            digests[algorithm, source] = found
            # A component may have several digests, for devices that differ; one of them is what came along.
            verified = found == told
            if not verified and alternatives[component] == 1:
                raise BrokenImageError(f"a payload has the {algorithm} {found}, the manifest says {told}")
        name = reader.text(heard.components[component], "a component")
        sha256 = told if algorithm == "sha256" else None
        yield Payload(name, heard.sizes.get(component), sha256, "component", verified=verified)


def _texts(reader: Reader, raw: Value) -> Iterator[tuple[int, str]]:
    """The model's name and the component's version, in the first language that has them."""
    if raw is None:
        return
    for by_component in reversed(list(_map(_nested(reader, raw, "the text")).values())):
        for key, words in _map(by_component).items():
            if isinstance(key, tuple):
                for name in (_MODEL_NAME, _COMPONENT_VERSION):
                    if isinstance(value := _map(words).get(name), str):
                        yield name, reader.text(value, "the text")


def _signature(reader: Reader, proof: Value, payload: bytes, shown: str, anchors: Anchors) -> Signature:
    """Judge a COSE_Sign1 (RFC 9052, 4.4) by every key of its algorithm's kind."""
    reader.count("signatures")
    sign1 = _nested(reader, proof, "a signature")
    if not isinstance(sign1, Tag) or sign1.number != _SIGN1:
        return Signature("COSE", Verdict.UNKNOWN, _COVERS, shown, reason="it is no COSE_Sign1")
    if not isinstance(sign1.value, tuple) or len(sign1.value) != 4:
        raise BrokenImageError("a signature is not of the form of COSE_Sign1")
    protected, unprotected, inside, signature = sign1.value
    if (
        not isinstance(protected, bytes)
        or not isinstance(signature, bytes)
        or not (inside is None or inside == payload)
    ):
        raise BrokenImageError("a signature is not of the form of COSE_Sign1, or over something else")
    head = _map(cbor.decode(protected, "a signature's head")) if protected else {}
    algorithm = head.get(1)
    named = head.get(4, _map(unprotected).get(4))
    message = b"\x84" + cbor.text("Signature1") + cbor.octets(protected) + cbor.octets(b"") + cbor.octets(payload)
    for key, owner in anchors.known():
        held = False
        if isinstance(key, ed25519.Ed25519PublicKey):
            held = algorithm in _EDDSA and keys.signed(key, signature, message, "sha512")
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(algorithm, int) and algorithm in _ALGORITHMS:
            pair = keys.joined(key, signature)
            held = pair is not None and keys.signed(key, pair, message, _ALGORITHMS[algorithm])
        if held:
            return Signature(f"COSE, {keys.kind(key)}", Verdict.VALID, _COVERS, shown, owner, keys.spki(key))
    told = named.hex() if isinstance(named, bytes) and len(named) <= 64 else None
    return Signature("COSE", Verdict.UNKNOWN, _COVERS, shown, key=told, reason="no trusted key made it")


def _digest(raw: bytes) -> tuple[str, str]:
    """A SUIT_Digest's algorithm and its bytes as hex."""
    return _parts(cbor.decode(raw, "a digest"))


def _parts(found: Value) -> tuple[str, str]:
    if not isinstance(found, tuple) or len(found) < 2:
        raise BrokenImageError("a digest is not of SUIT's form")
    algorithm, told = found[0], found[1]
    if not isinstance(algorithm, int) or algorithm not in _HASHES or not isinstance(told, bytes):
        raise BrokenImageError("a digest is of a kind that is not read here")
    return _HASHES[algorithm], told.hex()


def _check(told: Value, raw: bytes, what: str) -> None:
    algorithm, digest = _parts(told)
    if hashlib.new(algorithm, raw).hexdigest() != digest:
        raise BrokenImageError(f"{what} is not the one that the manifest names")


def _index(argument: Value, count: int) -> tuple[int, ...]:
    if argument is True:
        return tuple(range(count))
    found = argument if isinstance(argument, tuple) else (argument,)
    numbers = tuple(one for one in found if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < count)
    if len(numbers) != len(found):
        raise BrokenImageError("a command is for a component that does not exist")
    return numbers


def _component(identifier: Value) -> str:
    """A component's identifier: its parts as text where they are, as hex where not, with slashes between."""
    if not isinstance(identifier, tuple) or not all(isinstance(part, bytes) for part in identifier):
        raise BrokenImageError("a component has no identifier")
    parts = [part for part in identifier if isinstance(part, bytes)]
    shown = [part.decode() if part and part.isascii() and part.decode().isprintable() else part.hex() for part in parts]
    return "/".join(shown)


def _nested(reader: Reader, raw: Value, what: str) -> Value:
    if not isinstance(raw, bytes):
        raise BrokenImageError(f"{what} is not there")
    return cbor.decode(raw, what, reader.limits.depth)


def _map(value: Value) -> dict[Value, Value]:
    if not isinstance(value, dict):
        raise BrokenImageError("there is no map where one belongs")
    return value
