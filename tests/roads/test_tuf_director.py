"""A device's own director repository, to python-tuf's client: what it is told, and that nobody else is."""

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater

from otaru.trust.tuf.director import ONLY
from tests.support.ddi import DdiDevice, Operator, eventually

ROOTS = "/tuf/DEFAULT/director/metadata/"
IMAGE = "/tuf/DEFAULT/image/"
PAYLOAD = bytes(range(256)) * 40


class Fetcher(FetcherInterface):
    """Fetches with a device's credential. A server that cannot tell yet is asked again."""

    def __init__(self, authorization: str) -> None:
        self.headers = {"Authorization": authorization}

    def _fetch(self, url: str) -> Iterator[bytes]:
        def answer() -> httpx.Response | None:
            found = httpx.get(url, headers=self.headers, timeout=30)
            return None if found.status_code == 503 else found

        found = eventually(answer)
        if found.status_code != 200:
            raise DownloadHTTPError(str(found.status_code), found.status_code)
        yield found.content


@dataclass
class Client:
    """A device with both roots built in."""

    folder: Path
    url: str
    device: DdiDevice

    @property
    def authorization(self) -> str:
        return "Basic " + base64.b64encode(f"{self.device.id}:{self.device.token}".encode()).decode()

    @property
    def own(self) -> str:
        return f"/tuf/DEFAULT/director/{self.device.id}/metadata/"

    def updater(self, repository: str, metadata: str, root: str) -> Updater:
        for name in (repository, "targets"):
            (self.folder / name).mkdir(exist_ok=True)
        return Updater(
            str(self.folder / repository),
            self.url + metadata,
            target_dir=str(self.folder / "targets"),
            target_base_url=f"{self.url}{IMAGE}targets/",
            fetcher=Fetcher(self.authorization),
            bootstrap=httpx.get(f"{self.url}{root}1.root.json").content,
        )

    def directed(self) -> dict[str, TargetFile]:
        """What the director says is due, after python-tuf has verified it and we have looked whose it is."""
        updater = self.updater("director", self.own, ROOTS)
        updater.refresh()
        targets = updater._trusted_set.targets
        assert targets.unrecognized_fields["deviceId"] == self.device.id
        return dict(targets.targets)

    def update(self) -> bytes | None:
        """As Uptane has it: what the director tells has to be what the image repository lists; then it is fetched."""
        if not (directed := self.directed()):
            return None  # it signs apart from the poll that asks for it
        ((path, told),) = directed.items()
        image = self.updater("image", f"{IMAGE}metadata/", f"{IMAGE}metadata/")
        image.refresh()
        listed = image.get_targetinfo(path)
        assert listed is not None
        assert (told.length, told.hashes) == (listed.length, listed.hashes)
        custom: dict[str, Any] = dict(told.custom or {})
        assert {name: value for name, value in custom.items() if name not in ONLY} == listed.custom
        return Path(image.download_target(told)).read_bytes()

    def get(self, name: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + self.own + name, headers={"Authorization": self.authorization, **headers})


@pytest.fixture
def client(operator: Operator, tmp_path: Path) -> Client:
    operator.release(PAYLOAD)
    return Client(tmp_path, operator.server.url, operator.device())


def test_an_update_that_both_repositories_agree_on(operator: Operator, client: Client) -> None:
    assert client.directed() == {}
    release = operator.release(PAYLOAD, filename="fw.bin")
    rollout = operator.rollout(client.device, release)
    action = client.device.action()
    told = eventually(client.directed)
    ((path, target),) = told.items()
    assert path == f"{release.replace(':', '/stable/')}/fw.bin"
    assert target.custom is not None
    assert (target.custom["rolloutId"], target.custom["action"]) == (rollout, int(action))
    assert client.update() == PAYLOAD
    assert client.device.say(action, "closed", "success").is_success
    assert client.directed() == {}


def test_what_is_withdrawn_or_called_off_is_not_told_any_more(operator: Operator, client: Client) -> None:
    client.directed()
    rollout = operator.rollout(client.device)
    client.device.action()
    eventually(client.directed)
    operator.cancel(client.device, rollout)
    assert client.directed() == {}


def test_a_replay_of_another_devices_metadata(operator: Operator, client: Client, tmp_path: Path) -> None:
    """It verifies, as TUF goes, and says whose it is."""
    other = Client(tmp_path / "other", client.url, operator.device())
    other.folder.mkdir()
    other.directed()
    stolen = Client(other.folder, client.url, client.device)
    with pytest.raises(AssertionError):  # what is kept is of the other device, of the same version
        stolen.directed()
    said = json.loads(other.get("1.targets.json").content)["signed"]
    assert said["deviceId"] == other.device.id != client.device.id


def test_only_the_device_itself_reads_what_it_is_told(operator: Operator, client: Client, settings: Any) -> None:
    client.directed()
    other = operator.device()
    basic = base64.b64encode(f"{other.id}:{other.token}".encode()).decode()
    mixed = base64.b64encode(f"{client.device.id}:{other.token}".encode()).decode()
    gateway = operator.ok("POST", "/tenant/gateway-token")["token"]
    wrong = ("", f"Basic {basic}", f"Basic {mixed}", f"TargetToken {other.token}", f"Bearer {operator.server.token}")
    settings(download_anonymous=True)
    for shown in (*wrong, f"GatewayToken {gateway}", "Basic", "Basic ???"):
        for name in ("timestamp.json", "1.snapshot.json", "1.targets.json", "1.root.json"):
            headers = {"Authorization": shown} if shown else {}
            answer = httpx.get(client.url + client.own + name, headers=headers)
            assert answer.status_code == 401, (shown, name)
    for shown in (client.authorization, f"TargetToken {client.device.token}"):
        answer = httpx.get(f"{client.url}{client.own}timestamp.json", headers={"Authorization": shown})
        assert answer.status_code == 200
    there = httpx.get(
        f"{client.url}/tuf/DEFAULT/director/nobody/metadata/timestamp.json", headers={"Authorization": wrong[1]}
    )
    assert there.status_code == 401  # as for one that is there
    for tenant in ("nobody", "RIVAL"):
        elsewhere = f"{client.url}{client.own}timestamp.json".replace("DEFAULT", tenant)
        assert httpx.get(elsewhere, headers={"Authorization": client.authorization}).status_code == 404
    operator.ok("DELETE", f"/devices/{client.device.id}")
    assert client.get("timestamp.json").status_code == 401


def test_addresses(client: Client) -> None:
    client.directed()
    for name in ("timestamp.json", "1.snapshot.json", "1.targets.json", "1.root.json"):
        answer = client.get(name)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        again = client.get(name, **{"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for name in ("root.json", "9.root.json", "2.targets.json", "1.timestamp.json", "1.x.json", "..", "", "a/b"):
        assert client.get(name).status_code == 404, name
    assert httpx.get(f"{client.url}{ROOTS}1.root.json").json() == client.get("1.root.json").json()
    for wrong in ("timestamp.json", "1.targets.json", "2.root.json", "", "x/y/z"):
        assert httpx.get(f"{client.url}{ROOTS}{wrong}").status_code in {401, 404}, wrong
    assert httpx.post(f"{client.url}{client.own}timestamp.json").status_code == 405
    assert httpx.get(f"{client.url}/tuf/DEFAULT/director").status_code == 404


def signers(server: int) -> list[int]:
    """The director's signers that a server has, by their ids."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            words = (entry / "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if parent == server and b"otaru.apps.server.signer" in words:
            found.append(int(entry.name))
    return found


def test_a_signer_that_is_killed_is_started_again(operator: Operator, client: Client) -> None:
    first = client.directed()
    server = operator.server.process.pid  # type: ignore[attr-defined]
    (pid,) = signers(server)
    os.kill(pid, signal.SIGKILL)
    assert client.directed() == first
    deadline = time.monotonic() + 60
    while pid in (now := signers(server)) or not now:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    operator.rollout(client.device, operator.release(PAYLOAD))
    client.device.action()
    assert eventually(client.update) == PAYLOAD


def test_a_device_that_is_said_to_verify_is_not_seen_to_until_it_asks(operator: Operator, client: Client) -> None:
    here = f"/devices/{client.device.id}"
    assert {"assurance": "L1", "directed_at": None}.items() <= operator.ok("GET", here).items()
    said = operator.ok("PATCH", here, json={"assurance": "L2"})
    assert (said["assurance"], said["directed_at"]) == ("L2", None)
    shown = operator.server.otaru("device", "show", client.device.id).stdout  # type: ignore[attr-defined]
    assert "has not fetched" in shown
    operator.rollout(client.device)
    client.device.action()
    assert operator.ok("GET", here)["directed_at"] is None  # an offer was signed for it, and nobody came for it
    assert eventually(client.directed)
    assert operator.ok("GET", here)["directed_at"]
    listed = operator.ok("GET", "/devices", params={"q": f"assurance==L2;id=={client.device.id}"})["items"]
    assert [one["assurance"] for one in listed] == ["L2"]
