"""Debian's SWUpdate, unmodified, against a running server: the whole way from offer to inventory, and what goes wrong.

The daemon is the one that `apt-get install swupdate` gives. A restart with `-c 2` or `-c 3` is what a boot script does.
"""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import swu
from tests.support.certificates import authority, bundle, server_tls
from tests.support.ddi import DdiDevice, Operator, eventually
from tests.support.proxy import Proxy, proxy
from tests.support.server import Serving, serving
from tests.support.swupdate import PROGRAM, Swupdate, swupdate

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no swupdate here: apt-get install swupdate cpio openssl")

PAYLOAD = bytes(range(256)) * 800  # 200 KiB
LARGE = PAYLOAD * 20  # 4 MiB
PATIENCE_S = 60


@dataclass
class Bench:
    """A server whose devices poll every second, somebody who signs, and a folder for logs."""

    operator: Operator
    signer: swu.Signer
    folder: Path

    def image(self, device: Swupdate, payload: bytes = PAYLOAD, by: swu.Signer | None = None) -> str:
        """Publish a signed image that writes `payload` on the device."""
        folder = self.folder / f"image-{device.device}"
        built = swu.build(folder, by or self.signer, version="1.1.0", payload=payload, target=device.target)
        return self.operator.release(built.read_bytes(), filename=built.name)

    def adopt(self, device: Swupdate, url: str | None = None, cafile: Path | None = None) -> DdiDevice:
        """Add the device and tell it its server."""
        added = self.operator.device(id_=device.device)
        device.configure(url or self.operator.server.url, added.token, self.signer.certificate, cafile)
        return added

    def until_state(self, device: Swupdate, known: DdiDevice, state: str) -> None:
        """Wait until the server sees the device's deployment in a state."""
        eventually(lambda: self.operator.state(known) == state, PATIENCE_S, device.said)

    def until_installed(self, device: Swupdate, known: DdiDevice, payload: bytes = PAYLOAD) -> None:
        """Wait until the device has written the payload and has said so."""

        def done() -> bool:
            words = [m for r in self.operator.reports(known, "1") for m in r["messages"]]
            return "All Chunks Installed." in words

        eventually(done, PATIENCE_S, device.said)
        assert device.target.read_bytes() == payload


def prepared(server: Serving, stack: ExitStack, folder: Path, verify: ssl.SSLContext | bool = True) -> Bench:
    api = stack.enter_context(server.api(verify=verify))
    devices = stack.enter_context(httpx.Client(base_url=server.url, timeout=30, verify=verify))
    operator = Operator(server, api, devices)
    operator.ok("PATCH", "/tenant", json={"settings": {"polling_s": 1}})
    return Bench(operator, swu.signer(folder), folder)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("swupdate")
    with ExitStack() as stack:
        server = stack.enter_context(serving(folder / "data"))
        yield prepared(server, stack, folder)


@pytest.fixture
def network(bench: Bench) -> Iterator[Proxy]:
    """A network between the devices and the server."""
    server = urlsplit(bench.operator.server.url)
    assert server.hostname is not None
    assert server.port is not None
    with proxy((server.hostname, server.port)) as made:
        yield made


def test_success_after_the_restart(bench: Bench, tmp_path: Path) -> None:
    with swupdate("swu-good", tmp_path) as device:
        known = bench.adopt(device)
        release = bench.image(device)
        bench.operator.rollout(known, release)
        device.start()
        bench.until_installed(device, known)
        # Not yet: the same action stays offered until the device has restarted.
        assert bench.operator.state(known) == "installing"
        device.restart("-c 2")
        bench.until_state(device, known, "succeeded")
        seen = bench.operator.seen(known)
        assert {i["component"]: i["version"] for i in seen["installed"]} == {release.partition(":")[0]: "1.1.0"}
        assert seen["attributes"]["hw_boardname"] == "default"
        assert bench.operator.reports(known, "1")[0]["messages"] == ["Update Installed."]
        # It goes on polling and is offered nothing more.
        contact = seen["last_contact"]
        eventually(lambda: bench.operator.seen(known)["last_contact"] != contact, PATIENCE_S, device.said)
        assert "deploymentBase" not in known.links()


def test_why_it_is_offered_no_release_of_several_files(bench: Bench, tmp_path: Path) -> None:
    """Said to take several, it writes the first one, which stays where the second one cannot be written."""
    with swupdate("swu-pair", tmp_path) as device:
        known = bench.adopt(device)
        stranger, second = swu.signer(tmp_path, "stranger"), device.target.with_name("second")
        parts = []
        for component, target, by in (("os", device.target, bench.signer), ("app", second, stranger)):
            built = swu.build(tmp_path / component, by, version="1.1.0", payload=PAYLOAD, target=target)
            blob = bench.operator.ok(
                "POST", "/artifacts", params={"filename": f"{component}.swu"}, content=built.read_bytes()
            )
            told = {"sha256": blob["sha256"], "filename": f"{component}.swu", "hardware": ["default"]}
            parts.append({**told, "component": component})
        bench.operator.ok("POST", "/releases", json={"product": "pair", "version": "1.1.0", "artifacts": parts})
        bench.operator.rollout(known, "pair:1.1.0")
        assert "deploymentBase" not in known.links(), "it is not offered"
        bench.operator.ok("PATCH", "/tenant", json={"settings": {"several": ["default"]}})
        try:
            device.start()
            bench.until_state(device, known, "failed")
        finally:
            bench.operator.ok("PATCH", "/tenant", json={"settings": {"several": []}})
        assert device.target.read_bytes() == PAYLOAD, "nothing takes it back"
        assert not second.exists()
        assert bench.operator.seen(known)["installed"] == []


def test_failure_after_the_restart(bench: Bench, tmp_path: Path) -> None:
    with swupdate("swu-bad", tmp_path) as device:
        known = bench.adopt(device)
        bench.operator.rollout(known, bench.image(device))
        device.start()
        bench.until_installed(device, known)
        device.restart("-c 3")
        bench.until_state(device, known, "failed")
        seen = bench.operator.seen(known)
        assert seen["history"][0]["reason"] == "Update Failed."
        assert seen["installed"] == []


def test_an_image_that_nobody_it_trusts_has_signed(bench: Bench, tmp_path: Path) -> None:
    stranger = swu.signer(tmp_path, "stranger")
    with swupdate("swu-forged", tmp_path) as device:
        known = bench.adopt(device)
        bench.operator.rollout(known, bench.image(device, by=stranger))
        device.start()
        bench.until_state(device, known, "failed")
        words = [m for r in bench.operator.reports(known, "1") for m in r["messages"]]
        assert any("signature" in w.lower() or "swu image" in w for w in words), words
        assert not device.target.exists()


def test_a_download_that_is_cut_is_resumed(bench: Bench, network: Proxy, tmp_path: Path) -> None:
    network.cut_after, network.cuts = 1024 * 1024, 2
    with swupdate("swu-cut", tmp_path) as device:
        known = bench.adopt(device, network.url)
        bench.operator.rollout(known, bench.image(device, LARGE))
        device.start()
        bench.until_installed(device, known, LARGE)
        assert network.done == 2
        device.restart("-c 2")
        bench.until_state(device, known, "succeeded")


def test_cancelled_in_the_middle_of_the_download(bench: Bench, network: Proxy, tmp_path: Path) -> None:
    network.hold_after = 1024 * 1024
    with swupdate("swu-cancel", tmp_path) as device:
        known = bench.adopt(device, network.url)
        rollout = bench.operator.rollout(known, bench.image(device, LARGE))
        device.start()
        assert network.held.wait(PATIENCE_S), device.said()
        bench.operator.cancel(known, rollout)
        assert bench.operator.state(known) == "cancelling"
        # It looks at the server's orders while it downloads, as long as bytes come.
        network.release.set()
        eventually(lambda: bench.operator.state(known) != "cancelling", PATIENCE_S, device.said)
        assert bench.operator.state(known) == "cancelled", device.said()
        assert bench.operator.seen(known)["installed"] == []


def test_ten_at_once(bench: Bench, tmp_path: Path) -> None:
    with ExitStack() as stack:
        devices = [stack.enter_context(swupdate(f"swu-ten-{n}", tmp_path)) for n in range(10)]
        known = [bench.adopt(device) for device in devices]
        for device, one in zip(devices, known, strict=True):
            bench.operator.rollout(one, bench.image(device))
            device.start()
        for device, one in zip(devices, known, strict=True):
            bench.until_installed(device, one)
        with ThreadPoolExecutor() as restarts:
            list(restarts.map(lambda device: device.restart("-c 2"), devices))
        for device, one in zip(devices, known, strict=True):
            bench.until_state(device, one, "succeeded")


def test_over_tls(tmp_path: Path) -> None:
    tls = server_tls(tmp_path)
    trust = ssl.create_default_context(cafile=str(tls.ca))
    with ExitStack() as stack:
        server = stack.enter_context(serving(tmp_path / "data", *tls.options))
        assert server.url.startswith("https://")
        bench = prepared(server, stack, tmp_path, trust)
        device = stack.enter_context(swupdate("swu-tls", tmp_path))
        known = bench.adopt(device, cafile=tls.ca)
        bench.operator.rollout(known, bench.image(device))
        device.start()
        bench.until_installed(device, known)
        device.restart("-c 2")
        bench.until_state(device, known, "succeeded")


def test_by_client_certificate(tmp_path: Path) -> None:
    tls, root = server_tls(tmp_path), authority("Our devices")
    trust = ssl.create_default_context(cafile=str(tls.ca))
    options = (*tls.options, "--client-ca", str(bundle(tmp_path, root)), "--device-listen", "127.0.0.1:0")
    with ExitStack() as stack:
        # Links to the public address would lead nowhere: everything has to come from where the device polls.
        server = stack.enter_context(serving(tmp_path / "data", *options, "--public-url", "https://127.0.0.1:1"))
        bench = prepared(server, stack, tmp_path, trust)
        device = stack.enter_context(swupdate("swu-cert", tmp_path))
        known = bench.operator.device(id_="swu-cert")
        files = root.device("swu-cert", "DEFAULT", days=36_500).files(tmp_path, "device")
        device.configure(server.device_url, files, bench.signer.certificate, tls.ca)
        bench.operator.rollout(known, bench.image(device))
        device.start()
        bench.until_installed(device, known)
        device.restart("-c 2")
        bench.until_state(device, known, "succeeded")


def test_what_it_is_told_to_download_only_it_installs_on_the_order(bench: Bench, tmp_path: Path) -> None:
    """SWUpdate cannot download alone: it closes such an order untouched, which is no success, and obeys the next one."""
    with swupdate("swu-later", tmp_path) as device:
        known = bench.adopt(device)
        rollout = bench.operator.rollout(known, bench.image(device), download_only=True)
        device.start()
        bench.until_state(device, known, "downloaded")
        seen = bench.operator.seen(known)
        assert seen["history"][0]["reason"] == "closed it before it was told to install: Skipped Update."
        assert seen["installed"] == []
        assert not device.target.exists()
        bench.operator.ok("POST", f"/rollouts/{rollout}/install", json={})
        bench.until_installed(device, known)
        device.restart("-c 2")
        bench.until_state(device, known, "succeeded")
