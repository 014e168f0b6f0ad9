import pytest

from otaru.apps.console.session import origin_of, refuse_other_pages, session_of
from otaru.errors import ForbiddenError


def scope(**headers: str) -> dict[str, object]:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http", "scheme": "http", "method": "POST", "path": "/", "headers": pairs}


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"origin": "http://here:8080", "host": "here:8080"},
        {"origin": "HTTP://Here:8080", "host": "here:8080"},
        {"origin": "https://updates.example", "host": "127.0.0.1:8080"},
    ],
)
def test_our_own_pages(headers: dict[str, str]) -> None:
    refuse_other_pages(scope(**headers), "https://updates.example/otaru")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "here:8080"},
        {"origin": "null", "host": "here:8080"},
        {"origin": "http://here:8081", "host": "here:8080"},
        {"origin": "https://here:8080", "host": "here:8080"},
        {"origin": "http://updates.example", "host": "127.0.0.1:8080"},
        {"sec_fetch_site": "cross-site", "origin": "http://here:8080", "host": "here:8080"},
        {"sec_fetch_site": "same-site", "origin": "http://here:8080", "host": "here:8080"},
    ],
)
def test_pages_of_others(headers: dict[str, str]) -> None:
    with pytest.raises(ForbiddenError):
        refuse_other_pages(scope(**headers), "https://updates.example")


def test_no_origin_is_ours_where_there_is_no_public_url() -> None:
    assert origin_of("") == ""
    with pytest.raises(ForbiddenError):
        refuse_other_pages(scope(origin="", host=""), "")


def test_the_session_is_found_among_cookies() -> None:
    assert session_of(scope(cookie="a=b; otaru_session=secret; c=d")) == "secret"
    assert session_of(scope(cookie='otaru_session="quoted"')) == "quoted"
    assert session_of(scope(cookie="other=1")) == ""
    assert session_of(scope(cookie=";;=;\xff")) == ""
    assert session_of(scope(cookie="otaru_session=" + "x" * 10_000)) == ""
    assert session_of(scope()) == ""
