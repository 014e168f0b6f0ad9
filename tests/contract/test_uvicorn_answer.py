"""`otaru.answer`: the whole answer in one message, as a client sees it."""

import socket

import pytest

from otaru.apps.server.body import Receive, Scope, Send
from otaru.apps.server.http import ANSWER
from tests.support.engine import LOOPS, running

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
