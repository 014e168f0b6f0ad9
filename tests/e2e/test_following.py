"""A group is kept on a channel: a real server with its worker, devices that poll, and an operator at the command line."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.e2e.test_main_job import Device
from tests.support.databases import PostgresDatabases, SqliteDatabases
from tests.support.ddi import eventually
from tests.support.server import Serving, serving

LAB = ("--product", "app", "--channel", "stable")


def add(server: Serving, image: Path, version: str, *more: str) -> None:
    image.write_bytes(f"firmware {version}".encode())
    server.otaru("release", "add", str(image), "--name", "app", "--version", version, "--hardware", "default", *more)


def asked(server: Serving, *command: str) -> Any:
    return json.loads(server.otaru(*command, "--json").stdout)


def last(server: Serving) -> Any:
    (order,) = asked(server, "group", "follows", "lab")["items"]
    return order["rollout"] or {"version": None, "state": None}


def take(device: Device) -> str:
    """Take what is offered, once it is; which version that was."""
    eventually(lambda: "deploymentBase" in device.links())
    action, artifact = device.deployment()
    device.report(action, "closed", "success", "done")
    return artifact["version"]


def test_a_group_is_kept_on_a_channel(databases: SqliteDatabases | PostgresDatabases, tmp_path: Path) -> None:
    image, database = tmp_path / "app.swu", databases.empty()
    with ExitStack() as stack:
        with serving(tmp_path / "data", "--database", database) as server:
            tokens = {
                name: asked(server, "device", "add", name, "--hardware", "default")["token"] for name in ("one", "two")
            }
            server.otaru("group", "add", "lab", "-q", "not(tag==out)")
            add(server, image, "1.0")
            shown = asked(server, "group", "follow", "lab", *LAB)
            assert (shown["rollout"]["version"], shown["rollout"]["state"]) == ("1.0", "running")
            one = stack.enter_context(Device(server, "one", tokens["one"]))
            two = stack.enter_context(Device(server, "two", tokens["two"]))
            assert take(one) == "1.0"
            begun, _ = two.deployment()
            add(server, image, "1.1")
            eventually(lambda: last(server)["version"] == "1.1")
            old = asked(server, "rollout", "show", str(shown["rollout"]["id"]))
            assert (old["superseded_by"], old["counts"]) == (last(server)["id"], {"succeeded": 1, "offered": 1})
            assert take(one) == "1.1"
            two.report(begun, "closed", "success", "1.0 after all")
            assert take(two) == "1.1"
            eventually(lambda: asked(server, "rollout", "show", str(old["id"]))["state"] == "finished")
            add(server, image, "1.0.9")
            add(server, image, "2.0-rc.1", "--channel", "beta")
            late = asked(server, "device", "add", "late", "--hardware", "default")["token"]
            add(server, image, "1.2")
            server.process.kill()  # whether it has been seen to or not
        with serving(tmp_path / "data", "--database", database) as server:
            eventually(lambda: last(server)["version"] == "1.2")
            made = asked(server, "rollout", "list")["items"]
            assert [r["version"] for r in made] == ["1.2", "1.1", "1.0"], "each once, none for the older patch"
            for name, token in (*tokens.items(), ("late", late)):
                with Device(server, name, token) as device:
                    assert take(device) == "1.2"
            server.otaru("release", "withdraw", "app:1.2")
            eventually(lambda: asked(server, "group", "follows", "lab")["items"][0]["waits"] != "")
            (order,) = asked(server, "group", "follows", "lab")["items"]
            assert (order["newest"], order["waits"]) == ("1.1", "no device of lab needs app 1.1 now")
            for name, token in tokens.items():
                with Device(server, name, token) as device:
                    assert "deploymentBase" not in device.links(), "nobody goes back"
            server.otaru("group", "unfollow", "lab", *LAB)
            assert asked(server, "group", "follows")["items"] == []
