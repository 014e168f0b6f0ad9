"""Deltas by REST, command line and console, made by the server's own worker; and patches of files on this machine."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from otaru.domain.access import Role
from otaru.images.delta import patch
from tests.support.api import OTHER, Apis, fresh, problem, uploaded
from tests.support.command import call
from tests.support.images import Watched

BASE = random.Random(7).randbytes(60_000)


def content(version: str, product: str = "") -> bytes:
    return BASE[:30_000] + version.encode() * 20 + BASE[30_000:] + product.encode()


def a_release(api: httpx.Client, product: str, version: str, data: bytes | None = None) -> str:
    sha256 = uploaded(api, content(version, product) if data is None else data)
    artifacts = [{"sha256": sha256, "filename": "app.bin", "hardware": ["rpi4"], "component": product}]
    made = api.post("/releases", json={"product": product, "version": version, "artifacts": artifacts})
    assert made.status_code == 201, made.text
    return sha256


def listed(api: httpx.Client, product: str, version: str) -> list[dict[str, Any]]:
    answer = api.get(f"/releases/{product}/{version}/deltas")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_a_delta_is_made_by_hand_listed_and_leads_there(served: Apis, api: httpx.Client) -> None:
    product = fresh("delta")
    old, new = (a_release(api, product, version) for version in ("1.0", "1.1"))
    assert listed(api, product, "1.1") == []
    done = call(served.server, "delta", "make", f"{product}:1.1", "--from", "1.0", "--wait", "2m", "--json")
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)["items"]
    assert items == listed(api, product, "1.1")
    assert {item["codec"] for item in items} == {"sequential-lzma", "sequential-heatshrink"}
    source, target = (content(version, product) for version in ("1.0", "1.1"))
    for item in items:
        assert (item["state"], item["from_version"], item["reason"]) == ("made", "1.0", None)
        assert (item["from_sha256"], item["to_sha256"]) == (old, new)
        raw = api.get(f"/artifacts/{item['patch_sha256']}/content").content
        assert len(raw) == item["size"] < 0.6 * item["full_size"]
        assert item["share"] == round(item["size"] / item["full_size"], 4)
        assert b"".join(patch.apply(Watched(raw), Watched(source), item["memory"], 1 << 20)) == target
    told = call(served.server, "delta", "list", f"{product}:1.1")
    assert "sequential-heatshrink" in told.stdout
    first = api.get(f"/releases/{product}/1.1/deltas", params={"limit": 1}).json()
    rest = api.get(f"/releases/{product}/1.1/deltas", params={"cursor": first["next"]}).json()
    assert [*first["items"], *rest["items"]] == items
    again = call(served.server, "delta", "make", f"{product}:1.1", "--from", "1.0")
    assert (again.returncode, "2 of 2" in again.stdout) == (0, True)
    problem(api.delete(f"/artifacts/{items[0]['patch_sha256']}"), 409, "invalid_state")


def test_a_delta_that_does_not_help_says_why(served: Apis, api: httpx.Client) -> None:
    product = fresh("delta")
    a_release(api, product, "1.0")
    a_release(api, product, "1.1", random.Random(8).randbytes(9_000))
    done = call(served.server, "delta", "make", f"{product}:1.1", "--from", "1.0", "--wait", "2m")
    assert done.returncode == 3, done.stderr
    assert "60 %" in call(served.server, "delta", "list", f"{product}:1.1").stdout
    with served.visitor() as visitor:
        assert "would not be smaller" in visitor.get(f"/releases/{product}/1.1").text


def test_other_tenants_see_and_order_none(api: httpx.Client, other: httpx.Client, served: Apis) -> None:
    product = fresh("delta")
    for version in ("1.0", "1.1"):
        a_release(api, product, version)
    here = f"/releases/{product}/1.1/deltas"
    problem(other.get(here), 404, "not_found")
    problem(other.post(here, json={"from": "1.0"}), 404, "not_found")
    assert listed(api, product, "1.1") == []
    with served.client(Role.VIEWER) as viewer:
        problem(viewer.post(here, json={"from": "1.0"}), 403, "forbidden")
    with served.client(Role.ADMIN, OTHER) as theirs:
        for version in ("1.0", "1.1"):
            a_release(theirs, product, version)
        assert call(served.server, "delta", "make", f"{product}:1.1", "--from", "1.0", "--wait", "2m").returncode == 0
        assert listed(theirs, product, "1.1") == []
        patch_sha256 = listed(api, product, "1.1")[0]["patch_sha256"]
        problem(theirs.get(f"/artifacts/{patch_sha256}/content"), 404, "not_found")


def test_wrong_orders_are_refused(api: httpx.Client) -> None:
    product = fresh("delta")
    for version in ("1.0", "9.0"):
        a_release(api, product, version)
    here = f"/releases/{product}/9.0/deltas"
    problem(api.post(here, json={"from": "0.5"}), 404, "not_found")
    problem(api.post(here, json={"from": "1.0"}), 400, "invalid_input")
    problem(api.post(here, json={}), 400, "invalid_input")
    problem(api.get(here, params={"cursor": "x"}), 400, "invalid_input")


def test_the_console_shows_them(served: Apis, api: httpx.Client) -> None:
    product = fresh("delta")
    for version in ("1.0", "1.1"):
        a_release(api, product, version)
    with served.visitor() as visitor:
        assert 'id="deltas"' not in visitor.get(f"/releases/{product}/1.1").text
        assert call(served.server, "delta", "make", f"{product}:1.1", "--from", "1.0", "--wait", "2m").returncode == 0
        page = visitor.get(f"/releases/{product}/1.1").text
        item = listed(api, product, "1.1")[0]
        assert f'href="/releases/{product}/1.0"' in page
        assert f"{item['size']:,} bytes" in page
        assert f"{100 * item['share']:.1f} %" in page
        events = visitor.get("/events").text
        assert "deltas were ordered" in events
        assert "a delta was made" in events


@pytest.mark.parametrize("codec", [(), ("--codec", "zstd-patch", "--window", "2MiB"), ("--codec", "rdiff-zstd")])
def test_patches_of_files_are_made_and_applied_here(tmp_path: Path, codec: tuple[str, ...]) -> None:
    old, new, made, out = (tmp_path / name for name in ("old", "new", "made", "out"))
    old.write_bytes(content("1.0"))
    new.write_bytes(content("1.1"))
    done = call(None, "delta", "diff", str(old), str(new), str(made), *codec, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["size"] == made.stat().st_size < 2_000
    done = call(None, "delta", "apply", str(old), str(made), str(out), "--json")
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == new.read_bytes()
    assert json.loads(done.stdout)["sha256"] == hashlib.sha256(new.read_bytes()).hexdigest()


def test_a_patch_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    old, new, made, out = (tmp_path / name for name in ("old", "new", "made", "out"))
    old.write_bytes(content("1.0"))
    new.write_bytes(content("1.1"))
    assert call(None, "delta", "diff", str(old), str(new), str(made)).returncode == 0
    for words, why in (
        ((str(new), str(made)), "another file"),
        ((str(old), str(old)), "does not begin"),
        ((str(old), str(made), "--memory", "1KiB"), "bytes of memory"),
        ((str(old), str(made), "--largest", "1KiB"), "longer than"),
    ):
        done = call(None, "delta", "apply", *words[:2], str(out), *words[2:])
        assert (done.returncode, why in done.stderr) == (1, True), done.stderr
    done = call(None, "delta", "diff", str(old), str(tmp_path / "none"), str(out))
    assert done.returncode == 2
    done = call(None, "delta", "diff", str(old), str(new), str(out), "--codec", "zstd-patch", "--window", "1KiB")
    assert (done.returncode, "a window has" in done.stderr) == (2, True)
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new", "made"}
