"""Our own device side of the native road: against the real server, and against servers that are none."""

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from otaru import errors
from otaru.adapters.clock import SystemClock
from otaru.adapters.links import wire
from otaru.adapters.links.native import Credential, NativeLink, native_link
from otaru.domain import health
from otaru.domain.deployment import Event, State
from otaru.domain.ids import DEFAULT_TENANT, DeviceId, Version
from otaru.domain.link import Answer, Asking, Batch, Note, Told
from otaru.errors import OtaruError
from otaru.protocols.native.codec import Form
from otaru.trust.log.merkle import leaf_hash
from otaru.trust.log.notes import check_offline_proof, proven, verifier
from otaru.trust.verify.proof import MAX_PROOF
from otaru.trust.verify.steps import Source, Want
from tests.support.ddi import DdiDevice, Operator, eventually
from tests.support.fetching import fetch
from tests.support.hostile import Hostile, answer, hostile
from tests.support.server import otaru, serving

CLOCK = SystemClock()
CONTENT = bytes(range(256)) * 4096  # 1 MiB


@contextlib.contextmanager
def linked(operator: Operator, device: DdiDevice, form: Form = Form.MSGPACK) -> Iterator[NativeLink]:
    credential = Credential.target(DeviceId(device.id), device.token)
    with native_link(operator.server.url, DEFAULT_TENANT, DeviceId(device.id), credential, CLOCK, form=form) as link:
        yield link


@pytest.mark.parametrize("form", Form)
def test_an_update_by_the_link(operator: Operator, device: DdiDevice, form: Form) -> None:
    with linked(operator, device, form) as link:
        told = link.poll()
        assert told == Told(timedelta(seconds=300), describe=True)
        link.describe({"site": "depot"})
        assert link.poll() == Told(timedelta(seconds=300))
        operator.rollout(device, operator.release(CONTENT))
        offer = link.poll().offer
        assert offer is not None
        assert offer.may_begin
        (file,) = offer.files
        fetching, memory = fetch(link, file.addresses, CONTENT)
        fetching.run()
        assert bytes(memory.data) == CONTENT
        notes = (
            Note("1", offer.action, Event.DOWNLOAD, done=0, of=file.size),
            Note("2", offer.action, Event.DOWNLOAD_DONE),
            Note("3", offer.action, Event.INSTALL, text=("slot b",), at=CLOCK.now()),
        )
        heard = link.report(Batch(notes))
        assert [one.state for one in heard] == [State.DOWNLOADING, State.DOWNLOADED, State.INSTALLING]
        done = Batch((Note("4", offer.action, Event.SUCCEED),), {"boot": Version("3")})
        assert [one.state for one in link.report(done)] == [State.SUCCEEDED]
        assert link.poll().offer is None
        link.tell([health.Told("e1", health.Kind.REBOOT), health.Told("e2", health.Kind.SAMPLE, name="t", value=1.5)])
    seen = operator.seen(device)
    assert seen["attributes"] == {"site": "depot"}
    assert {i["component"] for i in seen["installed"]} >= {"boot"}


def test_what_has_not_changed_is_told_from_memory(operator: Operator, device: DdiDevice) -> None:
    with linked(operator, device) as link:
        first = link.poll()
        assert link.poll() == first
        assert link.poll(timedelta(seconds=1)) == first
        link.forget()
        assert link.poll() == first


def test_the_owner_says_later_and_yes(operator: Operator, device: DdiDevice) -> None:
    operator.rollout(device, consent=True)
    with linked(operator, device) as link:
        offer = link.poll().offer
        assert offer is not None
        assert not offer.may_begin
        until = CLOCK.now() + timedelta(hours=1)
        assert link.decide(offer.action, Answer.POSTPONE, until) is State.POSTPONED
        with pytest.raises(errors.PostponedError):
            link.decide(offer.action, Answer.POSTPONE, CLOCK.now() + timedelta(days=60))
        assert link.decide(offer.action, Answer.APPROVE) is State.OFFERED
        again = link.poll().offer
        assert again is not None
        assert again.consent is not None
        assert again.consent.state is Asking.GIVEN
        with pytest.raises(errors.NotFoundError):
            link.decide(offer.action + 1, Answer.REJECT)  # type: ignore[arg-type]


def test_metadata_of_both_repositories(operator: Operator, device: DdiDevice) -> None:
    operator.release()
    with linked(operator, device) as link:
        root = link.metadata(Want(Source.IMAGE, "root", 1, 512_000))
        assert root is not None
        assert b'"root"' in root
        assert link.metadata(Want(Source.IMAGE, "root", 999, 512_000)) is None
        assert link.metadata(Want(Source.DIRECTOR, "root", 1, 512_000)) is not None
        timestamp = link.metadata(Want(Source.DIRECTOR, "timestamp", None, 16_384))
        assert timestamp is not None
        assert b'"timestamp"' in timestamp


def test_the_proof_that_a_release_was_published(operator: Operator, device: DdiDevice) -> None:
    release = operator.release()
    with linked(operator, device) as link:
        proof = eventually(lambda: link.metadata(Want(Source.LOG, release, None, MAX_PROOF)))
        key = verifier(operator.devices.get("/log/DEFAULT/release/key").text.strip())
        entry = proven(proof.decode())
        check_offline_proof(proof.decode(), leaf_hash(entry), key)
        assert json.loads(entry)["subject"] == release
        for other in ("nobody:1", "x" * 300, "..", "a/b"):
            assert link.metadata(Want(Source.LOG, other, None, MAX_PROOF)) is None


def test_a_wrong_credential_is_told_as_such(operator: Operator, device: DdiDevice) -> None:
    wrong = DdiDevice(device.id, "wrong", device.http)
    with linked(operator, wrong) as link, pytest.raises(errors.UnauthenticatedError):
        link.poll()


def test_a_long_poll_ends_when_the_link_is_closed(operator: Operator, device: DdiDevice) -> None:
    with linked(operator, device) as link:
        link.poll()
        link.describe({})
        link.poll()
        ended: list[OtaruError] = []

        def wait() -> None:
            try:
                link.poll(timedelta(seconds=120))
            except OtaruError as error:
                ended.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        for _ in range(20):
            device.get()
        began = time.monotonic()
        link.close()
        waiting.join(timeout=30)
        assert [type(error) for error in ended] == [errors.StoppedError]
        assert time.monotonic() - began < 20, "it was woken, it did not wait to the end"
        with pytest.raises(errors.StoppedError):
            link.poll()


@contextlib.contextmanager
def against(server: Hostile) -> Iterator[NativeLink]:
    credential = Credential.target(DeviceId("d"), "SECRET")
    with native_link(server.url, DEFAULT_TENANT, DeviceId("d"), credential, CLOCK) as link:
        yield link


JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer("200 OK", JSON, body=b"{}"), errors.InvalidInputError),
        (answer("200 OK", JSON, body=b'{"poll_after_s": 1, "offer": {"action": 0}}'), errors.InvalidInputError),
        (answer("200 OK", "Content-Type: text/html", body=b"<html>"), errors.InvalidInputError),
        (answer("200 OK", JSON, "Content-Encoding: gzip", body=b"\x1f\x8b"), errors.InvalidInputError),
        (answer("200 OK", JSON, body=b" " * 2_000_000), errors.InvalidInputError),
        (answer("200 OK", JSON, "Content-Length: 100", body=b"{"), errors.UnavailableError),
        (answer("302 Found", "Location: http://127.0.0.1:1/"), errors.InvalidInputError),
        (answer("304 Not Modified"), errors.InvalidInputError),
        (answer("401 Unauthorized"), errors.UnauthenticatedError),
        (answer("403 Forbidden", body=b'{"code": ["x"], "detail": 7}'), errors.ForbiddenError),
        (answer("500 Oops"), errors.UnavailableError),
        (answer("503 Busy", "Retry-After: 17"), errors.OverloadedError),
        (b"", errors.UnavailableError),
        (b"SSH-2.0-OpenSSH\r\n", errors.UnavailableError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, errors.UnavailableError),
    ],
)
def test_whatever_a_server_says_it_is_one_of_our_errors(said: bytes, error: type[OtaruError]) -> None:
    with hostile(lambda _, client: client.sendall(said)) as server, against(server) as link:
        with pytest.raises(error) as refused:
            link.poll()
        if error is errors.OverloadedError:
            assert refused.value.facts["retry_after_s"] == 17


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with against(Hostile(f"http://127.0.0.1:{port}")) as link, pytest.raises(errors.UnavailableError):
        link.poll()


def test_a_head_that_comes_byte_by_byte_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "ANSWER_S", 0.5)
    never = threading.Event()

    def drip(_: bytes, client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not never.wait(0.05):
            client.sendall(b"y")

    with hostile(drip) as server, against(server) as link:
        with pytest.raises(errors.UnavailableError):
            link.open(f"{server.url}/f")
        assert server.gone.wait(20), "the connection is closed"
        never.set()


@pytest.mark.parametrize(
    "head",
    [
        ["206 Partial Content"],
        ["206 Partial Content", "Content-Range: bytes */4"],
        ["206 Partial Content", "Content-Range: bytes 3-2/4"],
        ["206 Partial Content", "Content-Range: bytes 2-4/4"],
        ["206 Partial Content", "Content-Range: bytes 2-3/4", "Content-Length: 7"],
        ["206 Partial Content", "Content-Type: multipart/byteranges; boundary=x"],
        ["200 OK", "Content-Encoding: gzip"],
        ["204 No Content"],
        ["301 Moved", "Location: /elsewhere"],
    ],
)
def test_a_download_that_makes_no_sense_is_refused(head: list[str]) -> None:
    said = answer(*head, body=b"ab")
    with (
        hostile(lambda _, client: client.sendall(said)) as server,
        against(server) as link,
        pytest.raises(errors.InvalidInputError),
    ):
        link.open(f"{server.url}/f", 2)


def test_a_range_is_asked_for_with_its_tag_and_a_weak_one_is_none() -> None:
    said = answer("206 Partial Content", "Content-Range: bytes 2-3/4", 'ETag: W/"w"', body=b"cd")
    with hostile(lambda _, client: client.sendall(said)) as server, against(server) as link:
        download = link.open(f"{server.url}/f", 2, '"t"')
        assert (download.first, download.total, download.tag) == (2, 4, "")
        assert download.read() + download.read() == b"cd"
        download.close()
        head = server.heads[0].lower()
        assert b"range: bytes=2-\r\n" in head
        assert b'if-range: "t"\r\n' in head
        assert b"accept-encoding: identity" in head


def test_a_range_beyond_the_end_is_told_with_the_size() -> None:
    said = answer("416 Range Not Satisfiable", "Content-Range: bytes */77")
    with hostile(lambda _, client: client.sendall(said)) as server, against(server) as link:
        with pytest.raises(errors.RangeNotSatisfiableError) as refused:
            link.open(f"{server.url}/f", 100)
        assert refused.value.facts["size"] == 77


def test_the_credential_goes_to_the_server_alone() -> None:
    def ok(_: bytes, client: socket.socket) -> None:
        client.sendall(answer("200 OK", body=b"x"))

    with hostile(ok) as server, hostile(ok) as mirror, against(server) as link:
        link.open(f"{server.url}/f").close()
        link.open(f"{mirror.url}/f").close()
        assert b"secret" in server.heads[0].lower()
        assert b"authorization" not in mirror.heads[0].lower()


@pytest.mark.parametrize(
    "address", ["", "ftp://h/f", "/f", "http://", "http://h:x/", "http://h/\r\nX: y", "http://h/ü", "file:///f"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with against(Hostile("http://127.0.0.1:1")) as link, pytest.raises(errors.InvalidInputError):
        link.open(address)


def test_basic_credentials_are_those_of_tuf_clients() -> None:
    shown = Credential.target(DeviceId("d-1"), "s3cret")
    assert shown.director == "Basic " + base64.b64encode(b"d-1:s3cret").decode()
    assert "s3cret" not in repr(shown)


def test_mirrors_come_first_and_need_not_be_trusted(tmp_path: Path) -> None:
    """One that is down, one that gives other bytes, one of a copy of the artifacts; the server is asked for nothing."""
    copy = tmp_path / "data" / "artifacts"

    def static(head: bytes, client: socket.socket) -> None:
        path = head.split(b" ")[1].decode()
        client.sendall(answer("200 OK", body=(copy / path.lstrip("/")).read_bytes()))

    def other(_: bytes, client: socket.socket) -> None:
        client.sendall(answer("200 OK", body=bytes(len(CONTENT))))

    with hostile(static) as good, hostile(other) as bad:
        mirrors = f"http://127.0.0.1:9/{{sha256}},{bad.url}/x/{{sha256}},{good.url}/blobs/{{sha256:2}}/{{sha256}}"
        with (
            serving(tmp_path / "data", "--mirrors", mirrors) as server,
            server.api() as api,
            httpx.Client(base_url=server.url, timeout=30) as devices,
        ):
            operator = Operator(server, api, devices)
            device = operator.device()
            operator.rollout(device, operator.release(CONTENT))
            with linked(operator, device) as link:
                offer = link.poll().offer
                assert offer is not None
                assert len(offer.files[0].addresses) == 4
                fetching, memory = fetch(link, offer.files[0].addresses, CONTENT)
                fetching.run()
        assert bytes(memory.data) == CONTENT
        assert b"authorization" not in b"".join(good.heads + bad.heads).lower()
        assert good.heads


@pytest.mark.parametrize(
    "wrong", ["ftp://h/{sha256}", "https://h/", "https://h/{sha1}/{sha256}", ",".join(["http://h/{sha256}"] * 9)]
)
def test_a_mirror_that_is_none_is_a_usage_error(wrong: str, tmp_path: Path) -> None:
    said = otaru("serve", "--data", str(tmp_path / "d"), "--mirrors", wrong, check=False)
    assert (said.returncode, "mirrors" in said.stderr) == (2, True)
