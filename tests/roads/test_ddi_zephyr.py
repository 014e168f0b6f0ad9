"""Our answers as Zephyr's hawkBit client takes them: a device in Python that is as strict and as narrow as that code.

Zephyr has no package to run here. This device does what its source does, release by release: it takes nothing but 200
with a Content-Length, keeps one connection for a whole run, reads members of one type only, and has buffers of fixed size.
"""

import hashlib
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from tests.support.ddi import Operator

T = TypeVar("T")

BOARD = "frdm_k64f"
URL_BUFFER, ANSWER_BUFFER, TOKEN_BUFFER = 300, 1100, 33
BASE_BUFFER, DOWNLOAD_BUFFER = 50, 200
SLOT = 1024 * 1024
IMAGE = bytes(range(256)) * 1200


class RefusedError(AssertionError):
    """What Zephyr calls a metadata, network or download error: the run ends there."""


@dataclass(frozen=True)
class Version:
    """What differs between releases of Zephyr."""

    name: str
    tenant: str
    says_id: bool
    old_buffers: bool
    skips_a_digit: bool

    def __str__(self) -> str:
        return self.name


VERSIONS = (
    Version("3.0", "default", says_id=True, old_buffers=True, skips_a_digit=False),
    Version("3.7", "default", says_id=False, old_buffers=True, skips_a_digit=False),
    Version("4.1", "DEFAULT", says_id=False, old_buffers=False, skips_a_digit=True),
    Version("4.2", "DEFAULT", says_id=False, old_buffers=False, skips_a_digit=False),
)


def member(document: Any, kind: type[T], *names: str) -> T | None:
    """A member of exactly one type, or None where it is missing, which is no error to Zephyr's parser."""
    for name in names:
        if not isinstance(document, dict):
            raise RefusedError(f"{names}: {document!r} is no object")
        if name not in document:
            return None
        document = document[name]
    if type(document) is not kind:
        raise RefusedError(f"{names}: {document!r} is no {kind.__name__}")
    return document


def fits(text: str, buffer: int) -> str:
    """A string with its NUL in a buffer."""
    if len(text.encode()) >= buffer:
        raise RefusedError(f"{len(text)} characters in a buffer of {buffer}: {text}")
    return text


LINK: dict[str, Any] = {"href": {}}
ROOT = {
    "config": {"polling": {"sleep": {}}},
    "_links": dict.fromkeys(("deploymentBase", "cancelAction", "configData"), LINK),
}
FILE_LINKS = {"download-http": LINK, "md5sum-http": LINK}
FILE = {"filename": {}, "hashes": {"sha1": {}, "md5": {}, "sha256": {}}, "size": {}, "_links": FILE_LINKS}
CHUNK = {"part": {}, "version": {}, "name": {}, "artifacts": FILE}
DEPLOYMENT = {"id": {}, "deployment": {"download": {}, "update": {}, "chunks": CHUNK}}


def known(document: Any, shape: Any, *, tail: bool) -> None:
    """Old parsers lose their way behind an object that they don't know: it may stand only where nothing follows.

    `tail`: nothing that matters comes after `document`.
    """
    if isinstance(document, list):
        for item in document:
            known(item, shape, tail=False)
    elif isinstance(document, dict):
        lost = False
        for place, (name, value) in enumerate(document.items(), 1):
            if name in shape and lost:
                raise RefusedError(f"{name} stands behind a stranger")
            if name in shape:
                known(value, shape[name], tail=tail and place == len(document))
            elif isinstance(value, dict | list):
                lost = True
        if lost and not tail:
            raise RefusedError(f"a stranger among {list(document)}")


def number(text: str) -> int:
    """`strtol`, and what is not positive is refused."""
    digits = text[: next((i for i, c in enumerate(text) if c not in "0123456789"), len(text))]
    value = int(digits or "0")
    if not 0 < value < 2**31:
        raise RefusedError(f"action id {text!r}")
    return value


@dataclass
class Zephyr:
    """One board. `installed` is the action that its settings remember over a reboot."""

    origin: str
    id: str
    token: str
    version: Version
    installed: int = 0
    pending: bytes = b""
    said: list[str] = field(default_factory=list)

    def run(self) -> str:
        """What `hawkbit_probe` does between two sleeps; the word that it ends with."""
        parts = urlsplit(self.origin)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        connection.connect()
        first = connection.sock
        try:
            for _ in range(10):
                if (end := self._step(connection)) is not None:
                    return end
                if connection.sock is not first:
                    raise RefusedError("the connection was closed")
        finally:
            connection.close()
        raise RefusedError("the run does not end")

    def _step(self, connection: http.client.HTTPConnection) -> str | None:
        root = f"/{self.version.tenant}/controller/v1/{self.id}"
        poll = self._document(connection, root, ROOT)
        sleep = member(poll, str, "config", "polling", "sleep")
        if sleep is None or len(sleep) != 8 or [sleep[2], sleep[5]] != [":", ":"]:
            raise RefusedError(f"sleep {sleep!r}")
        hrefs = {n: member(poll, str, "_links", n, "href") for n in ("cancelAction", "configData", "deploymentBase")}
        if (href := hrefs["cancelAction"]) is not None:
            self._cancel(connection, href)
        elif (href := hrefs["configData"]) is not None:
            self._configure(connection, href)
        elif (href := hrefs["deploymentBase"]) is not None:
            return self._deployment(connection, root, href)
        else:
            return "no update"
        return None

    def _cancel(self, connection: http.client.HTTPConnection, href: str) -> None:
        rest = href[href.index("cancelAction/") + len("cancelAction/") :]
        action = number(rest[1:] if self.version.skips_a_digit else rest)
        failure = action == self.installed and not self.version.old_buffers
        self._report(connection, f"{self._path(href, 'cancelAction/')}/feedback", "failure" if failure else "success")

    def _configure(self, connection: http.client.HTTPConnection, href: str) -> None:
        data = {"VIN": self.id}
        document: dict[str, Any] = {"mode": "merge", "data": data}
        if self.version.says_id:
            status = {"execution": "closed", "result": {"finished": "success"}}
            document = {"mode": "merge", "data": {**data, "hwRevision": "3"}, "id": "", "time": "", "status": status}
        self._send(connection, "PUT", self._path(href, "configData"), document)

    def _deployment(self, connection: http.client.HTTPConnection, root: str, href: str) -> str | None:
        told = self._document(connection, self._path(href, "deploymentBase/"), DEPLOYMENT)
        action = number(member(told, str, "id") or "")
        if action == self.installed:
            self._report(connection, f"{root}/deploymentBase/{action}/feedback", "success")
            return None
        (chunk,) = told["deployment"]["chunks"]
        for name in ("download", "update"):
            member(told, str, "deployment", name)
        if member(chunk, str, "part") != "bApp":
            raise RefusedError("only part 'bApp' is supported")
        member(chunk, str, "version")
        member(chunk, str, "name")
        (artifact,) = chunk["artifacts"]
        member(artifact, str, "filename")
        hashes = {name: member(artifact, str, "hashes", name) or "" for name in ("sha1", "md5", "sha256")}
        size = member(artifact, int, "size") or 0
        if len(bytes.fromhex(hashes["sha256"])) != 32 or not 0 < size <= SLOT:
            raise RefusedError(f"{hashes} {size}")
        for name in ("download-http", "md5sum-http"):
            link = member(artifact, str, "_links", name, "href")
        download = member(artifact, str, "_links", "download-http", "href") or ""
        assert link is not None
        image = self._get(connection, self._path(download, "/DEFAULT/controller/v1", DOWNLOAD_BUFFER))
        if len(image) != size or hashlib.sha256(image).hexdigest() != hashes["sha256"]:
            raise RefusedError("failed to validate stored firmware")
        self.pending, self.installed = image, action
        return "update installed"

    def _path(self, href: str, mark: str, buffer: int = BASE_BUFFER) -> str:
        if mark not in href:
            raise RefusedError(f"missing {mark} in {href}")
        if self.version.old_buffers:
            # It keeps what follows the mark and puts its own address before it.
            rest = fits(href[href.index(mark) :], buffer)
            return rest if rest.startswith("/") else f"/{self.version.tenant}/controller/v1/{self.id}/{rest}"
        return href[href.index("/", href.index("//") + 2) :]

    def _report(self, connection: http.client.HTTPConnection, path: str, finished: str) -> None:
        document: dict[str, Any] = {"status": {"execution": "closed", "result": {"finished": finished}}}
        if self.version.says_id:
            document = {"id": str(self.installed), "time": "", **document}
        self.said.append(f"{path.rpartition('v1/')[2].partition('/')[2].partition('/')[0]} {finished}")
        self._send(connection, "POST", path, document)

    def _send(self, connection: http.client.HTTPConnection, method: str, path: str, document: Any) -> None:
        self._get(connection, path, method, json.dumps(document, separators=(",", ":")).encode())

    def _document(self, connection: http.client.HTTPConnection, path: str, shape: Any) -> Any:
        document = json.loads(fits(self._get(connection, path).decode(), ANSWER_BUFFER))
        known(document, shape, tail=True)
        return document

    def _get(
        self, connection: http.client.HTTPConnection, path: str, method: str = "GET", body: bytes | None = None
    ) -> bytes:
        headers = {"Authorization": f"TargetToken {fits(self.token, TOKEN_BUFFER)}"}
        if body is not None:
            headers |= {"Content-Type": "application/json;charset=UTF-8", "Content-Length": str(len(body))}
        connection.request(method, fits(path, URL_BUFFER), body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RefusedError(f"{method} {path}: HTTP request denied: {answer.status}")
        if answer.getheader("Content-Length") != str(len(content)) or answer.getheader("Transfer-Encoding"):
            raise RefusedError(f"{method} {path}: HTTP response len mismatch")
        return content


@pytest.fixture(params=VERSIONS, ids=str)
def board(
    request: pytest.FixtureRequest, operator: Operator, settings: Callable[..., None]
) -> tuple[Zephyr, Operator, str]:
    settings(chunk_parts={BOARD: "bApp"})
    version: Version = request.param
    name = f"{BOARD}-{hashlib.md5(request.node.name.encode()).hexdigest()}"
    added = operator.device(BOARD, name)
    release = operator.release(IMAGE, hardware=BOARD, filename="zephyr.signed.bin")
    return Zephyr(operator.server.url, name, added.token, version), operator, release


Board = tuple[Zephyr, Operator, str]


def rollout(operator: Operator, zephyr: Zephyr, release: str) -> int:
    body = {"release": release, "target": f"id=={zephyr.id}", "start": True}
    return int(operator.ok("POST", "/rollouts", json=body)["id"])


def seen(operator: Operator, zephyr: Zephyr) -> Any:
    return operator.ok("GET", f"/devices/{zephyr.id}")


def test_updates_and_says_so_after_the_reboot(board: Board) -> None:
    zephyr, operator, release = board
    assert zephyr.run() == "no update"
    assert seen(operator, zephyr)["attributes"]["VIN"] == zephyr.id
    rollout(operator, zephyr, release)
    assert zephyr.run() == "update installed"
    assert zephyr.pending == IMAGE
    assert seen(operator, zephyr)["state"] == "offered"
    assert zephyr.run() == "no update"
    after = seen(operator, zephyr)
    assert after["state"] == "succeeded"
    assert [i["version"] for i in after["installed"]] == ["1.1.0"]
    assert zephyr.said == ["deploymentBase success"]
    assert zephyr.run() == "no update"


def test_what_it_does_not_remember_is_fetched_again(board: Board) -> None:
    zephyr, operator, release = board
    rollout(operator, zephyr, release)
    assert zephyr.run() == "update installed"
    zephyr.installed, zephyr.pending = 0, b""  # as after a download whose hash is wrong
    assert zephyr.run() == "update installed"
    assert zephyr.pending == IMAGE


def test_cancelled_before_it_began_and_updated_later(board: Board) -> None:
    zephyr, operator, release = board
    twin = operator.device(BOARD, f"{zephyr.id}-x")
    zephyr.id, zephyr.token = twin.id, twin.token
    # More than nine times: actions 1 to 9 have one digit, 10 ends with a naught.
    for _ in range(11):
        number_ = rollout(operator, zephyr, release)
        twin.links()
        operator.cancel(twin, number_)
        assert operator.state(twin) == "cancelling"
        assert zephyr.run() == "no update"
        assert operator.state(twin) == "cancelled"
    rollout(operator, zephyr, release)
    assert zephyr.run() == "update installed"
    assert zephyr.run() == "no update"
    assert operator.state(twin) == "succeeded"


def test_cancelled_too_late(board: Board) -> None:
    zephyr, operator, release = board
    number_ = rollout(operator, zephyr, release)
    assert zephyr.run() == "update installed"
    operator.ok("POST", f"/rollouts/{number_}/deployments/{zephyr.id}/cancel", json={})
    assert zephyr.run() == "no update"
    if zephyr.version.old_buffers:  # it says yes to every order
        assert seen(operator, zephyr)["state"] == "cancelled"
    else:
        assert zephyr.said == ["cancelAction failure", "deploymentBase success"]
        assert seen(operator, zephyr)["state"] == "succeeded"
