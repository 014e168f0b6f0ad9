"""Configuration from a file on a desk to a device, as people bring it there: packed, released, rolled out, gone back from."""

import json
from pathlib import Path

import pytest

from tests.e2e.test_agent import site
from tests.support.agent_site import Site
from tests.support.host import Host
from tests.support.server import otaru

__all__ = ["site"]
SCHEMA = {
    "type": "object",
    "required": ["port"],
    "additionalProperties": False,
    "properties": {"port": {"type": "integer", "minimum": 1024, "maximum": 65535}},
}


class Desk:
    """Where documents are written and packed."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder = folder
        self.site = site
        (folder / "schema.json").write_text(json.dumps(SCHEMA))
        (folder / "motd").write_text("hello\n")

    def pack(self, port: object, code: int = 0) -> Path:
        (self.folder / "app.toml").write_text(f"port = {port}\n")
        made = self.folder / f"{port}.config"
        files = (str(self.folder / "app.toml"), str(self.folder / "motd"))
        schema = f"app.toml={self.folder / 'schema.json'}"
        done = otaru("config", "pack", *files, "--schema", schema, "-o", str(made), check=False)
        assert done.returncode == code, done.stderr
        return made

    def release(self, made: Path, version: str, code: int = 0) -> str:
        words = ("--name", "settings", "--version", version, "--hardware", "gateway", "--type", "configuration")
        done = self.site.server.otaru("release", "add", str(made), *words, check=False)
        assert done.returncode == code, done.stderr
        return f"settings:{version}" if code == 0 else done.stderr


def device(folder: Path, site: Site) -> Host:
    """It has an application that reads its port, and is healthy below 9000."""
    read = folder / "read"
    root = folder / "etc"
    read.write_text(f'#!/bin/sh\ncat "{root}/current/app.toml" > "{folder}/runs"\n')
    read.chmod(0o755)
    more = f"""commands = [["sh", "-c", "! grep -q 9... {folder}/runs 2>/dev/null"]]

[[component]]
name = "settings"
installer = "config"
folder = "{root}"
after = ["{read}"]
test = ["sh", "-c", "! grep -q 6000 $OTARU_FOLDER/app.toml"]
look_every_s = 1
"""
    return site.host(folder, slots=False, health=more)


@pytest.mark.timeout(180)
def test_configuration_is_applied_gone_back_from_and_watched(site: Site, tmp_path: Path) -> None:
    desk, host = Desk(tmp_path, site), device(tmp_path, site)
    root = tmp_path / "etc/current"

    first = site.rollout(host, desk.release(desk.pack(8080), "1"))
    host.live(lambda: site.ended(host, first))
    assert site.state(host, first) == "succeeded", host.said()
    assert (root / "motd").read_text() == "hello\n"
    assert (tmp_path / "runs").read_text() == "port = 8080\n"
    assert host.ask("status")["installed"]["settings"] == "1"

    second = site.rollout(host, desk.release(desk.pack(9090), "2"))
    host.live(lambda: site.ended(host, second))
    assert site.state(host, second) == "reverted", host.said()
    assert (tmp_path / "runs").read_text() == (root / "app.toml").read_text() == "port = 8080\n"

    third = site.rollout(host, desk.release(desk.pack(6000), "3"))
    host.live(lambda: site.ended(host, third))
    assert site.state(host, third) == "failed", "the device's own program refuses it"
    assert "sh refuses settings 3" in host.ask("history")[0]["reason"]

    def drift() -> str:
        shown = json.loads(site.server.otaru("device", "show", site.device(host), "--json").stdout)
        return str(shown["attributes"].get("drift.settings"))

    host.live(lambda: drift() == "none")
    (root / "app.toml").write_text("port = 1\n")
    host.live(lambda: drift() == "app.toml")
    listed = site.server.otaru("device", "list", "-q", "attr.drift.settings!=none", "--json").stdout
    assert [one["id"] for one in json.loads(listed)["items"]] == [site.device(host)]
    shown = site.server.otaru("device", "show", site.device(host)).stdout
    assert "settings: app.toml" in " ".join(shown.split())


def test_what_its_schema_does_not_allow_is_refused_before_and_at_the_server(site: Site, tmp_path: Path) -> None:
    desk = Desk(tmp_path, site)
    desk.pack(80, code=2)
    good = desk.pack(8080).read_text()
    bad = tmp_path / "bad.config"
    bad.write_text(good.replace("8080", "80"))
    said = desk.release(bad, "8", code=4)
    assert "app.toml: at /port: 80 is less than 1024" in said
    listed = otaru("config", "show", str(tmp_path / "8080.config"), "--json").stdout
    assert [(one["name"], one["schema"]) for one in json.loads(listed)] == [("app.toml", True), ("motd", False)]
    assert otaru("config", "show", str(tmp_path / "8080.config"), "motd").stdout == "hello\n"
    assert otaru("config", "show", str(bad), check=False).returncode == 2
