"""Releases of several components on the DDI road: chunks for clients that take several, nothing for all others."""

from collections.abc import Callable

import pytest

from tests.support.ddi import DdiDevice, Operator

PAYLOADS = {"os": b"an os" * 100, "app": b"an app" * 50}


def bring(operator: Operator, name: str, version: str = "2.0.0", **files: str) -> str:
    parts = []
    for component, payload in PAYLOADS.items():
        filename = files.get(component, f"{component}.bin")
        blob = operator.ok("POST", "/artifacts", params={"filename": filename}, content=payload)
        told = {"sha256": blob["sha256"], "filename": filename, "hardware": ["pair"], "component": component}
        parts.append(told)
    operator.ok("POST", "/releases", json={"product": name, "version": version, "artifacts": parts})
    return f"{name}:{version}"


@pytest.fixture
def device(operator: Operator, settings: Callable[..., None]) -> DdiDevice:
    """One whose client takes several files."""
    settings(several=["pair"])
    return operator.device("pair")


def test_each_component_is_a_chunk_in_the_order_of_the_release(operator: Operator, device: DdiDevice) -> None:
    rollout = operator.rollout(device, bring(operator, "pair-1"))
    action = device.action()
    chunks = device.get(f"deploymentBase/{action}").json()["deployment"]["chunks"]
    assert [(c["part"], c["name"], c["version"]) for c in chunks] == [("os", name, "2.0.0") for name in PAYLOADS]
    for chunk, payload in zip(chunks, PAYLOADS.values(), strict=True):
        (file,) = chunk["artifacts"]
        assert device.get(file["_links"]["download"]["href"]).content == payload
        assert file["hashes"]["md5"] in device.get(file["_links"]["md5sum"]["href"]).text
    listed = device.get(f"softwaremodules/{action}/artifacts").json()
    assert [file["filename"] for file in listed] == ["os.bin", "app.bin"]
    assert device.get(f"softwaremodules/{action}/artifacts/file").status_code == 404, "which of them?"
    device.say(action, "closed", "success")
    assert {one["component"]: one["version"] for one in operator.seen(device)["installed"]} == {
        "os": "2.0.0",
        "app": "2.0.0",
    }
    assert operator.ok("GET", f"/rollouts/{rollout}")["counts"]["succeeded"] == 1
    shown = device.get(f"installedBase/{action}").json()["deployment"]["chunks"]
    assert [chunk["name"] for chunk in shown] == ["os", "app"]


def test_long_names_keep_their_whole_path(operator: Operator, device: DdiDevice) -> None:
    names = {"os": f"{'o' * 200}.bin", "app": f"{'a' * 200}.bin"}
    operator.rollout(device, bring(operator, "pair-long", **names))
    told = device.get(device.links()["deploymentBase"]).json()["deployment"]["chunks"]
    hrefs = [chunk["artifacts"][0]["_links"]["download"]["href"] for chunk in told]
    assert [device.get(href).content for href in hrefs] == list(PAYLOADS.values())


def test_who_has_one_is_brought_the_other(operator: Operator, device: DdiDevice) -> None:
    operator.ok("PATCH", f"/devices/{device.id}", json={"installed": {"os": "2.0.0"}})
    operator.rollout(device, bring(operator, "pair-2"))
    action = device.action()
    (chunk,) = device.get(f"deploymentBase/{action}").json()["deployment"]["chunks"]
    assert chunk["name"] == "app"
    device.say(action, "closed", "success")
    assert len(operator.seen(device)["installed"]) == 2


def test_a_failure_of_one_installs_none(operator: Operator, device: DdiDevice) -> None:
    operator.rollout(device, bring(operator, "pair-3"))
    device.say(device.action(), "closed", "failure", "the app did not fit")
    assert operator.seen(device)["installed"] == []
    assert operator.state(device) == "failed"


def test_what_it_declares_to_run_is_all_of_it(operator: Operator, device: DdiDevice) -> None:
    bring(operator, "pair-4")
    said = device.request("PUT", "installedBase", json={"name": "pair-4", "version": "2.0.0"})
    assert said.status_code == 200
    assert {one["component"] for one in operator.seen(device)["installed"]} == {"os", "app"}


def test_a_client_of_one_file_is_not_told_and_why_says_so(operator: Operator) -> None:
    device = operator.device("pair")
    operator.rollout(device, bring(operator, "pair-5"))
    assert "deploymentBase" not in device.links()
    (answer,) = operator.ok("GET", f"/devices/{device.id}/why")["answers"]
    assert "brings os and app together: a DDI client is not told of it" in answer["because"]
    assert operator.state(device) == "idle"
