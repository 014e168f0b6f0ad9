"""How a device is let in: it enrolls by a claim, and buys tokens for an hour with its key (docs/enrollment.md)."""

import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import msgspec

from otaru import errors
from otaru.adapters.links.wire import Answer, Wire, header
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import InvalidInputError, OtaruError, UnavailableError
from otaru.ports.clock import Clock
from otaru.trust import possession

_MAX_ANSWER = 64 * 1024
_PROOFS = 4
"""Of one question, at most."""


class Key(Protocol):
    """A private key of the device."""

    @property
    def pem(self) -> str:
        """Its public part."""
        ...

    @property
    def der(self) -> bytes:
        """Its public part, as its digest is made of."""
        ...

    def sign(self, data: bytes) -> bytes:
        """A signature of bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """A token for an hour."""

    token: str
    until: float
    """By the monotonic clock: renew it before."""


class Admission:
    """The server's door, for one device."""

    def __init__(self, server: str, clock: Clock, trust: ssl.SSLContext | None = None) -> None:
        """Take where the server is; nothing is connected yet."""
        self._server = server.rstrip("/")
        self._clock = clock
        self._wire = Wire(clock, trust)

    def enroll(
        self, claim: str, device: DeviceId, tenant: TenantId, hardware: str, key: Key, attributes: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Make the key this device's credential, by a claim; what the server says of it.

        Raises:
            DevicePendingError: somebody has to accept it first: `facts["retry_after_s"]`.
            EnrollmentError, ProofError, UnauthenticatedError: it is refused.
            UnavailableError: the server does not answer.
        """

        def proof(time_s: int) -> bytes:
            return possession.to_enroll(tenant, device, time_s, sha256(claim.encode()).digest(), _digest(key))

        body = {"id": device, "hardware": hardware, "attributes": dict(attributes), "want": "key"}
        return self._proven("enroll", {**body, "public_key": key.pem}, proof, key, claim)

    def ticket(self, tenant: TenantId, device: DeviceId, key: Key) -> Ticket:
        """A token for an hour. Raises as `enroll`."""

        def proof(time_s: int) -> bytes:
            return possession.for_grant(tenant, device, time_s, _digest(key))

        began = self._clock.monotonic()
        told = self._proven("token", {"tenant": tenant, "id": device, "public_key": key.pem}, proof, key, "")
        try:
            return Ticket(str(told["token"]), began + min(float(told["expires_in_s"]), 86_400) * 0.8)
        except (KeyError, ValueError, TypeError):
            raise InvalidInputError("the server's answer is none of this road") from None

    def root(self, tenant: TenantId, repository: str) -> bytes:
        """The first root of a repository, as the server hands it to everybody: to be compared with what is known of it.

        Raises:
            UnavailableError: it has none (yet), or does not answer.
        """
        found = self._wire.ask(
            "GET", f"{self._server}/tuf/{tenant}/{repository}/metadata/1.root.json", [], None, 512_000
        )
        if found.status == 404:
            raise UnavailableError(
                f"the tenant {tenant} has no keys yet: there is nothing that this device could trust",
                hint="Make them (otaru keys init; or its first release does), then enroll again.",
            )
        if found.status != 200:
            raise UnavailableError(
                f"the server answered {found.status} when asked for the root of the {repository} repository"
            )
        return found.body

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def _proven(self, what: str, body: dict[str, Any], proof: Any, key: Key, claim: str) -> Mapping[str, Any]:
        """Ask with a proof; with the server's time where the device's clock is wrong, with the next second where it was used."""
        time_s = int(self._clock.now().timestamp())
        for left in reversed(range(_PROOFS)):
            shown = {"time": time_s, "signature": b64encode(key.sign(proof(time_s))).decode()}
            found = self._post(what, {**body, "proof": shown}, claim)
            told = _map(found)
            if found.status == 403 and told.get("code") == errors.ProofTimeError.code and left:
                time_s = int(told.get("server_time", 0))
                continue
            if found.status == 403 and told.get("code") == errors.ProofSpentError.code and left:
                time_s += 1  # an agent that was started anew, or a command beside it, has asked in this second, too
                continue
            if found.status == 202:
                after = header(found.headers, b"retry-after") or b"60"
                raise errors.DevicePendingError(
                    "the device waits for somebody to accept it", retry_after_s=int(after) if after.isdigit() else 60
                )
            if found.status not in {200, 201}:
                raise _refusal(found, told)
            return told
        raise AssertionError

    def _post(self, what: str, body: Mapping[str, Any], claim: str) -> Answer:
        headers = [(b"content-type", b"application/json")]
        if claim:
            headers.append((b"authorization", f"Bearer {claim}".encode()))
        return self._wire.ask(
            "POST", f"{self._server}/device/v1/{what}", headers, msgspec.json.encode(body), _MAX_ANSWER
        )


def _digest(key: Key) -> bytes:
    return sha256(key.der).digest()


def _map(found: Answer) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(found.body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _refusal(found: Answer, told: Mapping[str, Any]) -> OtaruError:
    message = f"the server answered {found.status}: {str(told.get('detail', ''))[:300]}"
    kinds = {
        401: errors.UnauthenticatedError,
        403: errors.EnrollmentError,
        404: errors.UnauthenticatedError,
        429: errors.OverloadedError,
        503: errors.OverloadedError,
    }
    kind = kinds.get(found.status, UnavailableError if found.status >= 500 else InvalidInputError)
    return kind(message)
