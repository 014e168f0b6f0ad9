"""A DDI device made of plain HTTP requests, and the operator who sends it releases: for tests of the road."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import httpx

T = TypeVar("T")

_numbers = itertools.count(1)


def eventually(what: Callable[[], T | None], timeout_s: float = 60, why: Callable[[], str] = str) -> T:
    """The first true answer of `what`, asked again and again until the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        if answer := what():
            return answer
        assert time.monotonic() < deadline, f"it did not come about within {timeout_s} s {why()}"
        time.sleep(0.05)


@dataclass
class DdiDevice:
    """One device's own requests."""

    id: str
    token: str
    http: httpx.Client

    @property
    def base(self) -> str:
        """The path of its root resource."""
        return f"/DEFAULT/controller/v1/{self.id}"

    def request(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        """Any request below (or, with a slash at the start or http://, beside) its root resource, with its token."""
        url = path if path.startswith(("/", "http://", "https://")) else f"{self.base}/{path}".rstrip("/")
        headers = {"Authorization": f"TargetToken {self.token}", **options.pop("headers", {})}
        return self.http.request(method, url, headers=headers, **options)

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **options)

    def links(self) -> dict[str, str]:
        """What a poll says is due: hrefs by name."""
        answer = self.get()
        assert answer.status_code == 200, answer.text
        return {name: link["href"] for name, link in answer.json().get("_links", {}).items()}

    def action(self, name: str = "deploymentBase") -> str:
        """The number of the action that a poll links to."""
        return self.links()[name].rpartition("/")[2].lstrip("0")

    def say(
        self, action: str, execution: str, finished: str = "none", *details: str, on: str = "deploymentBase"
    ) -> httpx.Response:
        """Report."""
        status = {"execution": execution, "result": {"finished": finished}, "details": list(details)}
        return self.request("POST", f"{on}/{action}/feedback", json={"id": action, "status": status})

    def answer(self, action: str, confirmation: str, *details: str) -> httpx.Response:
        """Say yes or no to an action that waits for consent."""
        body = {"confirmation": confirmation, "code": 1, "details": list(details)}
        return self.request("POST", f"confirmationBase/{action}/feedback", json=body)

    def configure(self, data: dict[str, Any], mode: str | None = None) -> httpx.Response:
        """Report attributes."""
        body = {"data": data} if mode is None else {"mode": mode, "data": data}
        return self.request("PUT", "configData", json=body)


class Address(Protocol):
    """Where a server is."""

    url: str
    token: str


@dataclass
class Operator:
    """Whoever runs the server, by the REST API; what is made gets names that no other test uses."""

    server: Address
    http: httpx.Client
    devices: httpx.Client

    def ok(self, method: str, path: str, **options: Any) -> Any:
        """A request that has to succeed; its answer."""
        answer = self.http.request(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def device(self, hardware: str = "default", id_: str | None = None, **more: Any) -> DdiDevice:
        """Add a device."""
        name = id_ or f"dev-{next(_numbers)}"
        made = self.ok("POST", "/devices", json={"id": name, "hardware": hardware, **more})
        return DdiDevice(name, made["token"], self.devices)

    def release(
        self,
        payload: bytes = b"firmware",
        *,
        hardware: str = "default",
        filename: str = "app.swu",
        product: str | None = None,
        version: str = "1.1.0",
    ) -> str:
        """Publish a release with one artifact; `product:version`."""
        name = product or f"app-{next(_numbers)}"
        artifact = self.ok("POST", "/artifacts", params={"filename": filename}, content=payload)
        file = {"sha256": artifact["sha256"], "filename": filename, "hardware": [hardware]}
        self.ok("POST", "/releases", json={"product": name, "version": version, "artifacts": [file]})
        return f"{name}:{version}"

    def rollout(self, device: DdiDevice, release: str | None = None, **policy: Any) -> int:
        """Start a rollout for one device."""
        body = {"release": release or self.release(), "target": f"id=={device.id}", "start": True, **policy}
        return int(self.ok("POST", "/rollouts", json=body)["id"])

    def offered(self, release: str | None = None, **policy: Any) -> tuple[DdiDevice, str, int]:
        """A new device that has been told of a new deployment: it, the action and the rollout."""
        device = self.device()
        rollout = self.rollout(device, release, **policy)
        return device, device.action("confirmationBase" if policy.get("consent") else "deploymentBase"), rollout

    def cancel(self, device: DdiDevice, rollout: int) -> None:
        """Call a deployment off."""
        self.ok("POST", f"/rollouts/{rollout}/deployments/{device.id}/cancel", json={})

    def seen(self, device: DdiDevice) -> Any:
        """The device as the inventory shows it."""
        return self.ok("GET", f"/devices/{device.id}")

    def state(self, device: DdiDevice) -> str:
        """Where its deployment is."""
        return str(self.seen(device)["state"])

    def reports(self, device: DdiDevice, action: str) -> list[Any]:
        """What it said of an action, newest first; nothing where it has not been told of one of this number."""
        found = self.http.get(f"/devices/{device.id}/actions/{action}/reports")
        if found.status_code == 404:
            return []
        assert found.is_success, found.text
        return list(found.json()["items"])
