"""A small fleet with a past, made by requests: what the console's pages are looked at with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.support.ddi import DdiDevice, Operator
from tests.support.server import Serving

DEVICES = 20


@dataclass(frozen=True, slots=True)
class Words:
    """What people and devices may write freely, and names as long as they may be."""

    prefix: str = "gw-"
    model: str = "gateway"
    product: str = "firmware"
    versions: tuple[str, str, str] = ("2.3.0", "2.4.0", "2.5.0-rc1")
    tag: str = "lab"
    attribute: str = "Lyon, roof of hall 3"
    filename: str = "gateway-2.4.0.swu"
    notes: str = "Modem reconnects faster.\nNeeds 12 MB of free space."
    name: str = "Spring update"
    reason: str = "image does not boot: fell back to slot A"
    last_words: str = "kernel panic: VFS: unable to mount root fs on unknown-block(179,2)"
    label: str = "Ana's laptop"


@dataclass
class Stage:
    """What was made."""

    server: Serving
    words: Words
    devices: list[str] = field(default_factory=list)
    finished: int = 0
    paused: int = 0
    running: int = 0
    planned: int = 0
    viewer: str = ""
    """A viewer's token."""

    @property
    def release(self) -> str:
        """The page of the release that finished."""
        return f"/releases/{self.words.product}/{self.words.versions[0]}"

    @property
    def pages(self) -> list[str]:
        """Every page of the console that shows something of it."""
        product, one = self.words.product, self.devices[0]
        lists = [
            "/",
            "/settings",
            "/devices",
            "/devices?q=tag==x",
            "/devices?q=tag==",
            "/releases",
            "/rollouts",
            "/events",
        ]
        forms = ["/devices/+new", "/releases/+new", "/rollouts/new", f"/devices/{one}/edit", f"/devices/{one}/update"]
        things = [f"/devices/{name}" for name in (one, self.devices[1], self.devices[-1])] + [
            f"/devices/{one}/attributes"
        ]
        things += [f"/releases/{product}/{version}" for version in self.words.versions]
        things += [f"/rollouts/{n}" for n in (self.finished, self.paused, self.running, self.planned)]
        wizard = f"/rollouts/new?release={product}:{self.words.versions[1]}&target=id==*&mode=waves"
        return [*lists, *forms, *things, f"/releases?product={product}", f"/rollouts/{self.paused}/devices", wizard]


def staged(server: Serving, words: Words | None = None) -> Stage:
    """Make devices, releases and rollouts that finished, paused, run and wait."""
    stage = Stage(server, words or Words())
    with _operator(server) as people:
        _stage(people, stage)
    return stage


@contextmanager
def _operator(server: Serving) -> Iterator[Operator]:
    with server.api() as api, httpx.Client(base_url=server.url, timeout=30) as devices:
        yield Operator(server, api, devices)


def _stage(people: Operator, stage: Stage) -> None:
    words = stage.words
    fleet = [_add(people, words, number) for number in range(1, DEVICES + 1)]
    stage.devices = [device.id for device in fleet]
    for number, version in enumerate(words.versions):
        _release(people, words, version, number)
    stage.viewer = people.ok("POST", "/tokens", json={"role": "viewer", "label": words.label})["token"]
    everybody = ",".join(f"id=='{device.id}'" for device in fleet[:16])
    simple = {"name": words.name, "start": True}

    stage.finished = _rollout(people, words, 0, everybody, **simple)
    for device in fleet[:16]:
        succeed(device)

    waves = {"waves": ["6", "100%"], "success": 0.9, "error": 0.2}
    stage.paused = _rollout(people, words, 1, everybody, **simple, **waves)
    told = [device for device in fleet[:16] if "deploymentBase" in device.links()]
    for number, device in enumerate(told):
        if number < 4:
            fail(device, words.reason if number % 2 else words.last_words)
        else:
            succeed(device)

    stage.running = _rollout(people, words, 1, ",".join(f"id=='{d.id}'" for d in fleet[16:19]), **simple)
    _under_way(fleet[16], words)
    fleet[17].links()
    stage.planned = _rollout(people, words, 1, f"id=='{fleet[19].id}'", name=words.name)
    people.ok("POST", f"/devices/{fleet[19].id}/lifecycle", json={"event": "quarantine"})
    # The one that is shown first has failed and has said a lot.
    stage.devices.sort(key=lambda name: [device.id for device in told].index(name) if name in _ids(told) else 99)


def _ids(devices: list[DdiDevice]) -> set[str]:
    return {device.id for device in devices}


def _add(people: Operator, words: Words, number: int) -> DdiDevice:
    return people.device(
        f"{words.model}:r{number % 2}",
        f"{words.prefix}{number:04}",
        tags=[words.tag, "eu" if number % 3 else "us"],
        attributes={"site": words.attribute, "serial": f"SN{number:06}", "uplink": "lte" if number % 2 else "fibre"},
    )


def _release(people: Operator, words: Words, version: str, number: int) -> None:
    payload = f"{words.product} {version}".encode() * 4000
    made = people.ok("POST", "/artifacts", params={"filename": words.filename}, content=payload)
    hardware = [f"{words.model}:r0", f"{words.model}:r1"]
    file = {"sha256": made["sha256"], "filename": words.filename, "hardware": hardware}
    body = {"product": words.product, "version": version, "artifacts": [file], "notes": words.notes}
    people.ok("POST", "/releases", json={**body, "publish": number < 2})


def _rollout(people: Operator, words: Words, number: int, target: str, **more: object) -> int:
    release = f"{words.product}:{words.versions[number]}"
    return int(people.ok("POST", "/rollouts", json={"release": release, "target": target, **more})["id"])


def _said(answer: httpx.Response) -> None:
    assert answer.is_success, answer.text


def succeed(device: DdiDevice) -> None:
    """What it says when all goes well."""
    action = device.action()
    _said(device.say(action, "proceeding", "none", "Installing Update Chunk Artifacts."))
    _said(device.say(action, "closed", "success", "All Chunks Installed."))


def fail(device: DdiDevice, reason: str) -> None:
    """What it says when it does not."""
    action = device.action()
    _said(device.say(action, "proceeding", "none", "Installing Update Chunk Artifacts.", reason))
    _said(device.say(action, "closed", "failure", reason))


def _under_way(device: DdiDevice, words: Words) -> None:
    _said(device.say(device.action(), "download", "none", words.reason))
