"""The device's own verification against a running server: both its repositories over HTTP, or a director of the test's."""

import base64
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tuf.api.metadata import TargetFile

from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId
from otaru.errors import OtaruError
from otaru.trust.log.notes import verifier
from otaru.trust.tuf.names import address
from otaru.trust.verify.chain import Chain, find, refresh
from otaru.trust.verify.fitness import Me
from otaru.trust.verify.payload import Payload
from otaru.trust.verify.proof import LogPolicy
from otaru.trust.verify.state import State, provisioned
from otaru.trust.verify.steps import Keep, Source, Want, run
from otaru.trust.verify.update import IMAGE_RULES, Verdict, committed, verify
from tests.support.ddi import DdiDevice, Operator, eventually
from tests.support.site import TENANT, Director, ordered

PAYLOAD = bytes(range(256)) * 40


@dataclass
class Client:
    """A device that verifies, with its state, and the director that tells it what to run."""

    operator: Operator
    device: DdiDevice
    director: Director | None
    """None: the server's own."""
    me: Me
    state: State
    now: datetime

    def fetch(self, want: Want) -> bytes | None:
        if want.source is Source.DIRECTOR and self.director is None:
            return self.directed(want.name)
        if want.source is Source.DIRECTOR:
            assert self.director is not None
            return {**self.director.roots, **self.director.files[self.device.id]}.get(want.name)
        if want.source is Source.LOG:
            return eventually(lambda: self.proof(want.role))
        answer = self.operator.devices.get(f"/tuf/DEFAULT/image/metadata/{want.name}")
        return None if answer.status_code == 404 else answer.content

    def proof(self, release: str) -> bytes | None:
        """The server's proof that a release was published, once a checkpoint says so."""
        answer = self.operator.devices.get(f"/log/DEFAULT/release/proof/{release}")
        return answer.content if answer.status_code == 200 else None

    def directed(self, name: str) -> bytes | None:
        """A file of the server's director. One that cannot tell yet is asked again."""
        url = f"/tuf/DEFAULT/director/{self.device.id}/metadata/{name}"

        def answer() -> httpx.Response | None:
            found = self.operator.devices.get(url, headers=self.credential)
            return None if found.status_code == 503 else found

        found = eventually(answer)
        return found.content if found.status_code == 200 else None

    @property
    def credential(self) -> dict[str, str]:
        shown = base64.b64encode(f"{self.device.id}:{self.device.token}".encode()).decode()
        return {"Authorization": f"Basic {shown}"}

    def keep(self, what: Keep) -> None:
        self.state = self.state.keeping(what)

    def target(self, path: str) -> TargetFile:
        """What the image repository says of a target: a director takes it over."""
        chain: Chain = run(refresh(Source.IMAGE, self.state.image, IMAGE_RULES, self.now), self.fetch, lambda _: None)
        return run(find(chain, path), self.fetch, lambda _: None)[1].target

    def order(self, path: str, **custom: object) -> None:
        assert self.director is not None
        self.director.order(self.device.id, ordered(self.target(path), **custom))

    def poll(self) -> Verdict:
        verdict = run(verify(self.state, self.me, self.now), self.fetch, self.keep)
        self.state = verdict.state
        return verdict

    def download(self, verdict: Verdict) -> bytes:
        (update,) = verdict.updates
        payload, data = Payload(update.target), b""
        url = f"/tuf/DEFAULT/image/targets/{address(update.target.path, update.target.sha256)}"
        with self.operator.devices.stream("GET", url, headers=self.credential) as answer:
            for piece in answer.iter_bytes(1000):
                payload.feed(piece)
                data += piece
        payload.end()
        return data

    def refuses(self) -> str:
        with pytest.raises(OtaruError) as caught:
            self.poll()
        return caught.value.code


@pytest.fixture
def client(operator: Operator) -> Client:
    operator.release(PAYLOAD)
    device = operator.device()
    root = operator.devices.get("/tuf/DEFAULT/image/metadata/1.root.json").content
    now = datetime.now(UTC)  # noqa: TID251 - the server's clock is the real one
    director = Director(now=now)
    state = provisioned(director.roots["1.root.json"], root, now - timedelta(days=1))
    me = Me(TENANT, DeviceId(device.id), {Hardware("default")})
    director.order(device.id)
    return Client(operator, device, director, me, state, now)


def path_of(release: str) -> str:
    product, _, version = release.partition(":")
    return f"{product}/stable/{version}/fw.bin"


def test_an_update(operator: Operator, client: Client) -> None:
    assert client.poll().updates == ()
    release = operator.release(PAYLOAD, filename="fw.bin")
    client.order(path_of(release), rolloutId=1, action=1, bundleId="1/1", bundleSize=1)
    verdict = client.poll()
    assert client.download(verdict) == PAYLOAD
    client.state = committed(client.state, verdict.updates, [verdict.updates[0].target.component])


def test_an_update_that_the_server_directs(operator: Operator, client: Client) -> None:
    """Nothing of it is the test's: the server's director tells, the device verifies, fetches, runs it and says so."""
    client.director = None
    roots = [
        operator.devices.get(f"/tuf/DEFAULT/{name}/metadata/1.root.json").content for name in ("director", "image")
    ]
    client.state = provisioned(roots[0], roots[1], client.now - timedelta(days=1))
    assert client.poll().updates == ()
    release = operator.release(PAYLOAD, filename="fw.bin")
    rollout = operator.rollout(client.device, release)
    action = client.device.action()
    verdict = eventually(lambda: found if (found := client.poll()).updates else None)
    assert client.download(verdict) == PAYLOAD
    (update,) = verdict.updates
    assert update.order.facts == {"rolloutId": rollout, "action": int(action)}
    client.state = committed(client.state, verdict.updates, [update.target.component])
    assert client.device.say(action, "closed", "success").is_success
    assert client.poll().updates == ()


def test_what_is_made_for_others_or_withdrawn(operator: Operator, client: Client) -> None:
    other = operator.release(PAYLOAD, filename="fw.bin", hardware="other")
    client.order(path_of(other))
    assert client.refuses() == "wrong_hardware"
    release = operator.release(PAYLOAD, filename="fw.bin")
    client.order(path_of(release), hardwareIds=["other"])
    assert client.refuses() == "target_disagrees"
    client.order(path_of(release))
    assert client.download(client.poll()) == PAYLOAD
    operator.ok("POST", f"/releases/{release.replace(':', '/')}/withdraw")
    assert client.refuses() == "target_unknown"


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "product"])
def test_it_follows_when_keys_are_rotated(operator: Operator, client: Client, role: str) -> None:
    release = operator.release(PAYLOAD, filename="fw.bin")
    client.order(path_of(release))
    client.poll()
    wanted = role if role != "product" else f"product.{release.partition(':')[0]}.stable"
    roles = {r["name"]: r for r in operator.ok("GET", "/keys")["roles"]}
    (old,) = roles[wanted]["keys"]
    operator.ok("POST", "/keys/changes", json={"change": {"order": "replace", "key": old, "make": True}})
    later = operator.release(PAYLOAD * 2, filename="fw.bin")
    client.order(path_of(later))
    assert client.download(client.poll()) == PAYLOAD * 2


def test_a_release_is_shown_in_the_log(operator: Operator, client: Client) -> None:
    release = operator.release(PAYLOAD, filename="fw.bin")
    client.order(path_of(release))
    assert eventually(lambda: client.proof(release))
    key = verifier(operator.devices.get("/log/DEFAULT/release/key").text)
    client.me = replace(client.me, log=LogPolicy(key))
    assert client.download(client.poll()) == PAYLOAD
    client.me = replace(client.me, log=LogPolicy(key, (), 1))
    assert client.refuses() == "log_proof"
