"""Tokens for an hour: what is signed comes back, and nothing else does."""

import json
import subprocess
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.ids import DeviceId, TenantId
from otaru.trust.grant import (
    LIFE,
    MAX_GRANT,
    SIGNS,
    Grant,
    Sealed,
    last_end,
    opened,
    signs,
    taken_apart,
    unsigned,
    whole,
)

ACME, RIVAL = TenantId("acme"), TenantId("rival")
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
SIGNER = "ab" * 32
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
GRANT = Grant(ACME, DeviceId("sn-1"), sha256(b"device").digest(), AT, AT + LIFE)


def token(grant: Grant = GRANT, key: Ed25519PrivateKey = KEY) -> str:
    signed = unsigned(grant, SIGNER)
    return whole(signed, key.sign(signed))


def told(text: str, public: bytes = PUBLIC, tenant: TenantId = ACME) -> Grant | None:
    sealed = taken_apart(text.encode())
    return None if sealed is None else opened(sealed, public, AT, tenant)


def encoded(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def with_header(**header: Any) -> str:
    """The token under another header, rightly signed over it."""
    signed = (encoded(header) + "." + token().split(".")[1]).encode()
    return whole(signed, KEY.sign(signed))


@given(st.from_regex(r"[A-Za-z0-9._:~-]{1,128}", fullmatch=True), st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_what_is_signed_comes_back(device: str, tenant: str) -> None:
    grant = Grant(TenantId(tenant), DeviceId(device), b"d" * 32, AT, AT + LIFE)
    assert told(token(grant), tenant=grant.tenant) == grant
    assert len(token(grant)) <= MAX_GRANT


def test_it_is_a_jwt_that_a_stranger_finds_good(tmp_path: Path) -> None:
    header, claims, signature = token().split(".")
    assert json.loads(urlsafe_b64decode(header + "==")) == {"alg": "EdDSA", "kid": SIGNER, "typ": "JWT"}
    said = json.loads(urlsafe_b64decode(claims + "=="))
    assert (said["iss"], said["sub"], said["exp"] - said["iat"]) == ("otaru/acme", "sn-1", 3600)
    assert urlsafe_b64decode(said["cnf"]["kid"] + "=") == GRANT.key
    (tmp_path / "key.pem").write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "text").write_text(f"{header}.{claims}")
    (tmp_path / "signature").write_bytes(urlsafe_b64decode(signature + "=="))
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in text -sigfile signature"
    assert (
        "Verified Successfully"
        in subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )


def test_another_key_and_another_tenant_open_nothing() -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    assert told(token(key=other)) is None
    assert told(token(), other.public_key().public_bytes_raw()) is None
    assert told(token(), b"short") is None
    assert told(token(), tenant=RIVAL) is None


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": SIGNER, "typ": "JWT"},
        {"alg": "HS256", "kid": SIGNER, "typ": "JWT"},
        {"alg": "ES256", "kid": SIGNER, "typ": "JWT"},
        {"alg": "eddsa", "kid": SIGNER, "typ": "JWT"},
        {"kid": SIGNER, "alg": "EdDSA", "typ": "JWT"},
        {"alg": "EdDSA", "kid": SIGNER},
        {"alg": "EdDSA", "kid": SIGNER, "typ": "JWT", "b64": False, "crit": ["b64"]},
        {"alg": "EdDSA", "kid": SIGNER, "typ": "JWT", "jku": "https://evil.example/keys"},
        {"alg": "EdDSA", "kid": SIGNER, "typ": "JWT", "jwk": {"kty": "OKP"}},
        {"alg": "EdDSA", "kid": SIGNER, "typ": "JWT", "x5u": "https://evil.example/"},
        {"alg": "EdDSA", "kid": "../../etc/passwd", "typ": "JWT"},
        {"alg": "EdDSA", "kid": "' OR 1=1 --", "typ": "JWT"},
        {"alg": "EdDSA", "kid": 7, "typ": "JWT"},
        {"alg": "EdDSA", "typ": "JWT"},
    ],
)
def test_what_a_header_asks_for_is_not_done(header: dict[str, Any]) -> None:
    assert told(with_header(**header)) is None


def test_no_signature_is_none() -> None:
    header, claims, signature = token().split(".")
    for text in (f"{header}.{claims}.", f"{header}.{claims}", f"{header}.{claims}.{'A' * 86}", f"{claims}.{signature}"):
        assert told(text) is None
    assert told(f"{token()}.x") is None
    assert taken_apart(b"") is None


@given(
    st.integers(0, len(token()) - 2),
    st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."),
)
def test_no_changed_character_goes_unseen(at: int, sign: str) -> None:
    # The very last one holds bits that decoders ignore.
    good = token()
    changed = good[:at] + sign + good[at + 1 :]
    assert (told(changed) == GRANT) == (changed == good)


@given(st.binary(max_size=200))
def test_what_is_none_is_none(text: bytes) -> None:
    assert taken_apart(text) is None


@pytest.mark.parametrize(
    "claims",
    [
        [],
        {},
        {"iss": "otaru/acme", "aud": "else", "sub": "sn-1", "iat": 1, "exp": 2, "cnf": {"kid": ""}},
        {"iss": "otaru/acme", "aud": "otaru-device", "sub": "sn-1", "iat": 1, "exp": 10**30, "cnf": {"kid": ""}},
        {"iss": "otaru/acme", "aud": "otaru-device", "sub": "sn-1", "iat": 1, "exp": "2", "cnf": {"kid": ""}},
        {"iss": "otaru/acme", "aud": "otaru-device", "sub": "sn-1", "iat": 1, "exp": 2, "cnf": "x"},
    ],
)
def test_what_our_own_key_signed_in_another_form_opens_nothing(claims: Any) -> None:
    signed = (token().split(".")[0] + "." + encoded(claims)).encode()
    sealed = taken_apart(whole(signed, KEY.sign(signed)).encode())
    assert isinstance(sealed, Sealed)
    assert opened(sealed, PUBLIC, AT, ACME) is None


@given(st.timedeltas(timedelta(0), SIGNS + LIFE))
def test_what_a_key_signs_in_its_time_holds_to_its_end(after: timedelta) -> None:
    grant = Grant(ACME, GRANT.device, GRANT.key, *(at.replace(microsecond=0) for at in (AT + after, AT + after + LIFE)))
    assert (told(token(grant)) == grant) == signs(AT, grant.issued_at) or grant.expires_at == last_end(AT)


@pytest.mark.parametrize(
    ("issued", "life"),
    [
        (SIGNS + timedelta(seconds=1), LIFE),  # after its time
        (timedelta(days=365), LIFE),
        (timedelta(0), LIFE + timedelta(seconds=1)),  # longer than any
        (timedelta(0), timedelta(days=3650)),
    ],
)
def test_what_the_thief_of_an_old_key_signs_opens_nothing(issued: timedelta, life: timedelta) -> None:
    assert told(token(Grant(ACME, GRANT.device, GRANT.key, AT + issued, AT + issued + life))) is None
