"""The command line against a real server, as people and scripts use it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.command import call
from tests.support.relay import relay
from tests.support.server import OTARU, Serving, environment, interruptible, serving

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("cli") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("image") / "app-1.1.0.swu"
    file.write_bytes(os.urandom(50_000))
    return file


def tell(server: Serving, *words: str, code: int = 0, **env: str) -> Any:
    """Run a command with --json, which exits with `code`; the one document that it prints."""
    done = call(server, *words, "--json", **env)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def refused(*words: str, code: int, said: str, **env: str) -> None:
    """Run a command that says in one line (and a hint) why it cannot."""
    done = call(None, *words, **env)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert said in done.stderr
    assert done.stderr.startswith("otaru: ")
    assert len(done.stderr.splitlines()) <= 2
    assert done.stdout == ""


class Device:
    """A device that does as it is told, by hand."""

    def __init__(self, server: Serving, name: str, token: str) -> None:
        self._base = f"{server.url}/DEFAULT/controller/v1/{name}"
        self._headers = {"Authorization": f"TargetToken {token}"}

    def end(self, finished: str, words: str = "") -> None:
        """Poll until there is an update, and report how it ended."""
        with httpx.Client(headers=self._headers, timeout=60) as http:
            deadline = time.monotonic() + 30
            while "deploymentBase" not in (links := http.get(self._base).json()["_links"]):
                assert time.monotonic() < deadline, links
                time.sleep(0.05)
            action = links["deploymentBase"]["href"].split("?")[0].rsplit("/", 1)[1]
            status = {"execution": "closed", "result": {"finished": finished}, "details": [words]}
            feedback = http.post(
                f"{self._base}/deploymentBase/{action}/feedback", json={"id": action, "status": status}
            )
            feedback.raise_for_status()


def device(server: Serving, name: str, *options: str) -> Device:
    added = tell(server, "device", "add", name, "--hardware", "default", *options)
    assert added["id"] == name
    return Device(server, name, added["token"])


def release(server: Serving, image: Path, name: str, version: str = "1.1.0") -> None:
    tell(server, "release", "add", str(image), "--name", name, "--version", version, "--hardware", "default")


def rollout(server: Serving, name: str, target: str, *options: str) -> str:
    made = tell(server, "rollout", "create", "--release", f"{name}:1.1.0", "--target", target, "--start", *options)
    return str(made["id"])


def test_an_update_from_file_to_device_and_back(server: Serving, image: Path) -> None:
    dev = device(server, "dev-1")
    release(server, image, "app")
    number = rollout(server, "app", "id==dev-1")
    early = server.otaru("rollout", "watch", number, "--until", "finished", "--timeout", "1s", check=False)
    assert early.returncode == 1
    assert "the time is over" in early.stderr
    ending = threading.Thread(target=dev.end, args=("success",))
    ending.start()
    done = server.otaru("rollout", "watch", number, "--until", "finished", "--timeout", "60")
    ending.join()
    assert "1 succeeded" in done.stdout.splitlines()[-1]
    shown = tell(server, "device", "show", "dev-1")
    assert {i["component"]: i["version"] for i in shown["installed"]} == {"app": "1.1.0"}
    assert shown["state"] == "succeeded"
    assert [h["state"] for h in shown["history"]] == ["succeeded"]
    assert "1.1.0" in server.otaru("device", "show", "dev-1").stdout


def test_watching_ends_with_5_when_devices_failed(server: Serving, image: Path) -> None:
    dev = device(server, "bad-1")
    release(server, image, "bad")
    number = rollout(server, "bad", "id==bad-1")
    dev.end("failure", "no \x1b[31mspace\x1b[0m left")
    assert tell(server, "rollout", "watch", number, "--timeout", "60", code=5)["state"] == "finished"
    shown = call(server, "rollout", "show", number).stdout
    assert "space" in shown
    assert "\x1b" not in shown
    reports = tell(server, "device", "reports", "bad-1", "1")
    assert reports["items"][0]["messages"] == ["no \x1b[31mspace\x1b[0m left"]
    assert tell(server, "rollout", "retry", number, "--reason", "the disk is larger")["state"] == "running"
    record = tell(server, "event", "list", "--subject", number)["items"]
    assert [e["data"]["reason"] for e in record if e["kind"] == "rollout.retried"] == ["the disk is larger"]
    dev.end("success")
    assert tell(server, "rollout", "watch", number, "--timeout", "60")["counts"] == {"succeeded": 1}


def test_a_rollout_with_a_maintenance_window(server: Serving, image: Path) -> None:
    device(server, "night-1")
    release(server, image, "night")
    opens = (datetime.now(UTC) + timedelta(hours=12)).strftime("%H:00")  # noqa: TID251 - far from now, whenever that is
    number = rollout(server, "night", "id==night-1", "--window", f"{opens}/2h")
    assert f"window {opens}/2h UTC" in call(server, "rollout", "show", number).stdout
    (answer,) = tell(server, "device", "why", "night-1")["answers"]
    assert answer["rule"] == "window"
    assert f"The maintenance window {opens}/2h UTC is shut: it opens at " in answer["because"]
    wanted = ("--release", "night:1.1.0", "--target", "id==night-1")
    preview = tell(server, "rollout", "preview", *wanted, "--window", "22:30/90m Europe/Paris")
    assert preview["members"] == 1
    for wrong, said in (
        ("22:30", "Write the time it opens"),
        ("22:30/1h Mars/Olympus", "Mars/Olympus"),
        ("22:30/25h", "24 hours"),
    ):
        refused("rollout", "create", *wanted, "--window", wrong, code=2, said=said, **server.env)


def test_watching_a_rollout_that_pauses_and_is_stopped(server: Serving, image: Path) -> None:
    devices = [device(server, f"wave-{n}") for n in range(2)]
    release(server, image, "wave")
    number = rollout(
        server, "wave", "id==wave-*", "--waves", "1,all", "--success", "90%", "--error", "0.1", "--observe", "0s"
    )
    first = tell(server, "rollout", "devices", number, "--limit", "0")["items"]
    (due,) = [member["device"] for member in first if member["wave"] == 0]
    assert tell(server, "rollout", "watch", number, "--until", "wave:1", "--timeout", "30")["state"] == "running"
    devices[int(due[-1])].end("failure")
    assert tell(server, "rollout", "watch", number, "--until", "paused", "--timeout", "30")["state"] == "paused"
    waiting = call(server, "rollout", "watch", number, "--timeout", "1s")
    assert waiting.returncode == 1
    assert "is paused; waiting" in waiting.stderr
    tell(server, "rollout", "stop", number, "--reason", "bad wave")
    stopped = call(server, "rollout", "watch", number, "--timeout", "30")
    assert stopped.returncode == 5
    assert "bad wave" in stopped.stderr
    never = call(server, "rollout", "watch", number, "--until", "wave:2", "--timeout", "30")
    assert never.returncode == 1


def test_a_release_of_several_components(server: Serving, image: Path, tmp_path: Path) -> None:
    for name in ("app.tgz", "fpga.bin", "b=c.bin"):
        (tmp_path / name).write_bytes(name.encode())
    add = ("release", "add", str(image), "--name", "gw", "--version", "2.0.0", "--hardware", "gw1", "--component", "os")
    pieces = ("--piece", f"app={tmp_path}/app.tgz", "--piece", f"fpga={tmp_path}/fpga.bin=gw1:b,gw2")
    more = ("--piece", f"data={tmp_path}/b=c.bin=gw1")
    made = tell(server, *add, *pieces, *more)
    files = [(file["component"], file["hardware"], file["filename"]) for file in made["artifacts"]]
    assert files == [
        ("os", "gw1", image.name),
        ("app", "gw1", "app.tgz"),
        ("fpga", "gw1:b", "fpga.bin"),
        ("fpga", "gw2", "fpga.bin"),
        ("data", "gw1", "b=c.bin"),
    ]
    assert tell(server, "release", "show", "gw:2.0.0")["artifacts"] == made["artifacts"]
    for piece, said in (
        ("app", "Write --piece app="),
        ("app=", "Write --piece app="),
        ("no app=x", "not a name"),
        (f"app={tmp_path}/app.tgz=", "Write --piece app="),
        (f"app={tmp_path}/none", "none"),
    ):
        done = server.otaru(*add, "--piece", piece, check=False)
        assert (done.returncode, said in done.stderr) == (2, True), (piece, done.stderr)
    twice = server.otaru(*add[:6], "2.1.0", *add[7:], "--piece", f"app={image}", check=False)
    assert twice.returncode == 2, twice.stderr
    assert "is the file of two components, os and app" in twice.stderr
    assert tell(server, "tenant", "set", "--several", "gw1, gw2")["settings"]["several"] == ["gw1", "gw2"]
    assert tell(server, "tenant", "set", "--several", "")["settings"]["several"] == []


def test_a_release_has_terms_and_a_device_hears_why(server: Serving, image: Path, tmp_path: Path) -> None:
    notes = tmp_path / "NOTES.md"
    notes.write_text("# What is new")
    add = ("release", "add", str(image), "--name", "usb", "--hardware", "default", "--version")
    tell(server, *add, "2024.1.0")
    tell(server, *add, "2025.0.0", "--channel", "beta")
    terms = ("--channel", "stable", "--type", "security", "--requires", "fpga>=2", "--requires", "fpga<3")
    more = ("--floor", "2025.0.0", "--security-floor", "3", "--support-until", "2031-12-31", "--notes", str(notes))
    made = tell(server, *add, "2026.0.0", *terms, *more)
    assert (made["requires"], made["security_counter"], made["notes"]) == (["fpga>=2", "fpga<3"], 3, "# What is new")
    tell(server, "product", "set", "usb", "--order", "calendar")
    assert [p["order"] for p in tell(server, "product", "list")["items"] if p["name"] == "usb"] == ["calendar"]

    def listed(*options: str) -> list[str]:
        return [r["version"] for r in tell(server, "release", "list", "--product", "usb", *options)["items"]]

    assert listed() == ["2026.0.0", "2025.0.0", "2024.1.0"]
    assert listed("--channel", "stable") == ["2026.0.0", "2024.1.0"]
    assert listed("--type", "security") == ["2026.0.0"]
    device(server, "usb-1", "--installed", "usb=2024.1.0", "--installed", "fpga=2.5")
    tell(server, "rollout", "create", "--release", "usb:2026.0.0", "--target", "id==usb-1", "--start")
    (answer,) = tell(server, "device", "why", "usb-1")["answers"]
    assert answer["rule"] == "floor"
    assert answer["because"].endswith("the device runs usb 2024.1.0. Install usb 2025.0.0 first.")
    tell(server, "release", "deprecate", "usb:2026.0.0")
    done = call(server, "rollout", "preview", "--release", "usb:2026.0.0", "--target", "id==usb-1")
    assert "otaru: usb 2026.0.0 is deprecated." in done.stderr
    shown = call(server, "release", "show", "usb:2024.1.0").stdout
    assert "1 device: otaru device list -q \"installed.usb=='2024.1.0'\"" in shown
    refused(*add, "1.2", code=2, said="not a version of the calendar order", **server.env)
    refused(*add, "2027", "--requires", "x", code=2, said="requirement", **server.env)
    refused(*add, "2027", "--support-until", "x", code=2, said="a date", **server.env)


def test_orders_that_change_nothing_exit_with_3(server: Serving, image: Path) -> None:
    device(server, "idle-1")
    release(server, image, "idle")
    number = rollout(server, "idle", "id==idle-1")
    for words, code in (
        (("rollout", "start", number), 3),
        (("rollout", "pause", number), 0),
        (("rollout", "pause", number), 3),
        (("rollout", "resume", number), 0),
        (("rollout", "stop", number), 0),
        (("rollout", "stop", number), 3),
        (("rollout", "resume", number), 1),
        (("tenant", "lift"), 3),
        (("tenant", "halt"), 0),
        (("tenant", "halt"), 3),
        (("tenant", "lift"), 0),
        (("device", "quarantine", "idle-1"), 0),
        (("device", "quarantine", "idle-1"), 3),
        (("device", "release", "idle-1"), 0),
        (("device", "accept", "idle-1"), 3),
        (("device", "decommission", "idle-1"), 0),
        (("device", "decommission", "idle-1"), 3),
        (("device", "release", "idle-1"), 1),
        (("release", "publish", "idle:1.1.0"), 3),
        (("release", "deprecate", "idle:1.1.0"), 0),
        (("release", "deprecate", "idle:1.1.0"), 3),
        (("release", "withdraw", "idle:1.1.0"), 0),
        (("release", "publish", "idle:1.1.0"), 1),
    ):
        done = call(server, *words)
        assert done.returncode == code, f"{words}: {done.returncode} {done.stdout}{done.stderr}"


def test_what_is_wrong_is_said_in_one_line(server: Serving, tmp_path: Path) -> None:
    env = server.env
    viewer = tell(server, "token", "create", "--role", "viewer")["token"]
    nobody = tmp_path / "nothing.swu"
    add = ("--name", "x", "--version", "1", "--hardware", "default")
    refused("device", "list", code=2, said="no API token", OTARU_SERVER=server.url)
    refused("device", "list", code=1, said="token", **(env | {"OTARU_TOKEN": "wrong"}))
    refused("device", "list", code=1, said="no server answers", OTARU_SERVER=_nobody(), OTARU_TOKEN="t")
    refused("device", "list", code=2, said="address", OTARU_SERVER="here", OTARU_TOKEN="t")
    refused("device", "add", "x", "--hardware", "d", code=4, said="role", **(env | {"OTARU_TOKEN": viewer}))
    refused("device", "show", "nobody", code=1, said="nobody", **env)
    refused("device", "list", "--query", "colour==red", code=2, said="colour", **env)
    refused("device", "add", "no spaces", "--hardware", "default", code=2, said="id", **env)
    refused("release", "add", str(nobody), *add, code=2, said="nothing.swu", **env)
    refused("rollout", "create", "--release", "x:9", "--target", "id==*", code=1, said="x", **env)
    refused("rollout", "watch", "999", code=1, said="999", **env)
    refused("rollout", "watch", "1", "--timeout", "soon", code=2, said="soon", **env)
    refused("token", "list", "--data", str(tmp_path / "typo"), code=2, said="no data folder")
    assert not (tmp_path / "typo").exists()
    usage = call(None, "rollout", "create")
    assert usage.returncode == 2
    assert "Traceback" not in usage.stderr


def _nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_reading_only_the_first_lines_is_no_error(server: Serving) -> None:
    shell = f"""{OTARU[0]} -c '{OTARU[2]}' event list --limit 0 --json | head -n 1"""
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env=environment(**server.env), check=True, timeout=60
    )
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_tokens_of_a_data_folder_with_and_without_its_server(tmp_path: Path) -> None:
    data = tmp_path / "data"

    def create(role: str) -> str:
        return call(None, "token", "create", "--data", str(data), "--role", role).stdout.split()[-1]

    before = create("viewer")
    with serving(data) as running:
        during = create("operator")
        for token in (before, during):
            assert call(None, "device", "list", OTARU_SERVER=running.url, OTARU_TOKEN=token).returncode == 0
        running.kill()  # its socket stays behind
    assert (data / "admin.sock").exists()
    after = create("viewer")
    listed = json.loads(call(None, "token", "list", "--data", str(data), "--json").stdout)["items"]
    assert [t["role"] for t in listed] == ["viewer", "admin", "operator", "viewer"]
    assert "token" not in listed[0]
    call(None, "token", "revoke", listed[0]["id"], "--data", str(data))
    with serving(data) as running:
        refused("device", "list", code=1, said="revoked", OTARU_SERVER=running.url, OTARU_TOKEN=before)
        assert call(None, "device", "list", OTARU_SERVER=running.url, OTARU_TOKEN=after).returncode == 0


def test_an_upload_goes_on_in_the_same_run_when_connections_break(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "broken.swu"
    file.write_bytes(os.urandom(40 * MIB))
    with relay(server.url, cut_every=10 * MIB) as lossy:
        added = tell(server, "artifact", "add", str(file), OTARU_SERVER=lossy.url)
    assert added["size"] == 40 * MIB
    assert lossy.sent < 60 * MIB
    back = tmp_path / "back.swu"
    tell(server, "artifact", "fetch", added["sha256"], "-o", str(back))
    assert back.read_bytes() == file.read_bytes()


def test_an_upload_goes_on_when_its_command_is_run_again(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "killed.swu"
    file.write_bytes(os.urandom(40 * MIB))
    words = ("release", "add", str(file), "--name", "killed", "--version", "1", "--hardware", "default", "--json")
    with relay(server.url, stall_after=24 * MIB) as stalling:
        first = subprocess.Popen(
            [*OTARU, *words],
            env=environment(**server.env | {"OTARU_SERVER": stalling.url}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert stalling.stalled.wait(60)
        first.kill()
        first.wait()
    with relay(server.url) as counting:
        done = server.otaru(*words, OTARU_SERVER=counting.url)
        assert json.loads(done.stdout)["artifacts"][0]["size"] == 40 * MIB
        assert 0 < counting.sent <= 25 * MIB, "what had arrived was sent again"
        before = counting.sent
        again = server.otaru(*words, OTARU_SERVER=counting.url, check=False)
        assert again.returncode == 0, again.stderr
        assert counting.sent - before < MIB, "bytes that the server has were sent again"


def test_a_download_goes_on_after_an_interruption(server: Serving, image: Path, tmp_path: Path) -> None:
    digest = tell(server, "artifact", "add", str(image))["sha256"]
    target = tmp_path / "got.swu"
    part = tmp_path / f"got.swu.{digest[:12]}.part"
    part.write_bytes(image.read_bytes()[:20_000])
    with relay(server.url) as counting:
        tell(server, "artifact", "fetch", digest, "-o", str(target), OTARU_SERVER=counting.url)
    assert target.read_bytes() == image.read_bytes()
    part.write_bytes(b"x" * 20_000)
    done = call(server, "artifact", "fetch", digest, "-o", str(target))
    assert done.returncode == 1
    assert "are removed" in done.stderr
    assert not part.exists()


def test_devices_from_a_file(server: Serving, tmp_path: Path) -> None:
    table = tmp_path / "fleet.csv"
    table.write_text("id,hardware,tags,attr.site\n" + "".join(f"imp-{n},default:b,lab,x{n}\n" for n in range(1500)))
    tokens = tmp_path / "tokens.csv"
    done = call(server, "device", "import", str(table), "--tokens", str(tokens))
    assert "1500 added" in done.stderr
    assert len(tokens.read_text().splitlines()) == 1501
    assert tokens.stat().st_mode & 0o777 == 0o600
    page = tell(server, "device", "list", "--query", "tag==lab;attr.site==x7", "--count")
    assert [d["id"] for d in page["items"]] == ["imp-7"]
    assert page["total"] == 1
    assert call(server, "device", "import", str(table)).returncode == 3
    more = tmp_path / "more.ndjson"
    more.write_text('{"id": "imp-7", "hardware": "default"}\n{"id": "imp-new", "hardware": "default"}\n')
    answer = tell(server, "device", "import", str(more), code=5)
    assert answer["taken"] == ["imp-7"]
    assert [d["id"] for d in answer["added"]] == ["imp-new"]
    more.write_text('{"id": "imp-x", "hardware": "default"}\n{\n')
    refused("device", "import", str(more), code=2, said="line 2", **server.env)


def test_events_are_followed_over_a_restart_of_the_server_and_none_is_missed(tmp_path: Path) -> None:
    data, said = tmp_path / "data", tmp_path / "said"
    with contextlib.ExitStack() as stack:
        with serving(data) as first:
            out = stack.enter_context(said.open("w"))
            following = stack.enter_context(
                subprocess.Popen([*OTARU, "event", "follow", "--json"], env=environment(**first.env), stdout=out)
            )
            stack.callback(following.kill)
            _add_until(first, said, "before")
            env, listen = first.env, first.url.removeprefix("http://")
            first.kill()
        with serving(data, listen=listen) as second:
            second.token = env["OTARU_TOKEN"]
            _add_until(second, said, "after")
            seen = [json.loads(line) for line in said.read_text().splitlines() if line.endswith("}")]
            happened = tell(second, "event", "list", "--after", seen[0]["id"], "--limit", "0")["items"]
    assert seen[1:] == happened[: len(seen) - 1]


def _add_until(server: Serving, said: Path, name: str) -> None:
    """Add devices until one is seen by the follower: nobody is told when it has begun to listen."""
    deadline = time.monotonic() + 120
    for number in range(1000):
        assert time.monotonic() < deadline
        with server.api() as api:
            api.post("/devices", json={"id": f"{name}-{number}", "hardware": "default"}).raise_for_status()
        look_again = time.monotonic() + 1
        while time.monotonic() < look_again:
            if f'"{name}-' in said.read_text():
                return
            time.sleep(0.02)


def test_a_server_with_a_certificate_of_our_own(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    with serving(tmp_path / "data", "--tls-cert", str(certificate), "--tls-key", str(key)) as running:
        assert running.url.startswith("https://")
        refused("device", "list", code=1, said="not trusted", **running.env)
        assert call(running, "device", "list", "--ca", str(certificate)).returncode == 0
        assert call(running, "device", "list", OTARU_CA=str(certificate)).returncode == 0
        plain = running.url.replace("https:", "http:")
        refused("device", "list", code=1, said=plain, **(running.env | {"OTARU_SERVER": plain}))


def test_an_interrupted_command_exits_with_130(server: Serving) -> None:
    with relay(server.url) as noting:
        process = subprocess.Popen(
            [*OTARU, "event", "follow"],
            env=environment(**server.env | {"OTARU_SERVER": noting.url}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=interruptible,  # noqa: PLW1509 - it sets one signal, and takes no lock
        )
        deadline = time.monotonic() + 60
        while not any("/stream" in path for _, path in noting.requests):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, errors) == ("", "")


def test_bytes_of_nobody_are_swept_while_the_server_runs(server: Serving, image: Path, tmp_path: Path) -> None:
    release(server, image, "swept")
    loose = tmp_path / "loose.swu"
    loose.write_bytes(os.urandom(1000))
    digest = tell(server, "artifact", "add", str(loose))["sha256"]
    tell(server, "artifact", "remove", digest)
    folder = ("--data", str(server.data))
    young = json.loads(call(None, "blobs", "sweep", *folder, "--json").stdout)
    assert young == {"removed": 0, "freed": 0}
    old = json.loads(call(None, "blobs", "sweep", *folder, "--older-than", "0s", "--json").stdout)
    assert old["removed"] >= 1
    assert old["freed"] >= 1000
    assert not list(server.data.rglob(digest))
    kept = tell(server, "release", "show", "swept:1.1.0")["artifacts"][0]["sha256"]
    tell(server, "artifact", "fetch", kept, "-o", str(tmp_path / "kept.swu"))
    assert call(None, "db", "check", *folder).stdout.startswith("The database is ok")
    assert json.loads(call(None, "db", "upgrade", *folder, "--json").stdout) == {"applied": []}
    empty = call(None, "db", "check", "--data", str(tmp_path / "none"))
    assert empty.returncode == 1
