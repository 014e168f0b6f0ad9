"""A simulated fleet finishing rollouts over real HTTP, against a server in a process of its own."""

import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import OTARU, Serving, environment, otaru, serving

IMAGE = hashlib.shake_256(b"app 2.0").digest(120_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path / "data") as running:
        yield running


def publish(api: httpx.Client, version: str = "2.0") -> None:
    api.patch("/tenant", json={"settings": {"polling_s": 60}}).raise_for_status()
    sha256 = hashlib.sha256(IMAGE).hexdigest()
    octets = {"Content-Type": "application/octet-stream"}
    api.post("/artifacts", params={"filename": "app.bin"}, content=IMAGE, headers=octets).raise_for_status()
    artifact = {"sha256": sha256, "filename": "app.bin", "hardware": ["board:r0", "board:r1"]}
    api.post("/releases", json={"product": "app", "version": version, "artifacts": [artifact]}).raise_for_status()


def simulate(server: Serving, *words: str, timeout: float = 240, check: bool = True) -> dict[str, Any]:
    """Run a fleet to its end; what it says of itself."""
    ran = server.otaru("simulate", "--hardware", "board:r0=2,board:r1", "--json", *words, timeout=timeout, check=check)
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def enrolled(server: Serving, devices: int, *words: str) -> None:
    """Add a fleet without letting it live: the rollout is to be there before it comes up."""
    simulate(server, "--devices", str(devices), "--installed", "app=1.0", "--until", "0s", *words)


def rollout(api: httpx.Client, **policy: Any) -> int:
    body = {"release": "app:2.0", "target": "id==sim-*", "start": True, **policy}
    answer = api.post("/rollouts", json=body).raise_for_status()
    return int(answer.json()["id"])


def finish(server: Serving, devices: int, *words: str, timeout: float = 240, **policy: Any) -> tuple[Any, Any, float]:
    """A fleet goes through a rollout: the fleet's own account, the server's, and how long it took."""
    with server.api() as api:
        publish(api)
        enrolled(server, devices, *words)
        number = rollout(api, **policy)
        begun = time.monotonic()
        told = simulate(server, "--devices", str(devices), "--until", "finished", *words, timeout=timeout)
        took = time.monotonic() - begun
        return told, api.get(f"/rollouts/{number}").raise_for_status().json(), took


def test_two_hundred_devices_finish_a_rollout(server: Serving) -> None:
    told, found, _ = finish(
        server,
        200,
        *("--fail", "3%", "--loss", "10%", "--flaky", "5%", "--seed", "7", "--speed", "120"),
        waves=["2", "10%", "100%"],
        success=0.5,
        error=0.5,
    )
    assert found["state"] == "finished"
    assert found["size"] == 200
    counts = {state: number for state, number in found["counts"].items() if number}
    assert counts == told["outcomes"]
    assert counts["failed"] > 0
    assert sum(counts.values()) == told["updates"] == 200
    assert told["downloads"] == 200
    assert told["bytes"] == 200 * len(IMAGE)
    assert told["breaks"] > 0
    assert told["reports_lost"] > 0
    assert told["troubles"] == {}
    assert sum(f["devices"] for f in found["failures"]) == counts["failed"]
    assert {f["reason"] for f in found["failures"]} == set(told["words"])
    with server.api() as api:
        page = api.get("/devices", params={"q": "id==sim-*", "limit": 1000}).json()["items"]
    versions = [device["installed"][0]["version"] for device in page]
    assert versions.count("2.0") == counts["succeeded"]
    assert versions.count("1.0") == counts["failed"]
    one = page[0]
    assert one["attributes"]["serial"] == one["id"]
    assert one["attributes"]["hw_revision"] == one["hardware"].partition(":")[2]


def test_the_same_seed_tells_the_same_story_against_another_server_and_on_another_road(tmp_path: Path) -> None:
    words = ("--fail", "20%", "--loss", "10%", "--speed", "300")
    stories = []
    for name, seed, road in (("a", "7", "ddi"), ("b", "7", "native"), ("c", "8", "ddi")):
        with serving(tmp_path / name) as server:
            told, found, _ = finish(server, 40, *words, "--seed", seed, "--road", road)
            assert found["state"] == "finished"
            stories.append((told["stories"], told["outcomes"], told["words"]))
    assert stories[0] == stories[1]
    assert stories[0] != stories[2]


def test_a_bad_firmware_pauses_its_rollout_and_the_fleet_ends_there(server: Serving) -> None:
    words = ("--fail", "0", "--firmware-fails", "2.0=1", "--speed", "300")
    told, found, _ = finish(server, 30, *words, waves=["3", "100%"], success=0.9, error=0.1)
    assert found["state"] == "paused"
    failed = told["outcomes"]["failed"]
    # It pauses at the first failure of its first three devices; the others may have begun by then, or not.
    assert 1 <= failed <= 3
    assert told["outcomes"] == {"failed": failed}
    assert found["counts"]["scheduled"] == 30 - failed


def test_a_wrong_token_gets_401_and_nothing_else(server: Serving) -> None:
    with server.api() as api:
        publish(api)
        enrolled(server, 5)
        number = rollout(api)
        words = ("--devices", "5", "--fail", "0", "--wrong-token", "2", "--speed", "300", "--until", "8s")
        told = simulate(server, *words)
        found = api.get(f"/rollouts/{number}").json()
    assert told["troubles"]["unauthenticated"] >= 2
    assert set(told["troubles"]) == {"unauthenticated"}
    assert told["outcomes"] == {"succeeded": 3}
    assert found["state"] == "running"
    assert found["counts"]["scheduled"] == 2


def test_a_gateway_token_serves_for_all(server: Serving) -> None:
    with server.api() as api:
        gateway = api.post("/tenant/gateway-token").raise_for_status().json()["token"]
    told, found, _ = finish(server, 10, "--fail", "0", "--speed", "300", "--gateway-token", gateway)
    assert found["state"] == "finished"
    assert told["outcomes"] == {"succeeded": 10}


def test_a_cancelled_update_is_acknowledged(server: Serving) -> None:
    with server.api() as api:
        publish(api)
        enrolled(server, 10)
        number = rollout(api)
        # At half of real time every download takes long enough to be cancelled in the middle of.
        words = ("--devices", "10", "--fail", "0", "--speed", "20", "--until", "finished", "--hardware", "board:r0")
        fleet = start(server, *words)
        try:
            await_counts(api, number, lambda counts: counts.get("downloading", 0) > 0)
            api.post(f"/rollouts/{number}/stop", json={"reason": "enough"}).raise_for_status()
            told = json.loads(fleet.communicate(timeout=120)[0])
        finally:
            fleet.kill()
        found = api.get(f"/rollouts/{number}").json()
    assert found["state"] == "stopped"
    assert told["outcomes"]["cancelled"] > 0
    counts = found["counts"]
    assert counts["cancelled"] + counts.get("succeeded", 0) == 10


def test_what_is_downloaded_only_waits_for_the_order(server: Serving) -> None:
    with server.api() as api:
        publish(api)
        enrolled(server, 10)
        number = rollout(api, download_only=True)
        words = ("--devices", "10", "--fail", "0", "--speed", "600", "--until", "finished", "--hardware", "board:r0")
        fleet = start(server, *words)
        try:
            await_counts(api, number, lambda counts: counts.get("downloaded", 0) == 10)
            assert fleet.poll() is None
            api.post(f"/rollouts/{number}/install", json={}).raise_for_status()
            told = json.loads(fleet.communicate(timeout=120)[0])
        finally:
            fleet.kill()
        found = api.get(f"/rollouts/{number}").json()
    assert (found["state"], found["counts"]) == ("finished", {"succeeded": 10})
    assert (told["updates"], told["downloads"], told["outcomes"]) == (10, 10, {"succeeded": 10}), "fetched once"


def test_an_interrupt_ends_a_fleet_cleanly(server: Serving) -> None:
    with server.api() as api:
        publish(api)
        fleet = start(server, "--devices", "50", "--speed", "60", "--hardware", "board")
        try:
            await_contact(api)
            fleet.send_signal(signal.SIGINT)
            out, problems = fleet.communicate(timeout=30)
        finally:
            fleet.kill()
    assert fleet.returncode == 0, problems
    assert json.loads(out)["polls"] > 0
    assert "Traceback" not in problems


@pytest.mark.parametrize(
    "words",
    [
        ("--hardware", "a=b"),
        ("--fail", "2"),
        ("--devices", "0"),
        ("--speed", "0"),
        ("--until", "soon"),
        ("--firmware-fails", "x"),
        ("--prefix", "a b"),
        ("--token", ""),
    ],
)
def test_wrong_use_is_one_line(words: tuple[str, ...]) -> None:
    ran = otaru("simulate", "--token", "t", *words, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith("otaru: ")
    assert "Traceback" not in ran.stderr


def test_a_server_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    with serving(tmp_path / "data", "--tls-cert", str(certificate), "--tls-key", str(key)) as running:
        ran = running.otaru("simulate", "--devices", "2", check=False)
        assert ran.returncode == 1
        assert "is not trusted" in ran.stderr
        assert "--ca FILE" in ran.stderr
        assert "Traceback" not in ran.stderr
        fleet = ("simulate", "--devices", "2", "--hardware", "board", "--json", "--speed", "300", "--until", "5s")
        by_option = json.loads(running.otaru(*fleet, "--ca", str(certificate)).stdout)
        by_variable = json.loads(running.otaru(*fleet, OTARU_CA=str(certificate)).stdout)
    assert by_option["troubles"] == by_variable["troubles"] == {}
    assert by_option["polls"] > 0
    assert by_variable["polls"] > 0


def test_no_server_is_one_line() -> None:
    ran = otaru("simulate", "--server", "http://127.0.0.1:1", "--token", "t", check=False)
    assert ran.returncode == 1
    assert "does not answer" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_thousand_devices_finish_a_rollout(server: Serving) -> None:
    words = ("--fail", "2%", "--loss", "5%", "--flaky", "2%", "--speed", "60", "--seed", "7")
    told, found, _ = finish(server, 2000, *words, timeout=600, waves=["2", "10%", "100%"], success=0.5, error=0.5)
    assert found["state"] == "finished"
    counts = {state: number for state, number in found["counts"].items() if number}
    assert counts == told["outcomes"]
    assert sum(counts.values()) == 2000
    assert told["downloads"] == 2000
    assert told["troubles"] == {}


def start(server: Serving, *words: str) -> "subprocess.Popen[str]":
    command = [*OTARU, "simulate", "--json", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment(**server.env))


def await_counts(api: httpx.Client, number: int, good: Any) -> None:
    deadline = time.monotonic() + 60
    while not good(api.get(f"/rollouts/{number}").json()["counts"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def await_contact(api: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while not any(d["last_contact"] for d in api.get("/devices").json()["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
