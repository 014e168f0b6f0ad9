"""Our DDI link against a server that misbehaves: what it makes of broken downloads, odd answers and refusals."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from otaru import errors
from otaru.adapters.links.ddi import Credential, DdiLink, Transfer, wire
from otaru.domain.ids import ActionId
from otaru.protocols.ddi.words import Execution, Feedback, File, Finished

CONTENT = bytes(range(256)) * 1000
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
DEVICE = "/DEFAULT/controller/v1/dev-1"


class Stranger:
    """A server that answers each request by the next of its answers, the last for ever, and notes what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.method, request.path, dict(request.headers), await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    def file(self, origin: str = "") -> File:
        sha256, sha1 = hashlib.sha256(CONTENT).hexdigest(), hashlib.sha1(CONTENT).hexdigest()
        return File("fw.bin", sha256, sha1, "", len(CONTENT), f"{origin or self.url}{DEVICE}/fw.bin")


@asynccontextmanager
async def linked(stranger: Stranger) -> AsyncIterator[DdiLink]:
    runner = web.ServerRunner(web.Server(stranger))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stranger.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with wire(stranger.url, "DEFAULT", connections=2) as air:
            yield air.link("dev-1", Credential.target("secret"))
    finally:
        await runner.cleanup()


def says(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    async def answer(request: web.BaseRequest) -> web.Response:
        del request
        return web.Response(status=status, body=body, headers={n.replace("_", "-"): v for n, v in headers.items()})

    return answer


def ranges(*, upto: int | None = None) -> Answer:
    """Serves ranges as it should, but breaks the connection after so many bytes."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        start = request.http_range.start or 0
        headers = {"Content-Length": str(len(CONTENT) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        await response.write(CONTENT[start:] if upto is None else CONTENT[start : start + upto])
        if upto is not None:
            assert request.transport is not None
            request.transport.close()
        return response

    return answer


async def receive_all(link: DdiLink, transfer: Transfer, tries: int = 50) -> int:
    """Take up a download until it is whole; how many connections it took."""
    for number in range(1, tries + 1):
        try:
            await link.receive(transfer)
        except errors.UnavailableError:
            continue
        if transfer.offset == transfer.file.size:
            return number
    raise AssertionError(f"only {transfer.offset} bytes after {tries} connections")


def test_a_download_that_breaks_goes_on_where_it_was() -> None:
    async def course() -> None:
        stranger = Stranger(ranges(upto=100_000))
        async with linked(stranger) as link:
            kept = bytearray()
            transfer = Transfer(stranger.file(), kept.extend)
            assert await receive_all(link, transfer) >= 3
            transfer.verify()
            assert bytes(kept) == CONTENT
            asked = [headers.get("Range") for _, _, headers, _ in stranger.asked]
            assert asked[0] is None
            assert all(text is not None and text.startswith("bytes=") for text in asked[1:])

    asyncio.run(course())


def test_the_device_may_break_off_and_goes_on_from_there() -> None:
    async def course() -> None:
        stranger = Stranger(ranges())
        async with linked(stranger) as link:
            transfer = Transfer(stranger.file())
            await link.receive(transfer, until=12_345)
            assert transfer.offset == 12_345
            await link.receive(transfer)
            transfer.verify()
            assert stranger.asked[1][2]["Range"] == "bytes=12345-"

    asyncio.run(course())


def test_a_server_that_ignores_ranges_makes_it_begin_anew() -> None:
    async def course() -> None:
        stranger = Stranger(ranges(upto=50_000), says(200, CONTENT))
        async with linked(stranger) as link:
            kept = bytearray()
            transfer = Transfer(stranger.file(), kept.extend, kept.clear)
            await receive_all(link, transfer)
            transfer.verify()
            assert bytes(kept) == CONTENT

    asyncio.run(course())


def test_a_range_from_somewhere_else_is_not_taken_for_ours() -> None:
    async def course() -> None:
        elsewhere = says(206, CONTENT, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        stranger = Stranger(ranges(upto=50_000), elsewhere)
        async with linked(stranger) as link:
            transfer = Transfer(stranger.file())
            await receive_all(link, transfer)
            transfer.verify()

    asyncio.run(course())


def test_after_416_it_begins_anew() -> None:
    async def course() -> None:
        stranger = Stranger(ranges(upto=50_000), says(416), ranges())
        async with linked(stranger) as link:
            transfer = Transfer(stranger.file())
            await receive_all(link, transfer)
            transfer.verify()
            assert "Range" not in stranger.asked[2][2]

    asyncio.run(course())


def test_other_bytes_of_the_same_length_are_found_out() -> None:
    async def course() -> None:
        stranger = Stranger(says(200, bytes(len(CONTENT))))
        async with linked(stranger) as link:
            transfer = Transfer(stranger.file())
            await link.receive(transfer)
            with pytest.raises(errors.ChecksumMismatchError, match="sha256"):
                transfer.verify()

    asyncio.run(course())


def test_more_bytes_than_announced_are_not_read_to_their_end() -> None:
    async def course() -> None:
        stranger = Stranger(says(200, CONTENT + b"!"))
        async with linked(stranger) as link:
            with pytest.raises(errors.ChecksumMismatchError, match="longer"):
                await link.receive(Transfer(stranger.file()))

    asyncio.run(course())


def test_fewer_bytes_than_announced_are_an_end_too_early() -> None:
    async def course() -> None:
        stranger = Stranger(says(200, CONTENT[:100]))
        async with linked(stranger) as link:
            with pytest.raises(errors.UnavailableError, match="ended at byte 100"):
                await link.receive(Transfer(stranger.file()))

    asyncio.run(course())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, errors.InvalidInputError),
        (400, errors.InvalidInputError),
        (401, errors.UnauthenticatedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.InvalidStateError),
        (410, errors.NotFoundError),
        (413, errors.TooLargeError),
        (429, errors.OverloadedError),
        (500, errors.UnavailableError),
        (503, errors.OverloadedError),
        (507, errors.UnavailableError),
    ],
)
def test_what_a_server_refuses(status: int, error: type[errors.OtaruError]) -> None:
    async def course() -> None:
        async with linked(Stranger(says(status))) as link:
            with pytest.raises(errors.OtaruError) as caught:
                await link.poll()
            assert type(caught.value) is error

    asyncio.run(course())


@pytest.mark.parametrize(("text", "expected"), [("7", 7), ("999999", 3600), ("soon", None), ("-1", None)])
def test_how_long_an_overloaded_server_wants_to_be_left_alone(text: str, expected: int | None) -> None:
    async def course() -> None:
        async with linked(Stranger(says(503, Retry_After=text))) as link:
            with pytest.raises(errors.OverloadedError) as caught:
                await link.poll()
            assert caught.value.facts["retry_after_s"] == expected

    asyncio.run(course())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"config":{"polling":{"sleep":"soon"}}}', b"{" * 2_000_000])
def test_what_is_not_ddi_is_refused(body: bytes) -> None:
    async def course() -> None:
        async with linked(Stranger(says(200, body))) as link:
            with pytest.raises(errors.InvalidInputError):
                await link.poll()

    asyncio.run(course())


def test_an_unchanged_answer_is_not_sent_again() -> None:
    idle = b'{"config":{"polling":{"sleep":"00:01:30"}}}'

    async def course() -> None:
        stranger = Stranger(says(200, idle, ETag='"x"'), says(304), says(200, idle))
        async with linked(stranger) as link:
            first, second = await link.poll(), await link.poll()
            assert first == second
            assert first.polling.total_seconds() == 90
            link.forget()
            await link.poll()
            assert [headers.get("If-None-Match") for _, _, headers, _ in stranger.asked] == [None, '"x"', None]
            assert all(headers["Authorization"] == "TargetToken secret" for _, _, headers, _ in stranger.asked)

    asyncio.run(course())


def test_nobody_there_is_unavailable() -> None:
    async def course() -> None:
        stranger = Stranger(says())
        async with linked(stranger):
            pass
        async with wire(stranger.url, "DEFAULT") as air:
            with pytest.raises(errors.UnavailableError):
                await air.link("dev-1", Credential.target("secret")).poll()

    asyncio.run(course())


def test_the_credential_goes_to_no_other_origin() -> None:
    async def course() -> None:
        ours, other = Stranger(says()), Stranger(ranges())
        async with linked(ours) as link, linked(other):
            transfer = Transfer(ours.file(other.url))
            await link.receive(transfer)
            transfer.verify()
            assert "Authorization" not in other.asked[0][2]

    asyncio.run(course())


def test_the_credential_is_not_taken_along_to_another_origin() -> None:
    async def course() -> None:
        other = Stranger(ranges())
        async with linked(other):
            ours = Stranger(says(302, Location=f"{other.url}/elsewhere"))
            async with linked(ours) as link:
                transfer = Transfer(ours.file())
                await link.receive(transfer)
                transfer.verify()
                assert "Authorization" in ours.asked[0][2]
                assert "Authorization" not in other.asked[0][2]
                with pytest.raises(errors.InvalidInputError, match="302"):
                    await link.poll()

    asyncio.run(course())


def test_a_report_says_what_it_should_where_it_should() -> None:
    async def course() -> None:
        stranger = Stranger(says())
        async with linked(stranger) as link:
            await link.report(ActionId(7), Feedback(Execution.CLOSED, Finished.FAILURE, ("It did not boot.",)))
            method, path, headers, body = stranger.asked[0]
            assert (method, path) == ("POST", f"{DEVICE}/deploymentBase/7/feedback")
            assert headers["Content-Type"] == "application/json"
            assert b'"execution":"closed"' in body
            assert b'"finished":"failure"' in body
            assert b"It did not boot." in body

    asyncio.run(course())
