"""Scenario files: told at virtual time over the real store, rules and worker, and over HTTP to a real server."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.server import Serving, otaru, serving

STORY = """
until = "3d"
[fleet]
devices = 200
seed = 5
hardware = "gw:r1=3,gw:r2=1"
base_failure = "1%"
[[bad]]
hardware = "r2"
share = "90%"
[rollout]
waves = ["20", "100%"]
success = 0.9
error = 0.1
on_error = "stop"
"""

# Who is drawn, and who asks first, is up to chance: of a first wave of forty twenty go bad, and eleven stop it when as many
# have taken it; and nobody fails by bad luck, who would have the way back wait for a person.
BROUGHT_BACK = """
until = "1d"
[fleet]
devices = 60
hardware = "gw:r1=1,gw:r2=1"
base_failure = 0
[[bad]]
hardware = "r2"
share = "100%"
[rollout]
waves = ["40", "100%"]
success = 0.9
error = 0.25
on_error = "rollback"
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.toml"
    path.write_text(STORY)
    return path


def told(scenario: Path, *words: str) -> dict[str, Any]:
    said = otaru("simulate", "--virtual", "--scenario", str(scenario), "--json", *words)
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_a_bad_revision_stops_its_rollout_and_the_same_seed_tells_it_again(scenario: Path, tmp_path: Path) -> None:
    first = told(scenario, "--report", str(tmp_path / "report"))
    assert (first["devices"], first["state"]) == (200, "stopped"), first["reason"]
    assert 0 < first["exposed"] <= 20, "only the first wave met the bad release"
    assert first["counts"]["cancelled"] >= 180
    assert told(scenario) == first
    assert json.loads((tmp_path / "report" / "story.json").read_text()) == first
    picture = ET.parse(tmp_path / "report" / "story.svg").getroot()
    assert len(picture.findall("{http://www.w3.org/2000/svg}polyline")) == 4


def test_a_good_release_reaches_everybody(scenario: Path) -> None:
    scenario.write_text(STORY.replace("90%", "0%"))
    good = told(scenario)
    assert (good["state"], good["exposed"]) == ("finished", 0)
    assert good["hours_to"]["90%"] is not None
    assert sum(good["counts"].values()) == 200


LATER = (
    STORY.replace("90%", "0%")
    + 'download_only = true\ninstall_at = "2026-01-06T00:00:00Z"\n'  # a day after the beginning
)


def test_what_is_downloaded_first_is_installed_from_its_moment_on(scenario: Path) -> None:
    scenario.write_text(LATER)
    later = told(scenario)
    assert later["state"] == "finished"
    assert later["counts"]["succeeded"] > 190
    assert later["hours_to"]["50%"] >= 24
    scenario.write_text(LATER.replace("install_at", "expires_in_s = 86400 #"))
    never = told(scenario)
    assert (never["state"], never["reason"]) == ("finished", "expired")
    assert never["counts"].get("succeeded", 0) == 0
    assert never["counts"]["skipped"] > 190, "who has downloaded and was never told to install is not silent"


CRASHES = """
until = "5d"
[fleet]
devices = 120
seed = 5
base_failure = 0
crash_every = "90d"
telemetry_loss = "10%"
[[bad]]
share = "60%"
kind = "crash"
every = "10m"
[rollout]
waves = ["20", "100%"]
error = 0.1
validate_s = 7200
on_error = "rollback"
"""


def test_a_release_that_crashes_fails_its_trials_and_is_rolled_back(scenario: Path) -> None:
    scenario.write_text(CRASHES)
    bad = told(scenario)
    assert bad["state"] == "stopped"
    assert 0 < bad["exposed"] <= 20, "nobody beyond the first wave"
    assert bad["crashes"] > 0
    assert 0 < bad["brought_back"] <= 20
    assert bad["counts"]["failed"] > 2
    assert bad["hours"] < 48, "the story ends when they are back"
    scenario.write_text(CRASHES.replace("60%", "0%"))
    good = told(scenario)
    assert (good["state"], good["brought_back"]) == ("finished", 0)
    assert good["counts"]["succeeded"] > 110


def test_crashes_are_refused_over_http(scenario: Path) -> None:
    scenario.write_text(CRASHES)
    said = otaru("simulate", "--scenario", str(scenario), check=False)
    assert (said.returncode, "virtual" in said.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [("devices = 1", "devices"), ("[rollout]\nwaves = ['0']", "wave"), ("[rollout]\ncolour = 1", "colour")],
)
def test_nonsense_is_refused_in_one_line(scenario: Path, text: str, words: str) -> None:
    scenario.write_text(text)
    said = otaru("simulate", "--virtual", "--scenario", str(scenario), check=False)
    assert said.returncode == 2
    assert words in said.stderr
    assert "Traceback" not in said.stderr


def test_what_the_file_says_is_no_option(scenario: Path) -> None:
    words = ("--scenario", str(scenario), "--prefix", "hs-", "--fail-hardware", "r2=50%")
    for beside in ((), ("--virtual",)):
        said = otaru("simulate", *words, *beside, check=False)
        assert said.returncode == 2
        assert said.stderr.startswith("otaru: with --scenario the file says it, not --fail-hardware, --prefix")


def test_the_same_file_drives_devices_over_http(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(STORY.replace("devices = 200", "devices = 20").replace("90%", "0%"))
    with serving(tmp_path / "data") as server:
        _roll_out(server, tmp_path)
        words = ("--scenario", str(scenario), "--speed", "10000", "--until", "finished", "--json")
        said = server.otaru("simulate", *words)
        assert json.loads(said.stdout)["outcomes"]["succeeded"] >= 18


def test_a_scenario_is_told_over_http_to_a_server_whose_clock_runs_as_fast(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(BROUGHT_BACK)
    report = tmp_path / "report"
    words = ("--scenario", str(scenario), "--served", "--speed", "2000", "--report", str(report), "--json")
    first = json.loads(otaru("simulate", *words).stdout)
    assert (first["devices"], first["state"]) == (60, "stopped"), first["reason"]
    assert 10 < first["exposed"] <= first["met"] <= 40, "only the first wave met the bad release"
    assert set(first["troubles"]) <= {"not_found"}, "some ask for what was called off in that moment"
    assert 0 < first["brought_back"] == first["counts"]["succeeded"]
    marks = first["marks"]
    assert marks["met"] <= marks["harmed"] <= marks["stopped"] <= marks["last brought back"] <= first["hours"]
    assert json.loads((report / "story.json").read_text()) == first
    assert (report / "story.svg").exists()


def test_a_story_is_told_one_way(scenario: Path) -> None:
    for words in (("--virtual", "--served"), ("--served", "--scenario", str(scenario), "--virtual"), ("--served",)):
        said = otaru("simulate", *words, check=False)
        assert (said.returncode, "--scenario" in said.stderr) == (2, True)


def test_the_data_of_a_story_stay_for_a_server_to_show(scenario: Path, tmp_path: Path) -> None:
    data = tmp_path / "kept"
    story = told(scenario, "--data", str(data))
    with serving(data) as server, server.api() as api:
        shown = api.get("/rollouts/1").json()
    assert (shown["state"], shown["counts"]) == (story["state"], story["counts"])
    again = otaru("simulate", "--virtual", "--scenario", str(scenario), "--data", str(data), check=False)
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)
    for words in ((), ("--served", "--scenario", str(scenario))):
        said = otaru("simulate", *words, "--data", str(tmp_path / "other"), check=False)
        assert (said.returncode, "--data goes with --virtual" in said.stderr) == (2, True)


def _roll_out(server: Serving, folder: Path) -> None:
    image = folder / "image.bin"
    image.write_bytes(b"firmware" * 100)
    hardware = ("--hardware", "gw:r1", "--hardware", "gw:r2")
    server.otaru("release", "add", str(image), "--name", "firmware", "--version", "2.0.0", *hardware)
    for number in range(1, 21):
        server.otaru("device", "add", f"sim-{number}", "--hardware", "gw:r1")
    server.otaru("rollout", "create", "--release", "firmware:2.0.0", "--target", "id==sim-*", "--start")


DRAINS = """
until = "66h"
[fleet]
devices = 150
seed = 5
base_failure = 0
telemetry = true
telemetry_loss = "5%"
[[checkin]]
every = "2h"
[[bad]]
share = "100%"
kind = "drain"
by = 80
[rollout]
judge = "sequential"
waves = ["70", "100%"]
start = false
start_at = "2026-01-06T00:00:00Z"
"""


def test_a_release_that_only_drains_batteries_is_held_by_its_telemetry(scenario: Path) -> None:
    scenario.write_text(DRAINS)
    bad = told(scenario)
    assert bad["state"] == "paused"
    assert bad["reason"].startswith("wave 1: after it had passed: worse than tolerated: 0 of 70 failed")
    assert bad["exposed"] == 70, "the second wave never opened"
    scenario.write_text(DRAINS.replace("100%", "0%", 1))
    good = told(scenario)
    assert (good["state"], good["exposed"]) == ("finished", 0)
