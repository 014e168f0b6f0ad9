"""Any TUF client updates from us: python-tuf's own, through rotation and revocation, and past a hostile proxy."""

import base64
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)

from tests.support.ddi import Operator
from tests.support.keys import begun
from tests.support.tuf import METADATA, TARGETS, Client

PAYLOAD = bytes(range(256)) * 40


@dataclass
class Hostile:
    """A proxy that answers what it likes."""

    url: str
    answers: dict[str, bytes] = field(default_factory=dict)
    seen: dict[str, bytes] = field(default_factory=dict)

    def freeze(self) -> None:
        """From now on, answer what was answered before."""
        self.answers = dict(self.seen)


@contextmanager
def hostile(server: str) -> Iterator[Hostile]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            passed = {name: value for name, value in self.headers.items() if name == "Authorization"}
            status, content = 200, proxy.answers.get(self.path)
            if content is None:
                answer = httpx.get(server + self.path, headers=passed, timeout=30)
                status, content = answer.status_code, answer.content
                if status == 200:
                    proxy.seen[self.path] = content
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        proxy = Hostile(f"http://127.0.0.1:{listener.server_address[1]}")
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown()
            thread.join()


def path_of(release: str, filename: str = "fw.bin") -> str:
    product, _, version = release.partition(":")
    return f"{product}/stable/{version}/{filename}"


@pytest.fixture
def client(operator: Operator, tmp_path: Path) -> Client:
    """A device that has root 1 of the tenant, and its own token."""
    operator.release(PAYLOAD)
    device = operator.device()
    root = httpx.get(f"{operator.server.url}{METADATA}1.root.json").content
    shown = base64.b64encode(f"{device.id}:{device.token}".encode()).decode()
    return Client(tmp_path, operator.server.url, root, f"Basic {shown}")


def test_an_update(operator: Operator, client: Client) -> None:
    release = operator.release(PAYLOAD, filename="fw ü.bin")
    assert client.update(path_of(release, "fw__.bin")) == PAYLOAD
    later = operator.release(PAYLOAD[::-1], filename="fw.bin")
    assert client.update(path_of(later)) == PAYLOAD[::-1]
    assert client.updater().get_targetinfo("nothing/stable/1/fw.bin") is None


def test_what_is_withdrawn_is_not_found_any_more(operator: Operator, client: Client) -> None:
    release = operator.release(PAYLOAD, filename="fw.bin")
    client.update(path_of(release))
    operator.ok("POST", f"/releases/{release.replace(':', '/')}/withdraw")
    assert client.updater().get_targetinfo(path_of(release)) is None


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "product"])
def test_it_follows_when_keys_are_rotated(operator: Operator, client: Client, role: str) -> None:
    release = operator.release(PAYLOAD, filename="fw.bin")
    client.update(path_of(release))
    wanted = role if role != "product" else f"product.{release.partition(':')[0]}.stable"
    roles = {r["name"]: r for r in operator.ok("GET", "/keys")["roles"]}
    (old,) = roles[wanted]["keys"]
    change = {"change": {"order": "replace", "key": old, "make": True}}
    assert operator.ok("POST", "/keys/changes", json=change)["applied"]
    later = operator.release(PAYLOAD * 2, filename="fw.bin")
    assert client.update(path_of(later)) == PAYLOAD * 2
    assert client.update(path_of(release)) == PAYLOAD


def test_a_device_that_was_off_for_long_follows_from_root_to_root(operator: Operator, client: Client) -> None:
    for _ in range(5):
        roles = {r["name"]: r for r in operator.ok("GET", "/keys")["roles"]}
        change = {"change": {"order": "replace", "key": roles["root"]["keys"][0], "make": True}}
        operator.ok("POST", "/keys/changes", json=change)
    assert client.update(path_of(operator.release(PAYLOAD, filename="fw.bin"))) == PAYLOAD


def test_freeze(operator: Operator, client: Client) -> None:
    release = operator.release(PAYLOAD, filename="fw.bin")
    with hostile(client.url) as proxy:
        client.update(path_of(release), proxy.url)
        proxy.freeze()
        client.updater(proxy.url).refresh()  # as long as it holds, nobody can tell
        with pytest.raises(ExpiredMetadataError):
            client.updater(proxy.url, ahead=timedelta(days=3, minutes=1)).refresh()


def test_rollback(operator: Operator, client: Client) -> None:
    """An older timestamp is not taken, nor an older snapshot under the number that the timestamp names."""
    operator.release(PAYLOAD)
    with hostile(client.url) as proxy:
        client.updater(proxy.url).refresh()
        proxy.freeze()
        operator.release(PAYLOAD)
        client.updater().refresh()
        with pytest.raises(BadVersionNumberError):
            client.updater(proxy.url).refresh()
        old = next(content for path, content in proxy.answers.items() if path.endswith(".snapshot.json"))
        operator.release(PAYLOAD)
        newest = httpx.get(f"{client.url}{METADATA}timestamp.json").json()["signed"]["meta"]["snapshot.json"]["version"]
        proxy.answers = {f"{METADATA}{newest}.snapshot.json": old}
        with pytest.raises(LengthOrHashMismatchError):
            client.updater(proxy.url).refresh()
        client.updater().refresh()


def test_mix_and_match(operator: Operator, client: Client) -> None:
    """An old file of a role under the name that the new snapshot lists."""
    first = operator.release(PAYLOAD, filename="fw.bin")
    role = f"product.{first.partition(':')[0]}.stable"
    old = httpx.get(f"{client.url}{METADATA}1.{role}.json").content
    product = first.partition(":")[0]
    second = operator.release(PAYLOAD * 2, filename="fw.bin", product=product, version="1.2.0")
    with hostile(client.url) as proxy:
        proxy.answers[f"{METADATA}2.{role}.json"] = old
        with pytest.raises(RepositoryError):
            client.update(path_of(second), proxy.url)
        proxy.answers.clear()
        assert client.update(path_of(second), proxy.url) == PAYLOAD * 2


def test_arbitrary_software(operator: Operator, client: Client) -> None:
    release = operator.release(PAYLOAD, filename="fw.bin")
    with hostile(client.url) as proxy:
        client.update(path_of(release), proxy.url)
        (target,) = (path for path in proxy.seen if path.endswith("fw.bin"))
        proxy.answers[target] = b"\0" * len(PAYLOAD)
        (client.folder / "targets").joinpath(path_of(release).replace("/", "%2F")).unlink()
        with pytest.raises(LengthOrHashMismatchError):
            client.update(path_of(release), proxy.url)
        proxy.answers[target] = PAYLOAD + b"more"
        with pytest.raises(DownloadError):
            client.update(path_of(release), proxy.url)


def test_a_forged_root(operator: Operator, client: Client) -> None:
    with hostile(client.url) as proxy:
        roots = max(r["version"] for r in operator.ok("GET", "/keys")["roles"] if r["name"] == "root")
        forged = begun().root
        forged.signed.version = roots + 1
        proxy.answers[f"{METADATA}{roots + 1}.root.json"] = forged.to_bytes()
        with pytest.raises(UnsignedMetadataError):
            client.updater(proxy.url).refresh()


def test_endless_data(client: Client) -> None:
    with hostile(client.url) as proxy:
        proxy.answers[f"{METADATA}timestamp.json"] = b" " * 20_000
        with pytest.raises(DownloadError):
            client.updater(proxy.url).refresh()


def test_metadata_that_is_brought_is_refused_with_its_code(operator: Operator) -> None:
    operator.release(PAYLOAD)
    (old,) = next(r["keys"] for r in operator.ok("GET", "/keys")["roles"] if r["name"] == "root")
    operator.ok("POST", "/keys/changes", json={"change": {"order": "replace", "key": old, "make": True}})
    root = httpx.get(f"{operator.server.url}{METADATA}1.root.json").json()  # which is not the newest any more
    for told, code in (
        ({"root": root}, "metadata_version"),
        ({"root": root | {"signatures": []}}, "metadata_version"),
        ({"root": {}}, "metadata_form"),
        ({"targets": root}, "metadata_form"),
        ({"product.x.stable": root}, "metadata_form"),
        ({"../root": root}, "metadata_form"),
    ):
        answer = operator.http.post("/keys/metadata", json={"metadata": told})
        assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_addresses(operator: Operator) -> None:
    operator.release(PAYLOAD)
    http_ = operator.devices
    for name in ("timestamp.json", "1.root.json", "1.targets.json"):
        answer = http_.get(METADATA + name)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        again = http_.get(METADATA + name, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        head = http_.head(METADATA + name)
        assert (head.status_code, head.content) == (200, b"")
    for name in ("root.json", "99999.root.json", "0.root.json", "1.timestamp.json", "1.x.json", "..", "%2e%2e/x", ""):
        assert http_.get(METADATA + name).status_code == 404, name
    for wrong in ("/tuf/", "/tuf/DEFAULT", "/tuf/nobody/image/metadata/timestamp.json", "/tuf/DEFAULT/x/metadata/1"):
        assert http_.get(wrong).status_code == 404, wrong
    assert http_.post(METADATA + "timestamp.json").status_code == 405


def test_who_may_fetch_targets(operator: Operator, client: Client, settings: Any) -> None:
    release = operator.release(PAYLOAD, filename="fw.bin")
    updater = client.updater()
    info = updater.get_targetinfo(path_of(release))
    assert info is not None
    folder, _, name = info.path.rpartition("/")
    address = f"{TARGETS}{folder}/{info.hashes['sha256']}.{name}"
    device = operator.device()
    basic = base64.b64encode(f"{device.id}:{device.token}".encode()).decode()
    good = [f"Basic {basic}", f"Bearer {operator.server.token}"]
    for shown in good:
        answer = operator.devices.get(address, headers={"Authorization": shown, "Range": "bytes=10-19"})
        assert (answer.status_code, answer.content) == (206, PAYLOAD[10:20])
    bad = base64.b64encode(f"{device.id}:wrong".encode()).decode()
    for shown in ("", f"Basic {bad}", "Basic", "Basic ???", "Bearer x", f"TargetToken {device.token}"):
        answer = operator.devices.get(address, headers={"Authorization": shown} if shown else {})
        assert answer.status_code == 401, shown
        assert answer.headers["www-authenticate"]
    settings(download_anonymous=True)
    assert operator.devices.get(address).content == PAYLOAD
    assert operator.devices.get(address.replace(name, "x")).status_code == 404
