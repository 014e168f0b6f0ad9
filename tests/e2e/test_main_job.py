"""The main job as a person does it by hand, on each engine: device, release, rollout, report, inventory."""

import json
from pathlib import Path
from typing import Self

import httpx

from tests.support.databases import PostgresDatabases, SqliteDatabases
from tests.support.server import Serving, serving


class Device:
    """A device that speaks just enough DDI."""

    def __init__(self, server: Serving, name: str, token: str) -> None:
        self._base = f"{server.url}/DEFAULT/controller/v1/{name}"
        self._http = httpx.Client(headers={"Authorization": f"TargetToken {token}"}, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def links(self) -> dict[str, str]:
        answer = self._http.get(self._base)
        assert answer.status_code == 200, answer.text
        return {name: link["href"] for name, link in answer.json().get("_links", {}).items()}

    def deployment(self) -> tuple[str, dict[str, str]]:
        """The action that is offered, and its one artifact's link and SHA-256."""
        offered = self._http.get(self.links()["deploymentBase"]).json()
        (chunk,) = offered["deployment"]["chunks"]
        (artifact,) = chunk["artifacts"]
        return offered["id"], {
            "href": artifact["_links"]["download-http"]["href"],
            "sha256": artifact["hashes"]["sha256"],
            "version": chunk["version"],
        }

    def fetch(self, href: str) -> bytes:
        return self._http.get(href).content

    def report(self, action: str, execution: str, finished: str, *details: str) -> None:
        status = {"execution": execution, "result": {"finished": finished}, "details": list(details)}
        url = f"{self._base}/deploymentBase/{action}/feedback"
        self._http.post(url, json={"id": action, "status": status}).raise_for_status()


def test_from_a_file_to_an_updated_device(databases: SqliteDatabases | PostgresDatabases, tmp_path: Path) -> None:
    image = tmp_path / "app-1.1.0.swu"
    image.write_bytes(b"firmware " * 10_000)
    with serving(tmp_path / "data", "--database", databases.empty()) as server:
        added = json.loads(server.otaru("device", "add", "dev-1", "--hardware", "default", "--json").stdout)
        assert added["id"] == "dev-1"
        facts = ("--name", "app", "--version", "1.1.0", "--hardware", "default", "--json")
        json.loads(server.otaru("release", "add", str(image), *facts).stdout)
        with Device(server, "dev-1", added["token"]) as device:
            assert "deploymentBase" not in device.links()
            wanted = ("--release", "app:1.1.0", "--target", "id==dev-1", "--start", "--json")
            rollout = str(json.loads(server.otaru("rollout", "create", *wanted).stdout)["id"])
            action, artifact = device.deployment()
            assert artifact["version"] == "1.1.0"
            assert device.fetch(artifact["href"]) == image.read_bytes()
            device.report(action, "proceeding", "none", "installing")
            waiting = server.otaru("rollout", "watch", rollout, "--until", "finished", "--timeout", "1", check=False)
            assert waiting.returncode == 1
            device.report(action, "closed", "success", "done")
            done = server.otaru("rollout", "watch", rollout, "--until", "finished", "--timeout", "30", check=False)
            assert done.returncode == 0, done.stderr
            assert "deploymentBase" not in device.links()
        shown = json.loads(server.otaru("device", "show", "dev-1", "--json").stdout)
        assert [(i["component"], i["version"]) for i in shown["installed"]] == [("app", "1.1.0")]
        assert shown["state"] == "succeeded"
        assert shown["history"][0]["state"] == "succeeded"


def test_a_failure_is_shown_with_the_devices_words(tmp_path: Path) -> None:
    image = tmp_path / "app.bin"
    image.write_bytes(b"bad")
    with serving(tmp_path / "data") as server:
        token = json.loads(server.otaru("device", "add", "dev-1", "--hardware", "default", "--json").stdout)["token"]
        server.otaru("release", "add", str(image), "--name", "app", "--version", "2", "--hardware", "default")
        server.otaru("rollout", "create", "--release", "app:2", "--target", "id==dev-1", "--start")
        with Device(server, "dev-1", token) as device:
            action, _ = device.deployment()
            device.report(action, "closed", "failure", "no space left", "slot B is broken")
        watch = server.otaru("rollout", "watch", "1", "--until", "finished", "--timeout", "30", check=False)
        assert watch.returncode == 5
        shown = json.loads(server.otaru("device", "show", "dev-1", "--json").stdout)
        assert shown["state"] == "failed"
        assert shown["history"][0]["reason"] == "slot B is broken"
        assert shown["installed"] == []
