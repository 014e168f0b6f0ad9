"""Acknowledged means durable: the real process is killed under load, many times, and everything acknowledged is counted."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.server import Serving, otaru, serving

DEVICES = 12


@dataclass
class Load:
    """Devices that report and a person who adds devices, noting what was acknowledged."""

    server: Serving
    tokens: dict[str, str]
    round: int
    reports: set[tuple[str, int, str]] = field(default_factory=set)
    attributes: dict[str, int] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, chance: random.Random) -> None:
        work: list[Callable[[], None]] = [lambda d=d: self._device(d) for d in self.tokens]  # type: ignore[misc]
        threads = [threading.Thread(target=one) for one in [*work, self._person]]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.2, 1.2))  # the moment of the power cut, not a wait for something
        self.server.kill()
        self.over.set()
        for thread in threads:
            thread.join()

    def _device(self, device: str) -> None:
        headers = {"Authorization": f"TargetToken {self.tokens[device]}"}
        base = f"/DEFAULT/controller/v1/{device}"
        try:
            with httpx.Client(base_url=self.server.url, headers=headers, timeout=60) as http:
                link = http.get(base).json()["_links"]["deploymentBase"]["href"]
                action = int(link.split("?")[0].rsplit("/", 1)[1])
                for n in range(1_000_000):
                    if self.over.is_set():
                        return
                    words = f"round {self.round} number {n}"
                    status = {"execution": "proceeding", "result": {"finished": "none"}, "details": [words]}
                    url = f"{base}/deploymentBase/{action}/feedback"
                    if http.post(url, json={"id": str(action), "status": status}).status_code == 200:
                        self.reports.add((device, action, words))
                    data = {"mode": "merge", "data": {f"round{self.round}": str(n)}}
                    if http.put(f"{base}/configData", json=data).status_code == 200:
                        self.attributes[device] = n
        except httpx.HTTPError:
            return  # the power is cut

    def _person(self) -> None:
        try:
            with self.server.api() as api:
                for n in range(1_000_000):
                    if self.over.is_set():
                        return
                    name = f"new-{self.round}-{n}"
                    answer = api.post("/devices", json={"id": name, "hardware": "default"})
                    if answer.status_code == 201:
                        self.added.add(name)
        except httpx.HTTPError:
            return


def _prepare(server: Serving, folder: Path) -> dict[str, str]:
    image = folder / "app.swu"
    image.write_bytes(b"not really an image")
    tokens = {}
    with server.api() as api:
        for n in range(DEVICES):
            answer = api.post("/devices", json={"id": f"dev-{n}", "hardware": "default"})
            tokens[f"dev-{n}"] = answer.json()["token"]
    server.otaru("release", "add", str(image), "--name", "app", "--version", "1", "--hardware", "default")
    server.otaru("rollout", "create", "--release", "app:1", "--target", "id==dev-*", "--start")
    return tokens


def _check(server: Serving, load: Load) -> None:
    with server.api() as api:
        kept = {
            (device, action, message)
            for device, action in {(d, a) for d, a, _ in load.reports}
            for report in api.get(f"/devices/{device}/actions/{action}/reports?limit=1000").json()["items"]
            for message in report["messages"]
        }
        assert not load.reports - kept, "acknowledged reports are lost"
        for device, n in load.attributes.items():
            assert int(api.get(f"/devices/{device}").json()["attributes"][f"round{load.round}"]) >= n
        for name in load.added:
            assert api.get(f"/devices/{name}").status_code == 200, f"{name} was acknowledged and is lost"


def _crash(folder: Path, rounds: int) -> tuple[int, int, int]:
    """Kill so many times; how many acknowledged reports, attributes and devices were found again."""
    chance = random.Random(20261121)
    tokens: dict[str, str] = {}
    reports = attributes = added = 0
    last: Load | None = None
    for number in range(rounds + 1):
        with serving(folder / "data") as server:
            if last is not None:
                _check(server, last)
                reports, attributes, added = (
                    reports + len(last.reports),
                    attributes + len(last.attributes),
                    added + len(last.added),
                )
            if number == rounds:
                break
            tokens = tokens or _prepare(server, folder)
            last = Load(server, tokens, number)
            last.run(chance)
    assert "ok" in otaru("db", "check", "--data", str(folder / "data")).stdout
    return reports, attributes, added


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    reports, attributes, added = _crash(tmp_path, 3)
    assert reports > 0
    assert attributes > 0
    assert added > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_was_acknowledged_survives_many_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports, attributes, added = _crash(tmp_path, 50)
    with capsys.disabled():
        print(f"\n50 kills: all {reports} reports, {attributes} attributes and {added} devices found again")  # noqa: T201
    assert reports > 1000
