"""Secrets are found by their looks, and no text makes that slow or undone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.redaction import GONE, redacted

SECRET = "hunter2hunter2"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIHunter2\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        f"password={SECRET}",
        f"WIFI_PASSWORD = {SECRET}",
        f"db_passwd: '{SECRET} with spaces'",
        f'"api_key": "{SECRET}"',
        f"Authorization: Bearer {SECRET}",
        f"authorization=TargetToken {SECRET}",
        f"GET / with bearer {SECRET}",
        f"Set-Cookie: otaru_session={SECRET}; Path=/",
        f"postgresql://otaru:{SECRET}@db/otaru",
        f"wpa psk={SECRET}",
        f"https://host/x?token={SECRET}&more=1",
        f"secret_access_key: {SECRET}",
        f"jwt eyJhbGciOiJI.{SECRET}.x",
    ],
)
def test_what_looks_like_a_secret_is_gone(text: str) -> None:
    assert SECRET not in redacted(f"before\n{text}\nafter")
    assert redacted(f"before\n{text}\nafter").startswith("before\n")
    assert redacted(f"before\n{text}\nafter").endswith("after")


@pytest.mark.parametrize(
    "text", [KEY, KEY.partition("-----END")[0], KEY.partition("KEY-----")[2], KEY.replace("EC ", "")]
)
def test_private_keys_are_gone_also_cut_ones(text: str) -> None:
    assert "MHcCAQEE" not in redacted(text)


def test_what_is_known_is_gone() -> None:
    assert redacted(f"tail {SECRET} of imei 4711", [SECRET, "of"]) == f"tail {GONE} of imei 4711"


@given(st.text(max_size=400))
def test_a_known_secret_is_never_left(text: str) -> None:
    assert SECRET not in redacted(text + SECRET + text, [SECRET])


def test_long_lines_are_no_trouble() -> None:
    for piece in ("password=", "-----BEGIN PRIVATE KEY-----", "://a:", "eyJaaaaaaaa.", "authorization:", "token", '"'):
        redacted(piece * 30_000)
