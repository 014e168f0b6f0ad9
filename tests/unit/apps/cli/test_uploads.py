"""Files reach the server whole, whatever the network and the user do in between."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.cli import uploads
from otaru.apps.cli.client import Api
from otaru.apps.cli.uploads import LocalFile, read_file, upload
from otaru.errors import InvalidInputError, OtaruError

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def problem(status: int, code: str) -> httpx.Response:
    return httpx.Response(
        status, headers={"content-type": "application/problem+json"}, json={"code": code, "detail": code}
    )


class Stranger:
    """The other end as docs/rest-api.md tells of it, over a network that fails as `faults` say.

    A fault is for one request: None lets it pass; ("cut", n) takes n bytes of its body and breaks; ("mute", _) does the
    work and breaks before the answer; ("busy", _) refuses it.
    """

    def __init__(self, *faults: tuple[str, int] | None) -> None:
        self.faults = list(faults)
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.begun: dict[str, str] = {}
        self.received = 0

    def api(self) -> Api:
        return Api("http://here", "t", transport=httpx.MockTransport(self), sleep=lambda _: None)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        what, amount = (self.faults.pop(0) if self.faults else None) or ("", 0)
        if what == "busy":
            return problem(503, "overloaded")
        if what == "cut":
            self._answer(request, body[:amount], whole=False)
            raise httpx.WriteError("cut")
        answer = self._answer(request, body, whole=True)
        if what == "mute":
            raise httpx.ReadError("mute")
        return answer

    def _answer(self, request: httpx.Request, body: bytes, *, whole: bool) -> httpx.Response:
        where = request.url.path.removeprefix("/api/v1")
        if request.method == "PATCH":
            return self._append(where.rsplit("/", 1)[1], int(request.headers["upload-offset"]), body)
        if not whole:
            return httpx.Response(200)  # a POST that broke off has done nothing
        if where == "/artifacts":
            self.received += len(body)
            return self._store(body, request.url.params["sha256"])
        if where.startswith("/artifacts/"):
            digest = where.rsplit("/", 1)[1]
            return self._blob(digest, 200) if digest in self.blobs else problem(404, "not_found")
        if where == "/uploads":
            name = self.begun.setdefault(request.headers["idempotency-key"], str(len(self.begun)))
            if name not in self.uploads and f"gone-{name}" not in self.uploads:
                self.uploads[name] = bytearray()
            return httpx.Response(201, json={"id": name, "offset": 0})
        found = re.fullmatch(r"/uploads/(\d+)(/finish)?", where)
        assert found is not None, where
        if found[1] not in self.uploads:
            return problem(404, "not_found")
        if request.method == "DELETE":
            del self.uploads[found[1]]
            return httpx.Response(204)
        if found[2]:
            self.uploads[f"gone-{found[1]}"] = content = self.uploads.pop(found[1])
            return self._store(bytes(content), json.loads(body)["sha256"])
        return httpx.Response(200, json={"id": found[1], "offset": len(self.uploads[found[1]])})

    def _append(self, name: str, offset: int, body: bytes) -> httpx.Response:
        if (held := self.uploads.get(name)) is None:
            return problem(404, "not_found")
        if offset != len(held):
            return problem(409, "invalid_state")
        held += body
        self.received += len(body)
        return httpx.Response(200, json={"id": name, "offset": len(held)})

    def _store(self, content: bytes, expected: str) -> httpx.Response:
        if hashlib.sha256(content).hexdigest() != expected:
            return problem(400, "checksum_mismatch")
        self.blobs[expected] = content
        return self._blob(expected, 201)

    def _blob(self, digest: str, status: int) -> httpx.Response:
        return httpx.Response(status, json={"sha256": digest, "size": len(self.blobs[digest])})


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SMALL", 1000)
    monkeypatch.setattr(uploads, "PIECE", 3000)
    monkeypatch.setattr(uploads, "CHUNK", 700)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> LocalFile:
    path = tmp_path_factory.mktemp("uploads") / "app.swu"
    path.write_bytes(CONTENT)
    return read_file(path)


def test_a_file_is_hashed_and_named(file: LocalFile) -> None:
    assert (file.name, file.size, file.sha256) == ("app.swu", len(CONTENT), DIGEST)
    assert read_file(file.path, name="other.swu").name == "other.swu"


def test_what_cannot_be_uploaded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "missing", "."):
        with pytest.raises(InvalidInputError):
            read_file(tmp_path / name)


def test_a_small_file_goes_at_once(file: LocalFile) -> None:
    server = Stranger()
    with server.api() as api:
        assert upload(api, file)["sha256"] == DIGEST
    assert server.blobs == {DIGEST: CONTENT}
    assert server.begun == {}


def test_what_the_server_has_is_not_sent(file: LocalFile) -> None:
    server = Stranger()
    server.blobs[DIGEST] = CONTENT
    with server.api() as api:
        assert upload(api, file)["sha256"] == DIGEST
    assert server.received == 0


@pytest.mark.usefixtures("small_pieces")
def test_a_large_file_goes_in_pieces(file: LocalFile) -> None:
    server = Stranger()
    shown: list[int] = []
    with server.api() as api:
        upload(api, file, progress=lambda _what, done, _total: shown.append(done))
    assert server.blobs == {DIGEST: CONTENT}
    assert server.received == len(CONTENT)
    assert shown == sorted(shown)
    assert shown[-1] == len(CONTENT)


faults = (
    st.none()
    | st.tuples(st.sampled_from(["mute", "busy"]), st.just(0))
    | st.tuples(st.just("cut"), st.integers(0, 3000))
)


@pytest.mark.parametrize("sizes", [(1000, 3000), (20_000, 3000)])
@given(happens=st.lists(faults, max_size=12))
def test_a_bad_network_costs_time_and_nothing_else(
    file: LocalFile, sizes: tuple[int, int], happens: list[tuple[str, int] | None]
) -> None:
    server = Stranger(*happens)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads, "SMALL", sizes[0])
        patch.setattr(uploads, "PIECE", sizes[1])
        for _ in range(20):  # running the command again goes on
            try:
                with server.api() as api:
                    stored = upload(api, file)
                break
            except OtaruError:
                continue
        else:
            pytest.fail("never arrived")
    assert stored["sha256"] == DIGEST
    assert server.blobs == {DIGEST: CONTENT}


@pytest.mark.usefixtures("small_pieces")
def test_running_it_again_after_an_interruption_sends_only_the_rest(file: LocalFile) -> None:
    server = Stranger()
    with server.api() as api, pytest.raises(KeyboardInterrupt):
        upload(api, file, progress=_interrupt_at(6000))
    before = server.received
    with server.api() as api:
        upload(api, file)
    assert server.blobs == {DIGEST: CONTENT}
    assert 0 < before < len(CONTENT)
    assert server.received == len(CONTENT)


def _interrupt_at(offset: int) -> Callable[[str, int, int], None]:
    def progress(what: str, done: int, total: int) -> None:
        del what, total
        if done > offset:
            raise KeyboardInterrupt

    return progress


@pytest.mark.usefixtures("small_pieces")
def test_bytes_that_were_removed_are_sent_anew_under_another_upload(file: LocalFile) -> None:
    server = Stranger()
    with server.api() as api:
        upload(api, file)
        server.blobs.clear()
        upload(api, file)
    assert server.blobs == {DIGEST: CONTENT}
    assert len(server.begun) == 2


@pytest.mark.usefixtures("small_pieces")
def test_two_that_send_the_same_file_help_one_another(file: LocalFile) -> None:
    server = Stranger()

    def other_run_is_faster(what: str, done: int, total: int) -> None:
        del what, total
        if 3000 < done <= 3700 and not server.blobs:
            with server.api() as other:
                upload(other, file)

    with server.api() as api:
        assert upload(api, file, progress=other_run_is_faster)["sha256"] == DIGEST
    assert server.blobs == {DIGEST: CONTENT}


@pytest.mark.parametrize("change", [lambda old: old[:5000], lambda old: old[::-1]])
@pytest.mark.usefixtures("small_pieces")
def test_a_file_that_changes_meanwhile_is_never_stored(tmp_path: Path, change: Callable[[bytes], Any]) -> None:
    path = tmp_path / "app.swu"
    path.write_bytes(CONTENT)
    local = read_file(path)
    path.write_bytes(change(CONTENT))
    server = Stranger()
    with server.api() as api, pytest.raises(OtaruError):
        upload(api, local)
    assert server.blobs == {}
    assert server.uploads.keys() <= {"gone-0"}, "what nobody can go on with is left behind"
