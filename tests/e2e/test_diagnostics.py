"""Telemetry, diagnostics and commands from afar: a real agent, a real server, and a real mail server."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.ddi import Operator, eventually
from tests.support.host import Host
from tests.support.mail import MailServer, mail_server
from tests.support.server import Serving, otaru, serving

SECRET = "hunter2-hunter2"


@pytest.fixture(scope="module")
def mail() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mail: MailServer) -> Iterator[Serving]:
    own = {
        "OTARU_POLL_INTERVAL_S": "1",
        "OTARU_SMTP": f"smtp://127.0.0.1:{mail.port}",
        "OTARU_MAIL_FROM": "otaru@example.org",
    }
    with serving(tmp_path_factory.mktemp("diagnostics") / "server", **own) as found:
        yield found


@pytest.fixture(scope="module")
def operator(server: Serving) -> Iterator[Operator]:
    with server.api() as api, httpx.Client(base_url=server.url, timeout=30) as devices:
        operator = Operator(server, api, devices)
        artifact = operator.ok("POST", "/artifacts", params={"filename": "a.bin"}, content=b"first")
        files = [{"sha256": artifact["sha256"], "filename": "a.bin", "hardware": ["gateway"]}]
        operator.ok("POST", "/releases", json={"product": "app", "version": "1.0.0", "artifacts": files})
        yield operator


def a_host(operator: Operator, folder: Path, name: str, more: str) -> Host:
    made = operator.ok("POST", "/devices", json={"id": name, "hardware": "gateway"})
    host = Host(folder / "device", slots=False, health=more)
    host.enroll(operator.server.url, "--device-token", made["token"], device=name)
    return host


def errand(operator: Operator, device: str, what: str, **more: Any) -> int:
    return int(operator.ok("POST", f"/devices/{device}/errands", json={"what": what, **more})["number"])


def went(operator: Operator, device: str, number: int) -> dict[str, Any]:
    found: dict[str, Any] = operator.ok("GET", f"/devices/{device}/errands/{number}")
    return found


def over(operator: Operator, device: str, *numbers: int) -> bool:
    return all(went(operator, device, one)["state"] not in {"waiting", "taken"} for one in numbers)


def test_a_device_tells_how_it_fares(server: Serving, operator: Operator, tmp_path: Path) -> None:
    battery = tmp_path / "BAT0"
    battery.mkdir()
    (battery / "capacity").write_text("42\n")
    (battery / "status").write_text("Discharging\n")
    more = f"""
[conditions]
battery = "{battery}"
[monitor]
period_s = 1
send_s = 1
off = ["load"]
commands = {{ temperature = ["echo", "36.6"], nonsense = ["echo", "warm"] }}
"""
    host = a_host(operator, tmp_path, "teller", more)
    path = "/devices/teller/telemetry"
    host.live(lambda: bool(operator.ok("GET", path)["items"]))
    told = {one["name"]: one["value"] for one in operator.ok("GET", path)["items"]}
    assert (told["battery"], told["temperature"]) == (42, 36.6)
    assert set(told) == {"battery", "temperature", "uptime", "memory", "disk"}, "what is off or no number is not told"
    fleet = json.loads(server.otaru("fleet", "telemetry", "--json").stdout)["items"]
    assert {"name": "battery", "devices": 1, "least": 42, "p10": 42, "p50": 42, "p90": 42, "most": 42} in fleet


def test_a_tenant_and_an_owner_switch_telemetry_off(server: Serving, operator: Operator, tmp_path: Path) -> None:
    more = '[monitor]\nperiod_s = 1\nsend_s = 1\ncommands = { one = ["echo", "1"], two = ["echo", "2"] }\n'
    host = a_host(operator, tmp_path, "private", more)
    server.otaru("tenant", "set", "--telemetry-off", "two", "--telemetry-off", "uptime")
    path = "/devices/private/telemetry"
    try:
        host.live(lambda: bool(operator.ok("GET", path)["items"]))
        names = {one["name"] for one in operator.ok("GET", path)["items"]}
        assert "one" in names
        assert not names & {"two", "uptime"}
    finally:
        server.otaru("tenant", "set", "--telemetry-off", "none")
    otaru("agent", "sharing", "--no-telemetry", "--config", str(host.config))
    errands = [errand(operator, "private", "reboot")]
    events = len(operator.ok("GET", "/devices/private/events", params={"limit": 1000})["items"])
    host.live(lambda: over(operator, "private", *errands))
    assert len(operator.ok("GET", "/devices/private/events", params={"limit": 1000})["items"]) == events


def test_diagnostics_come_without_secrets(server: Serving, operator: Operator, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("x" * 2_000_000 + f"\npassword={SECRET}\nthe last line\n")
    more = f"""
[diagnostics]
files = ["{log}"]
commands = {{ hello = ["sh", "-c", "echo hello; echo Authorization: Bearer {SECRET}; echo site-4711"] }}
redact = ["site-[0-9]+"]
most_bytes = 100000
"""
    host = a_host(operator, tmp_path, "patient", more)
    token = (host.data / "token").read_text().strip()
    number = errand(operator, "patient", "diagnose")
    host.live(lambda: over(operator, "patient", number))
    assert went(operator, "patient", number)["state"] == "done", host.said()
    output = tmp_path / "got.tar.gz"
    server.otaru("device", "diagnostics", "patient", str(number), "-o", str(output))
    with tarfile.open(fileobj=io.BytesIO(output.read_bytes())) as archive:
        found = {m.name: archive.extractfile(m).read().decode() for m in archive if m.isfile()}  # type: ignore[union-attr]
    assert json.loads(found["diagnostics/status.json"])["device"] == "patient"
    assert "errand 1: diagnose" in found["diagnostics/agent.log"]
    assert "hello" in found["diagnostics/commands/hello"]
    assert found[f"diagnostics/files{log}"].endswith("the last line\n")
    assert sum(map(len, found.values())) < 110_000
    everything = "".join(found.values())
    assert SECRET not in everything
    assert "site-4711" not in everything
    assert token not in everything
    kinds = [
        e["data"]["to"]
        for e in operator.ok("GET", "/events", params={"subject": "patient"})["items"]
        if "to" in e["data"]
    ]
    assert kinds == ["waiting", "taken", "done", "read"]
    assert not list((host.data / "diagnostics").iterdir()), "what was sent is gone here"


def test_only_what_the_maker_allows_is_run_and_once(operator: Operator, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    more = f"""
[[command]]
name = "mark"
run = ["sh", "-c", "echo run >> {marks}; echo secret={SECRET}; echo done"]

[[command]]
name = "bad"
run = ["sh", "-c", "echo no; exit 3"]

[[command]]
name = "slow"
run = ["sleep", "60"]
timeout_s = 0.5
"""
    host = a_host(operator, tmp_path, "worker", more)
    mark, bad, slow, unknown = (errand(operator, "worker", "run", name=n) for n in ("mark", "bad", "slow", "rm"))
    restart = errand(operator, "worker", "reboot")
    called_off = errand(operator, "worker", "run", name="mark")
    operator.ok("POST", f"/devices/worker/errands/{called_off}/cancel")
    host.live(lambda: over(operator, "worker", mark, bad, slow, unknown, restart))
    ends = {
        n: (went(operator, "worker", n)["state"], went(operator, "worker", n)["code"]) for n in range(mark, restart + 2)
    }
    assert ends == {
        mark: ("done", None),
        bad: ("failed", "exit_3"),
        slow: ("failed", "not_run"),
        unknown: ("refused", "not_allowed"),
        restart: ("refused", "not_allowed"),
        called_off: ("cancelled", None),
    }
    assert went(operator, "worker", mark)["output"].split() == ["secret=[redacted]", "done"]
    assert marks.read_text() == "run\n"
    assert not host.marker.exists()


def test_a_reboot_is_ordered_once(operator: Operator, tmp_path: Path) -> None:
    host = a_host(operator, tmp_path, "restarted", "[remote]\nreboot = true\nleast_uptime_s = 0\n")
    number = errand(operator, "restarted", "reboot")
    host.live(lambda: host.starts == 2)
    assert went(operator, "restarted", number)["state"] == "taken"


def test_the_owner_comes_first(operator: Operator, tmp_path: Path) -> None:
    host = a_host(operator, tmp_path, "owned", '[[command]]\nname = "hi"\nrun = ["echo", "hi"]\n')
    words = ("--config", str(host.config), "--json")
    done = otaru("agent", "sharing", "--no-diagnostics", "--no-commands", *words)
    assert json.loads(done.stdout) == {"telemetry": True, "diagnostics": False, "commands": False}
    first, second = errand(operator, "owned", "diagnose"), errand(operator, "owned", "run", name="hi")
    host.live(lambda: over(operator, "owned", first, second))
    assert {went(operator, "owned", n)["code"] for n in (first, second)} == {"consent"}


def test_an_alert_reaches_a_mail_server(server: Serving, operator: Operator, mail: MailServer) -> None:
    for name, level in (("cell-1", 5), ("cell-2", 90)):
        operator.ok("POST", "/devices", json={"id": name, "hardware": "gateway", "tags": ["cell"]})
        body = {"events": [{"device": name, "id": "1", "kind": "sample", "name": "battery", "value": level}]}
        operator.ok("POST", "/devices/events", json=body)
    rule = ("--when", "telemetry.battery<20", "--of", "tag==cell", "--share", "50%", "--mail", "ops@example.org")
    server.otaru("alert", "add", "batteries", *rule)
    eventually(lambda: len(mail.got()) >= 1, timeout_s=60)
    (raised,) = mail.got()
    assert raised["to"] == "ops@example.org"
    assert raised["subject"] == "ALERT: batteries (1 of 2 devices)"
    eventually(lambda: not operator.ok("GET", "/alerts/batteries")["untold"])
    shown = operator.ok("GET", "/alerts/batteries")
    assert (shown["devices"], shown["among"], shown["trouble"]) == (1, 2, None)
    body = {"events": [{"device": "cell-1", "id": "2", "kind": "sample", "name": "battery", "value": 80}]}
    operator.ok("POST", "/devices/events", json=body)
    eventually(lambda: len(mail.got()) >= 2, timeout_s=60)
    assert [one["subject"].partition(":")[0] for one in mail.got()] == ["ALERT", "Over"]


def test_viewers_ask_for_nothing(server: Serving, operator: Operator) -> None:
    operator.ok("POST", "/devices", json={"id": "looked-at", "hardware": "gateway"})
    made = operator.ok("POST", "/tokens", json={"role": "viewer"})
    with httpx.Client(base_url=f"{server.url}/api/v1", headers={"Authorization": f"Bearer {made['token']}"}) as viewer:
        assert viewer.post("/devices/looked-at/errands", json={"what": "reboot"}).status_code == 403
        assert viewer.post("/alerts", json={"name": "a", "when": "id==*"}).status_code == 403
        assert viewer.get("/devices/looked-at/errands").json()["items"] == []
