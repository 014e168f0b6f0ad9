"""A running server with two more tenants and a token of every role, for tests of the REST API."""

import asyncio
import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from otaru.apps.server.admin import offline
from otaru.apps.server.settings import load
from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT, TenantId
from otaru.services.control import tenants, tokens
from otaru.services.control.world import SYSTEM
from tests.support.ddi import DdiDevice
from tests.support.server import Serving, serving

OTHER = TenantId("other")
MATRIX = TenantId("matrix")
"""A tenant that tests may halt and bend as they like."""

_numbers = itertools.count(1)


def fresh(word: str) -> str:
    """A name that no other test of this process uses."""
    return f"{word}-{next(_numbers)}"


@dataclass
class Apis:
    """The server, and clients of it."""

    server: Serving
    secrets: dict[tuple[TenantId, Role], str]
    devices: httpx.Client

    def device(self, name: str, token: str) -> DdiDevice:
        """A device of the default tenant."""
        return DdiDevice(name, token, self.devices)

    def client(self, role: Role = Role.ADMIN, tenant: TenantId = DEFAULT_TENANT, **options: Any) -> httpx.Client:
        """A client with a token of this role."""
        headers = {"Authorization": f"Bearer {self.secrets[tenant, role]}"}
        return httpx.Client(base_url=f"{self.server.url}/api/v1", headers=headers, timeout=30, **options)

    @contextmanager
    def visitor(self, role: Role = Role.ADMIN, tenant: TenantId = DEFAULT_TENANT) -> Iterator[httpx.Client]:
        """Somebody who has logged in to the console; asks as browsers do."""
        headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        with httpx.Client(base_url=self.server.url, headers=headers, timeout=30) as client:
            answer = client.post("/login", data={"token": self.secrets[tenant, role]})
            assert answer.status_code == 303, answer.text
            yield client


@contextmanager
def apis(data: Path) -> Iterator[Apis]:
    """Prepare a data folder and serve it."""
    data.mkdir(parents=True, exist_ok=True)
    secrets = asyncio.run(_prepare(data))
    with serving(data) as server, httpx.Client(base_url=server.url, timeout=30) as devices:
        yield Apis(server, secrets, devices)


async def _prepare(data: Path) -> dict[tuple[TenantId, Role], str]:
    secrets = {}
    async with offline(load(data=data)) as world:
        for tenant in (DEFAULT_TENANT, OTHER, MATRIX):
            await tenants.ensure(world, tenant)
            for role in Role:
                issued = await tokens.create(world, tenant, SYSTEM, role, f"{tenant} {role}")
                secrets[tenant, role] = issued.secret
    return secrets


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Hold an answer against the error it should be; its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert (told["status"], told["code"], told["type"]) == (status, code, f"about:blank#{code}")
    assert told["title"]
    assert told["detail"]
    assert "Traceback" not in answer.text
    return told


def added(api: httpx.Client, *, hardware: str = "rpi4", **more: Any) -> str:
    """A new device's id."""
    answer = api.post("/devices", json={"id": fresh("dev"), "hardware": hardware, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def uploaded(api: httpx.Client, content: bytes) -> str:
    """The SHA-256 of an artifact with this content."""
    answer = api.post("/artifacts", params={"filename": "app.swu"}, content=content)
    assert answer.status_code in {200, 201}, answer.text
    assert answer.json()["sha256"] == hashlib.sha256(content).hexdigest()
    return str(answer.json()["sha256"])


def released(api: httpx.Client, *, hardware: str = "rpi4", **more: Any) -> str:
    """A new release's `product:version`."""
    product = fresh("app")
    sha256 = uploaded(api, product.encode())
    artifact = {"sha256": sha256, "filename": "app.swu", "hardware": [hardware]}
    body = {"product": product, "version": "1.1.0", "artifacts": [artifact], **more}
    answer = api.post("/releases", json=body)
    assert answer.status_code == 201, answer.text
    return f"{product}:1.1.0"


def planned(api: httpx.Client, devices: int = 1, **more: Any) -> dict[str, Any]:
    """A new rollout to so many new devices."""
    model = fresh("model")
    for _ in range(devices):
        added(api, hardware=model)
    release = released(api, hardware=model)
    answer = api.post("/rollouts", json={"release": release, "target": f"hardware=={model}", **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
