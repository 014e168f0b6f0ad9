"""A device saves its data before an update and puts them back after one that failed; its owner opens a backup elsewhere."""

import json
import random
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.agent_site import Site, archive, served
from tests.support.host import Host
from tests.support.server import otaru


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("agent") / "server") as site:
        yield site


def device(folder: Path, site: Site, public: str) -> Host:
    """Its app writes to a database when it is switched to, and version 3.0.0 is sick."""
    state, app = folder / "state", folder / "device/app/current/version"
    state.mkdir()
    (state / "db").write_text("rows\n")
    (state / "db").chmod(0o640)
    (state / "big").write_bytes(random.Random(1).randbytes(5 << 20))
    (folder / "table").write_text("1\n")
    after = folder / "after"
    after.write_text(
        f'#!/bin/sh\ncat "{app}" >> "{state}/db"; echo spoiled > "{folder}/table"; echo started >> "{folder}/app.log"\n'
    )
    after.chmod(0o755)
    more = f"""commands = [["sh", "-c", "! grep -q 3.0.0 {app}"]]

[backup]
tenant = "{public}"
keep = 2
upload = true
pause = ["sh", "-c", "echo paused >> {folder}/app.log"]
resume = ["sh", "-c", "echo resumed >> {folder}/app.log"]

[remote]
restore = true

[[backup.item]]
name = "state"
path = "{state}"
component = "app"

[[backup.item]]
name = "table"
save = ["cat", "{folder}/table"]
restore = ["sh", "-c", "cat > {folder}/table"]
"""
    host = site.host(folder, slots=False, health=more)
    text = host.config.read_text().replace("unpack = true\n", f'unpack = true\nafter = ["{after}"]\n')
    host.config.write_text(text)
    return host


def put_back_from_afar(site: Site, host: Host, *names: str) -> list[tuple[str, str | None]]:
    """How it went with each of these backups."""
    device = site.device(host)
    asked = [{"what": "restore", "name": name} for name in names]
    made = [site.operator.ok("POST", f"/devices/{device}/errands", json=one) for one in asked]
    paths = [f"/devices/{device}/errands/{one['number']}" for one in made]
    found: list[dict[str, Any]] = []

    def over() -> bool:
        found[:] = [site.operator.ok("GET", one) for one in paths]
        return all(one["ended_at"] is not None for one in found)

    host.live(over)
    return [(one["state"], one["code"]) for one in found]


@pytest.mark.timeout(300)
def test_data_come_back_with_the_version_that_had_them(site: Site, tmp_path: Path) -> None:
    key = tmp_path / "owner.key"
    public = json.loads(otaru("backup", "key", "-o", str(key), "--json").stdout)["public"]
    assert otaru("backup", "key", "-o", str(key), check=False).returncode == 2, "no key is written over"
    host = device(tmp_path, site, public)
    state, words = tmp_path / "state", ("--config", str(host.config))
    assert otaru("agent", "restore", *words, check=False).returncode == 3

    first = site.rollout(host, site.release({"app": archive("2.0.0")}))
    host.live(lambda: site.ended(host, first))
    assert site.state(host, first) == "succeeded", host.said()
    assert (state / "db").read_text() == "rows\n2.0.0"
    (state / "db").write_text("rows of 2.0.0\n")
    (tmp_path / "table").write_text("2\n")

    second = site.rollout(host, site.release({"app": archive("3.0.0")}, "3.0.0"))
    host.live(lambda: site.ended(host, second))
    assert site.state(host, second) == "reverted", host.said()
    assert (state / "db").read_text() == "rows of 2.0.0\n"
    assert (state / "db").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "table").read_text() == "2\n"
    log = (tmp_path / "app.log").read_text().split()
    assert log == ["paused", "resumed", "started", "paused", "resumed", "started", "started", "paused", "resumed"]

    host.live(lambda: "backup 000002 is at the server" in host.said())
    listed = host.ask("backups")
    assert [(one["name"], one["items"]) for one in listed] == [
        ("000002", ["state", "table"]),
        ("000001", ["state", "table"]),
    ]
    assert listed[0]["release"].endswith(":3.0.0")
    otaru("agent", "restore", "000001", *words)
    assert (state / "db").read_text() == "rows\n"
    assert (tmp_path / "table").read_text() == "1\n"
    assert otaru("agent", "restore", "000009", *words, check=False).returncode == 1

    assert put_back_from_afar(site, host, "000002", "000009") == [("done", None), ("refused", "no_backup")]
    assert (state / "db").read_text() == "rows of 2.0.0\n"
    assert (tmp_path / "table").read_text() == "2\n"

    made, file = tmp_path / "out.tar", tmp_path / "fetched.age"
    sent = json.loads(site.server.otaru("device", "backups", site.device(host), "--json").stdout)["items"]
    assert "000002" in {one["name"] for one in sent}, host.said()
    site.server.otaru("device", "fetch-backup", site.device(host), "000002", "-o", str(file))
    assert file.read_bytes() == (host.data / "backups/000002.age").read_bytes()
    otaru("backup", "open", str(file), "--key", str(key), "-o", str(made))
    with tarfile.open(made) as tar:
        names = tar.getnames()
        told = json.loads(tar.extractfile("backup.json").read())  # type: ignore[union-attr]
        assert tar.extractfile("state/db").read() == b"rows of 2.0.0\n"  # type: ignore[union-attr]
    assert names == ["backup.json", "state", "state/big", "state/db", "table"]
    assert told["device"] == site.device(host)
    file.write_bytes(file.read_bytes()[:-1])
    assert (
        otaru("backup", "open", str(file), "--key", str(key), "-o", str(tmp_path / "bad.tar"), check=False).returncode
        == 1
    )
    assert not list(tmp_path.glob("bad.tar*"))


@pytest.mark.timeout(120)
def test_without_a_backup_there_is_no_update(site: Site, tmp_path: Path) -> None:
    host = device(tmp_path, site, "age15g6j6ymx244937xh2qrzdzh4gukl445tkyg534ujwx9lv0zytd7sgqq2x3")
    (tmp_path / "table").unlink()
    rollout = site.rollout(host, site.release({"app": archive("2.0.0")}))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "failed", host.said()
    past = host.ask("history")[0]
    assert past["code"] == "backup_failed"
    assert "No such file" in past["reason"]
    assert host.running() == ""


def test_a_backup_comes_in_parts_and_only_whole_ones_count(site: Site) -> None:
    token = site.operator.ok("POST", "/devices", json={"id": "sender", "hardware": "gateway"})["token"]
    with httpx.Client(
        base_url=site.server.url, headers={"Authorization": f"TargetToken {token}"}, timeout=30
    ) as device:

        def send(name: str, data: bytes, first: int, end: int, digest: str = "") -> httpx.Response:
            asked = {"device": "sender", "name": name, "first": str(first), "size": str(len(data))}
            asked["sha256"] = digest or sha256(data).hexdigest()
            return device.post("/device/v1/backups", params=asked, content=data[first:end])

        def here(data: bytes) -> int:
            asked = {"device": "sender", "sha256": sha256(data).hexdigest()}
            return int(device.get("/device/v1/backups", params=asked).json()["received"])

        def listed() -> list[str]:
            return [one["name"] for one in site.operator.ok("GET", "/devices/sender/backups")["items"]]

        one = b"one" * 30_000
        assert here(one) == 0
        assert send("1", one, 60_000, 70_000).json()["received"] == 0, "it does not continue"
        for first, end in ((0, 40_000), (0, 40_000), (40_000, 80_000)):
            send("1", one, first, end)
        assert (here(one), listed()) == (80_000, [])
        assert send("1", one, 80_000, 90_000).json()["received"] == len(one)
        assert (here(one), listed()) == (len(one), ["1"])
        assert send("1", one, 0, 10).json()["received"] == len(one)
        wrong = send("2", b"two", 0, 3, "0" * 64)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "checksum_mismatch")
        assert send("../2", b"two", 0, 3).status_code == 400
        assert send("2", b"x" * 200_000, 0, 200_000).status_code == 413
        huge = {"device": "sender", "name": "2", "first": "0", "size": str((1 << 30) + 1), "sha256": "1" * 64}
        assert device.post("/device/v1/backups", params=huge, content=b"x").status_code == 413
        for path in (f"/artifacts/{sha256(one).hexdigest()}/content", f"/artifacts/{'0' * 64}/content"):
            assert site.operator.http.get(path).status_code == 404, "as an artifact it is not given out"
        assert site.operator.http.delete(f"/artifacts/{sha256(one).hexdigest()}").status_code == 409
        public = b"an artifact of a person"
        site.operator.ok("POST", "/artifacts", content=public)
        assert send("9", public, 0, len(public)).json()["received"] == len(public)
        assert site.operator.http.get(f"/artifacts/{sha256(public).hexdigest()}/content").content == public
        for number in range(2, 6):
            assert send(str(number), b"%d" % number * 10, 0, 10).json()["received"] == 10
        assert listed() == ["5", "4", "3"]
        kept = site.operator.http.get(f"/artifacts/{sha256(public).hexdigest()}/content")
        assert kept.content == public, "what a person has uploaded does not go with a backup"
        assert site.operator.http.get(f"/artifacts/{sha256(one).hexdigest()}").status_code == 404, "old ones make room"


def test_a_tenant_takes_none_and_who_fetches_or_deletes_is_told(site: Site, tmp_path: Path) -> None:
    operator, server = site.operator, site.server
    token = operator.ok("POST", "/devices", json={"id": "asker", "hardware": "gateway"})["token"]
    data = b"age-encryption.org/v1 of the asker"
    whole = {
        "device": "asker",
        "name": "000001",
        "first": "0",
        "size": str(len(data)),
        "sha256": sha256(data).hexdigest(),
    }
    with httpx.Client(base_url=server.url, headers={"Authorization": f"TargetToken {token}"}, timeout=30) as device:

        def sent() -> httpx.Response:
            return device.post("/device/v1/backups", params=whole, content=data)

        server.otaru("tenant", "set", "--no-backups")
        asked = {name: whole[name] for name in ("device", "sha256")}
        for refused in (sent(), device.get("/device/v1/backups", params=asked)):
            assert (refused.status_code, refused.json()["code"]) == (403, "backups_off")
        server.otaru("tenant", "set", "--backups", "--backup-quota", "10B")
        assert sent().status_code == 413, "and they have a quota of their own"
        shown = operator.ok("GET", "/tenant")
        assert (shown["settings"]["backups"], shown["settings"]["backup_quota"]) == (True, 10)
        before = shown["backups_used"]
        server.otaru("tenant", "set", "--backup-quota", "50GiB")
        assert sent().json()["received"] == len(data)
    assert operator.ok("GET", "/tenant")["backups_used"] == before + len(data)
    file = tmp_path / "got.age"
    server.otaru("device", "fetch-backup", "asker", "000001", "-o", str(file))
    assert file.read_bytes() == data
    viewing = operator.ok("POST", "/tokens", json={"role": "viewer"})["token"]
    with httpx.Client(base_url=f"{server.url}/api/v1", headers={"Authorization": f"Bearer {viewing}"}) as viewer:
        assert viewer.get("/devices/asker/backups").json()["items"][0]["name"] == "000001"
        here = f"/devices/asker/backups/{whole['sha256']}"
        assert viewer.get(f"{here}/content").status_code == 403
        assert viewer.delete(here).status_code == 403
    server.otaru("device", "drop-backup", "asker", "000001")
    assert server.otaru("device", "drop-backup", "asker", "000001", check=False).returncode == 1
    assert operator.ok("GET", "/tenant")["backups_used"] == before
    told = [
        one for one in operator.ok("GET", "/events", params={"subject": "asker"})["items"] if "backup" in one["data"]
    ]
    assert [(one["data"]["to"], one["actor"].partition(":")[0]) for one in told] == [
        ("taken", "device"),
        ("fetched", "user"),
        ("deleted", "user"),
    ]
