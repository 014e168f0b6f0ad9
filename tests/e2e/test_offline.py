"""Devices without a network: a stick goes to them, receipts come back. Their agents run where there is no network at all."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from otaru.adapters.board.bootloaders import select
from otaru.adapters.board.disk import LocalDisk
from tests.support.ddi import Operator
from tests.support.host import Host
from tests.support.server import OTARU, Serving, environment, serving

NO_NETWORK = ("unshare", "-rn", "--")


@dataclass
class Place:
    """A server, its devices far from it, and who goes there."""

    server: Serving
    operator: Operator
    folder: Path
    number: int = 0
    hosts: dict[str, Host] = field(default_factory=dict)

    def host(self, name: str, site: str, **options: Any) -> Host:
        """A device that was enrolled before it went there."""
        host = Host(self.folder / name, **options)
        claim = json.loads(self.server.otaru("enrollment", "create", name, "--quota", "1", "--json").stdout)["claim"]
        host.enroll(self.server.url, "--token", str(claim), device=name)
        self.operator.ok("PATCH", f"/devices/{name}", json={"attributes": {"site": site}})
        self.hosts[name] = host
        return host

    def rollout(self, target: str, component: str, data: bytes, version: str = "2.0.0", **policy: Any) -> int:
        self.number += 1
        name = f"gateway-{self.number}"
        made = self.operator.ok("POST", "/artifacts", params={"filename": "it.bin"}, content=data)
        file = {"sha256": made["sha256"], "filename": "it.bin", "hardware": ["gateway"], "component": component}
        self.operator.ok("POST", "/releases", json={"product": name, "version": version, "artifacts": [file]})
        body = {"release": f"{name}:{version}", "target": target, "start": True, **policy}
        return int(self.operator.ok("POST", "/rollouts", json=body)["id"])

    def export(self, rollout: int, out: Path, *words: str, code: int = 0) -> Any:
        done = self.server.otaru(
            "bundle", "export", "--rollout", str(rollout), "--out", str(out), *words, "--json", check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    def bring(self, *paths: Path, code: int = 0) -> list[dict[str, Any]]:
        done = self.server.otaru("bundle", "import", *map(str, paths), "--json", check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return list(json.loads(done.stdout)["items"]) if done.stdout else []

    def states(self, rollout: int) -> dict[str, str]:
        found = self.operator.ok("GET", f"/rollouts/{rollout}/deployments")["items"]
        return {one["device"]: one["state"] for one in found}


def install(host: Host, stick: Path, *words: str, code: int = 0) -> Any:
    """`otaru agent install`, in a network namespace of its own: not even loopback is up there."""
    (host.folder / "started").write_text(select(LocalDisk(), str(host.folder / "boot")) if host.slots else "a")
    done = subprocess.run(
        [*NO_NETWORK, *OTARU, "agent", "install", str(stick), "--config", str(host.config), *words, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert done.returncode == code, f"{done.returncode} {done.stdout}{done.stderr}"
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    with (
        serving(folder / "server", OTARU_POLL_INTERVAL_S="1") as server,
        server.api() as api,
        httpx.Client(base_url=server.url, timeout=30) as devices,
    ):
        found = Place(server, Operator(server, api, devices), folder)
        made = found.operator.ok("POST", "/artifacts", params={"filename": "0.bin"}, content=b"the keys begin")
        file = {"sha256": made["sha256"], "filename": "0.bin", "hardware": ["gateway"], "component": "app"}
        found.operator.ok("POST", "/releases", json={"product": "first", "version": "1", "artifacts": [file]})
        yield found


def archive(version: str) -> bytes:
    import io
    import tarfile

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        info = tarfile.TarInfo("version")
        info.size = len(version)
        tar.addfile(info, io.BytesIO(version.encode()))
    return made.getvalue()


def test_a_stick_goes_there_and_receipts_come_back(place: Place, tmp_path: Path) -> None:
    hosts = [place.host(f"mine-{n}", "7", slots=False) for n in range(3)]
    place.host("harbour", "8", slots=False)
    rollout = place.rollout("id==mine-*,id==harbour", "app", archive("2.0.0"), validate_s=3600)
    usb = tmp_path / "usb"
    made = place.export(rollout, usb, "--devices", "attr.site==7")
    assert (made["devices"], [one["sealed"] for one in made["bundles"]]) == (3, [True])
    assert place.states(rollout) == {**{f"mine-{n}": "offered" for n in range(3)}, "harbour": "scheduled"}
    (why,) = place.operator.ok("GET", "/devices/mine-0/why")["answers"]
    assert "on a stick until" in why["because"]
    (listed,) = place.operator.ok("GET", f"/bundles?rollout={rollout}")["items"]
    assert (listed["id"], listed["devices"]) == (made["bundles"][0]["id"], 3)
    for host in hosts:
        told = install(host, usb)
        assert (told["outcome"], host.running()) == ("succeeded", "2.0.0")
        assert len(told["receipts"]) == 1
    assert install(hosts[0], usb, code=3)["outcome"] == "succeeded", "once is enough"
    assert "no bundle there is for harbour" in install(place.hosts["harbour"], usb, code=1)
    assert set(place.states(rollout).values()) == {"offered", "scheduled"}, "nobody has told the server"
    brought = place.bring(usb / "receipts")
    assert [(one["taken"], one["moved"]) for one in brought] == [(True, True)] * 3
    assert place.states(rollout) == {**{f"mine-{n}": "succeeded" for n in range(3)}, "harbour": "scheduled"}
    (runs,) = place.operator.ok("GET", "/devices/mine-1")["installed"]
    assert (runs["version"], runs["source"], runs["confirmed"]) == ("2.0.0", "offline", True)
    events = place.operator.ok("GET", "/events?newest=true&limit=50")["items"]
    assert {"rollout.exported", "device.receipt"} <= {one["kind"] for one in events}
    again = place.bring(usb / "receipts", code=3)
    assert [one["moved"] for one in again] == [False] * 3, "a receipt counts once"
    assert place.operator.ok("GET", f"/rollouts/{rollout}")["counts"]["succeeded"] == 3
