"""The client against answers as servers and networks give them."""

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from otaru.apps.cli.client import AT_FIRST_S, LATER_S, LONGEST_WAIT_S, Api, origin, path
from otaru.errors import InvalidInputError, NotFoundError, OtaruError, OverloadedError, UnavailableError

Answer = httpx.Response | Exception


class Script:
    """Answers requests in turn, and remembers them."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self._answers = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def api(self, **options: Any) -> Api:
        transport = httpx.MockTransport(self)
        return Api("http://here:1/", "secret", transport=transport, sleep=self.waits.append, **options)


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    given = {"content-type": "application/problem+json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return httpx.Response(status, headers=given, json={"code": code, "detail": f"it is {code}"})


def busy(**headers: str) -> httpx.Response:
    return problem(503, "overloaded", **headers)


REFUSED = httpx.ConnectError("refused")
BROKEN = httpx.ReadError("broken")


def test_a_request_carries_token_and_parameters() -> None:
    script = Script(httpx.Response(200, json={"a": 1}))
    with script.api() as api:
        assert api.get(path("devices", "a/b c"), limit=5, cursor=None, count=True) == {"a": 1}
    request = script.requests[0]
    assert request.headers["authorization"] == "Bearer secret"
    assert str(request.url) == "http://here:1/api/v1/devices/a%2Fb%20c?limit=5&count=true"


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_a_name_that_a_path_would_swallow_is_refused(segment: str) -> None:
    with pytest.raises(InvalidInputError):
        path("devices", segment)


@pytest.mark.parametrize(
    "server",
    [
        "",
        "here:8080",
        "ftp://here",
        "http://",
        "http://here/?a=1",
        "http:///x",
        "http://[::1",
        "http://h:99999",
        "http://h:0",
        "http://a b",
    ],
)
def test_what_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(InvalidInputError):
        origin(server)


@pytest.mark.parametrize("token", ["a\nb", "ü", "\x00"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidInputError):
        Api("http://here", token)


def test_a_post_is_one_post_however_often_it_is_sent() -> None:
    script = Script(httpx.Response(200, json={}), BROKEN, busy(), httpx.Response(201, json={"id": 7}))
    with script.api() as api:
        api.get("/tenant")
        assert api.post("/rollouts", {"a": 1}) == {"id": 7}
    keys = {request.headers["idempotency-key"] for request in script.requests[1:]}
    assert len(script.requests) == 4
    assert len(keys) == 1
    assert len({request.content for request in script.requests[1:]}) == 1


def test_two_posts_are_two_posts() -> None:
    script = Script(httpx.Response(201, json={}), httpx.Response(201, json={}))
    with script.api() as api:
        api.post("/rollouts", {})
        api.post("/rollouts", {})
    assert len({request.headers["idempotency-key"] for request in script.requests}) == 2


def test_a_server_that_was_never_heard_is_given_up_soon() -> None:
    script = Script(*[REFUSED] * 20)
    with script.api() as api, pytest.raises(UnavailableError, match="no server answers at http://here:1"):
        api.get("/tenant")
    assert script.waits == list(AT_FIRST_S)


def test_a_server_that_was_heard_is_given_time_to_restart() -> None:
    script = Script(httpx.Response(200, json={}), *[REFUSED] * 20)
    with script.api() as api:
        api.get("/tenant")
        with pytest.raises(UnavailableError):
            api.get("/tenant")
    assert script.waits == list(LATER_S)


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    script = Script(busy(retry_after="4"), busy(retry_after="3000"), httpx.Response(200, json={}))
    with script.api() as api:
        api.get("/tenant")
    assert script.waits == [4, LONGEST_WAIT_S]


def test_a_server_that_stays_busy_says_so_in_the_end() -> None:
    script = Script(*[busy() for _ in range(20)])
    with script.api() as api, pytest.raises(OverloadedError, match="it is overloaded"):
        api.get("/tenant")


@pytest.mark.parametrize(
    "answer", [problem(404, "not_found"), problem(409, "invalid_state"), problem(400, "invalid_input")]
)
def test_an_answer_is_not_asked_for_again(answer: httpx.Response) -> None:
    script = Script(answer)
    with script.api() as api, pytest.raises(OtaruError, match="it is"):
        api.get("/tenant")
    assert script.waits == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ssl.SSLCertVerificationError("self-signed"), "not trusted"),
        (ssl.SSLError("WRONG_VERSION_NUMBER"), "TLS"),
    ],
)
def test_tls_that_fails_is_told_at_once(error: ssl.SSLError, said: str) -> None:
    wrapped = httpx.ConnectError("tls")
    wrapped.__cause__ = error
    script = Script(wrapped)
    with script.api() as api, pytest.raises(UnavailableError, match=said):
        api.get("/tenant")
    assert script.waits == []


def test_a_delete_that_finds_nothing_on_its_second_try_has_worked_on_its_first() -> None:
    script = Script(httpx.Response(200, json={}), BROKEN, problem(404, "not_found"))
    with script.api() as api:
        api.get("/tenant")
        api.delete("/devices/a")
    script = Script(problem(404, "not_found"))
    with script.api() as api, pytest.raises(NotFoundError):
        api.delete("/devices/a")


def test_a_patch_may_name_the_edition_it_changes() -> None:
    script = Script(httpx.Response(200, json={}), httpx.Response(200, json={}))
    with script.api() as api:
        api.patch("/devices/a", {}, edition=7)
        api.patch("/devices/a", {})
    assert script.requests[0].headers["if-match"] == '"7"'
    assert "if-match" not in script.requests[1].headers


def page(items: list[int], cursor: str | None) -> httpx.Response:
    return httpx.Response(200, json={"items": items, "next": cursor, "total": 5})


def test_pages_follow_one_another_up_to_the_limit() -> None:
    script = Script(page([1, 2], "b"), page([3, 4], "c"))
    with script.api() as api:
        assert api.pages("/devices", limit=4, q="x") == {"items": [1, 2, 3, 4], "next": "c", "total": 5}
    assert [dict(r.url.params) for r in script.requests] == [
        {"limit": "4", "q": "x"},
        {"limit": "2", "cursor": "b", "q": "x"},
    ]


def test_pages_without_a_limit_go_to_the_end() -> None:
    script = Script(page([1], "b"), page([], "c"), page([2], None))
    with script.api() as api:
        assert api.pages("/devices", limit=0)["items"] == [1, 2]
    assert {r.url.params["limit"] for r in script.requests} == {"1000"}


def test_a_cursor_that_leads_to_itself_ends_the_list() -> None:
    script = Script(page([1], "b"), page([2], "b"))
    with script.api() as api:
        assert api.pages("/devices", limit=0)["items"] == [1, 2]


def endless() -> Iterator[bytes]:
    while True:
        yield b" " * 1_000_000


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.Response(200, html="<html>hello</html>"),
        lambda: httpx.Response(200, json=["no", "list"]),
        lambda: httpx.Response(200, json={"items": 1}),
        lambda: httpx.Response(302, headers={"location": "http://else"}),
        lambda: httpx.Response(200, content=endless()),
    ],
)
def test_who_is_no_otaru_server_is_told_so(answer: Callable[[], httpx.Response]) -> None:
    script = Script(answer())
    with script.api() as api, pytest.raises(OtaruError, match="does not answer as an Otaru server"):
        api.pages("/devices", limit=1)


def test_a_ca_file_that_is_none_is_told(tmp_path: Any) -> None:
    for content in (None, b"no certificate"):
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_bytes(content)
        with Api("https://here", "t", ca=str(file)) as api, pytest.raises(InvalidInputError, match=r"ca\.pem"):
            api.get("/tenant")
