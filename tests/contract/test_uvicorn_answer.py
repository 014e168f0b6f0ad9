"""`otaru.answer`: the whole answer in one message, as a client sees it."""

import socket

import pytest

from otaru.apps.server.body import Receive, Scope, Send
from otaru.apps.server.http import ANSWER, Whole
from tests.support.engine import LOOPS, running, until

BODY = b'{"config":{}}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    assert ANSWER in scope["extensions"]
    if scope["path"] == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": ANSWER, "status": 200, "headers": HEADERS, "body": BODY})


def said(client: socket.socket, request: bytes, end: bytes) -> bytes:
    client.sendall(request)
    heard = b""
    while not heard.endswith(end) and (more := client.recv(65536)):
        heard += more
    return heard


@pytest.mark.parametrize("loop", LOOPS)
def test_head_and_body_arrive_and_the_connection_stays(loop: str) -> None:
    with running(app, loop) as engine, engine.connect() as client:
        for _ in range(3):
            heard = said(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", BODY)
            head, _, body = heard.partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            assert lines[0] == b"HTTP/1.1 200 OK"
            assert {b"content-type: application/json", b"content-length: 13"} <= set(lines)
            assert any(line.startswith(b"date: ") for line in lines)
            assert body == BODY


def test_head_has_no_body() -> None:
    with running(app) as engine, engine.connect() as client:
        heard = said(client, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\n")
        assert b"content-length: 13" in heard
        again = said(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", BODY)
        assert again.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("request_", [b"GET / HTTP/1.1\r\nConnection: close\r\n", b"GET / HTTP/1.0\r\n"])
def test_it_closes_where_the_client_wants(request_: bytes) -> None:
    with running(app) as engine, engine.connect() as client:
        heard = said(client, request_ + b"Host: x\r\n\r\n", b"never")
        assert b"connection: close" in heard
        assert heard.endswith(BODY)


def test_requests_that_wait_in_line_are_answered_in_order() -> None:
    with running(app) as engine, engine.connect() as client:
        one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        heard = said(client, one * 4 + last, b"never")
        assert heard.count(b"HTTP/1.1 200 OK") == 5
        assert heard.count(BODY) == 5


def test_a_begun_answer_is_not_begun_again() -> None:
    with running(app) as engine, engine.connect() as client:
        heard = said(client, b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n", b"never")
        assert BODY not in heard


class Prompt:
    """Answers `/now` before a task is made for it; asks for the usual way elsewhere."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def at_once(self, scope: Scope) -> Whole | None:
        self.asked.append(scope["path"])
        return (HEADERS, BODY) if scope["path"] == "/now" else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        headers = [(b"content-length", b"%d" % len(scope["path"]))]
        await send({"type": ANSWER, "status": 200, "headers": headers, "body": scope["path"].encode()})


def _get(path: bytes, *more: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: x", *more, b"", b""])


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_at_once_is_one_like_others(loop: str) -> None:
    app = Prompt()
    with running(app, loop, proxy_headers=False) as engine, engine.connect() as client:
        for _ in range(2):
            prompt, usual = said(client, _get(b"/now"), BODY), said(client, _get(b"/later"), b"/later")
            assert prompt.startswith(b"HTTP/1.1 200 OK\r\n")
            assert prompt.endswith(b"content-length: 13\r\n\r\n" + BODY)
            assert b"\r\ndate: " in prompt
            assert usual.endswith(b"\r\n\r\n/later")
        until(lambda: not engine.server.server_state.tasks, "nothing is left to do")
    assert app.asked == ["/now", "/later"] * 2


def test_answers_at_once_keep_their_place_in_line() -> None:
    with running(Prompt(), proxy_headers=False) as engine, engine.connect() as client:
        line = _get(b"/now") + _get(b"/later") + _get(b"/now") * 500 + _get(b"/last", b"Connection: close")
        heard = said(client, line, b"never")
        bodies = [part.partition(b"\r\n\r\n")[2] for part in heard.split(b"HTTP/1.1 200 OK")[1:]]
        # Those that waited for `/later` went the usual way, which answers with the path.
        assert [body.replace(BODY, b"/now") for body in bodies] == [b"/now", b"/later", *[b"/now"] * 500, b"/last"]


def test_nothing_follows_an_answer_at_once_that_closes() -> None:
    with running(Prompt(), proxy_headers=False) as engine, engine.connect() as client:
        heard = said(client, _get(b"/now", b"Connection: close") + _get(b"/now") + _get(b"/later"), b"never")
        assert heard.count(b"HTTP/1.1 200 OK") == 1
        assert b"connection: close" in heard


def test_a_body_that_nobody_reads_is_no_request() -> None:
    with running(Prompt(), proxy_headers=False) as engine, engine.connect() as client:
        smuggled = _get(b"/smuggled")
        line = _get(b"/now", b"Content-Length: %d" % len(smuggled)) + smuggled + _get(b"/now") + _get(b"/later")
        heard = said(client, line, b"/later")
        assert heard.count(b"HTTP/1.1 200 OK") == 3
        assert b"/smuggled" not in heard
