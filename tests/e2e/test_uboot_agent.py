"""A whole device: Debian's U-Boot in QEMU starts its slots, the agent's process works in the one that was started."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.agent_site import Site, served
from tests.support.host import Host
from tests.support.uboot import Machine, environment_of, image, missing, told

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]
COMES_UP, RESTARTS = "poweroff", "reset"


@dataclass
class UbootHost(Host):
    """What runs in a slot says its name to U-Boot's console, and then the agent is started beside QEMU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.machine = Machine(self.folder)
        self.machine.build()
        (self.folder / "a").write_bytes(self.image("1.0.0", COMES_UP))
        self.chosen: list[str] = []

    def loader(self) -> str:
        return f'kind = "uboot"\nenvironment = "{self.folder}/fw_env.config"'

    def power_on(self) -> str:
        starts = [line for line in told(self.machine.boot()) if line.startswith("otaru: ")]
        self.chosen += [line.removeprefix("otaru: ") for line in starts]
        return starts[-1].split()[2]

    def image(self, version: str, then: str) -> bytes:
        return image(self.folder / "image", "slot", f'echo "version {version} runs"\n{then}\n')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("agent") / "server") as site:
        yield site


@pytest.fixture
def host(site: Site, tmp_path: Path) -> UbootHost:
    host = UbootHost(tmp_path / "device")
    host.enroll(site.server.url, "--token", site.claim(), device=site.device(host))
    return host


def test_an_update_is_tried_and_kept(site: Site, host: UbootHost) -> None:
    new = host.image("2.0.0", COMES_UP)
    rollout = site.rollout(host, site.release({"os": new}))
    host.live(lambda: site.ended(host, rollout), timeout_s=150)
    assert site.state(host, rollout) == "succeeded", host.said()
    assert host.chosen == ["slot a", "slot b on trial"]
    assert environment_of(host.folder) == {"BOOT_ORDER": "b a"}
    assert host.power_on() == "b"


def test_what_restarts_again_and_again_is_given_up_by_uboot(site: Site, host: UbootHost) -> None:
    rollout = site.rollout(host, site.release({"os": host.image("2.0.0", RESTARTS)}))
    host.live(lambda: site.ended(host, rollout), timeout_s=150)
    assert site.state(host, rollout) == "reverted", host.said()
    assert host.ask("history")[0]["code"] == "fell_back"
    assert host.chosen == ["slot a", *["slot b on trial"] * 3, "slot a"]


def test_what_is_not_healthy_is_given_up_by_the_agent(site: Site, tmp_path: Path) -> None:
    host = UbootHost(tmp_path / "device", health='commands = [["false"]]')
    host.enroll(site.server.url, "--token", site.claim(), device=site.device(host))
    rollout = site.rollout(host, site.release({"os": host.image("2.0.0", COMES_UP)}))
    host.live(lambda: site.ended(host, rollout), timeout_s=150)
    assert (site.state(host, rollout), host.ask("history")[0]["code"]) == ("reverted", "unhealthy"), host.said()
    assert host.chosen == ["slot a", "slot b on trial", "slot a"]
    assert environment_of(host.folder) == {"BOOT_ORDER": "a"}


def test_power_goes_again_and_again(site: Site, host: UbootHost) -> None:
    chance = random.Random(11)
    kills = (chance.uniform(0.2, 1) for _ in range(10))
    for number, then in enumerate((COMES_UP, RESTARTS, COMES_UP), 2):
        before = host.os()
        new = host.image(f"{number}.0.0", then)
        rollout = site.rollout(host, site.release({"os": new}, f"{number}.0.0"))
        host.live(lambda rollout=rollout: site.ended(host, rollout), kill_after=kills, timeout_s=250)  # type: ignore[misc]
        state = site.state(host, rollout)
        assert state in ({"succeeded", "reverted"} if then == COMES_UP else {"reverted"}), host.said()
        assert host.os() == (new if state == "succeeded" else before)
    assert host.starts > 10
