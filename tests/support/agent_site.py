"""A server with an operator, and devices with agents: processes, files, signed releases, rollouts."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.ddi import Operator
from tests.support.host import Host
from tests.support.server import Serving, serving


@dataclass
class Site:
    """A server, and who works with it."""

    server: Serving
    operator: Operator
    number: int = 0

    def claim(self) -> str:
        made = self.server.otaru("enrollment", "create", "line", "--quota", "100", "--json")
        return str(json.loads(made.stdout)["claim"])

    def host(self, folder: Path, **options: Any) -> Host:
        """An enrolled device."""
        host = Host(folder / "device", **options)
        host.enroll(self.server.url, "--token", self.claim(), device=self.device(host))
        return host

    def device(self, host: Host) -> str:
        return f"gw-{abs(hash(host.folder)) % 10**9}"

    def release(self, parts: dict[str, bytes], version: str = "2.0.0", product: str | None = None) -> str:
        self.number += 1
        name = product or f"gateway-{self.number}"
        files = []
        for component, data in parts.items():
            filename = f"{component}.bin"
            made = self.operator.ok("POST", "/artifacts", params={"filename": filename}, content=data)
            files.append(
                {"sha256": made["sha256"], "filename": filename, "hardware": ["gateway"], "component": component}
            )
        self.operator.ok("POST", "/releases", json={"product": name, "version": version, "artifacts": files})
        return f"{name}:{version}"

    def rollout(self, host: Host, release: str) -> int:
        target = f"id=={self.device(host)}"
        return int(
            self.operator.ok("POST", "/rollouts", json={"release": release, "target": target, "start": True})["id"]
        )

    def state(self, host: Host, rollout: int) -> str:
        (found,) = self.operator.ok("GET", f"/rollouts/{rollout}/deployments")["items"]
        assert found["device"] == self.device(host)
        return str(found["state"])

    def ended(self, host: Host, rollout: int) -> bool:
        return self.state(host, rollout) in {"succeeded", "failed", "reverted", "rejected", "cancelled"}


@contextmanager
def served(data: Path) -> Iterator[Site]:
    """A server whose devices come every second; its data folder is made."""
    with (
        serving(data, OTARU_POLL_INTERVAL_S="1") as server,
        server.api() as api,
        httpx.Client(base_url=server.url, timeout=30) as devices,
    ):
        site = Site(server, Operator(server, api, devices))
        site.release({"app": b"the first one, with which the tenant's keys begin"}, "1.0.0")
        yield site


def archive(version: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in (("version", version.encode()), ("bin/app", b"#!/bin/sh\nexit 0\n"), ("big", b"x" * 300_000)):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(made.getvalue(), mtime=0)  # the same bytes in the next second, too
