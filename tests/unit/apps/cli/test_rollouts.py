"""What `otaru rollout create` says will happen next."""

from typing import Any

import httpx
import pytest

from otaru.apps import cli
from otaru.apps.cli.client import Api
from otaru.apps.cli.printer import Printer
from otaru.apps.cli.progress import details, sections
from otaru.apps.cli.rollout_options import Wanted
from otaru.apps.cli.rollouts import create

MADE = {"id": 3, "product": "app", "version": "2.0", "state": "planned", "counts": {}, "waves": []}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, ". Start it: otaru rollout start 3\n"),
        ({"start_at": "2026-05-01T04:00:00.123Z"}, ". It starts by itself at 2026-05-01 04:00:00Z.\n"),
        ({"state": "running", "started_at": "2026-05-01T04:00:00Z"}, "no devices.\n"),
    ],
)
def test_it_says_what_starts_it(facts: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(201, json=MADE | facts))
    with Api("http://here:1", "t", transport=transport) as api:
        create(api, Printer(json=False), Wanted(release="app:2.0", target="id==*"))
    assert capsys.readouterr().out.endswith(said)


@pytest.mark.parametrize(("state", "why"), [("running", None), ("paused", "x"), ("stopped", "x"), ("finished", "x")])
def test_why_is_told_of_what_does_not_run(state: str, why: str | None) -> None:
    assert dict(details(MADE | {"state": state, "reason": "x"}))["why"] == why


@pytest.mark.parametrize("factor", ["inf", "nan", "1e9", "1"])
def test_a_factor_is_one_that_a_plan_can_have(factor: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rollout", "plan", "--release", "app:2.0", "--target", "id==*", "--shape", "exponential"]
    assert cli.run([*words, "--factor", factor]) == 2
    assert "--factor" in capsys.readouterr().err


def test_what_the_next_wave_waits_for_is_shown_and_the_present_verdict_before_what_is_kept() -> None:
    old: dict[str, object] = {
        "segment": None,
        "call": "hold",
        "e_value": 1,
        "threshold": 200,
        "failed": 0,
        "tried": 0,
        "at": "",
        "words": [],
    }
    new = old | {"call": "expand", "words": ["expand: nothing speaks against it", "0 of 40 failed"]}
    running = MADE | {
        "state": "running",
        "verdicts": [old],
        "present": [new],
        "waits_for": "Wave 2 of 3 opens",
        "waves": [],
    }
    assert dict(details(running | {"waits_until": None}))["waits"] == "Wave 2 of 3 opens"
    assert dict(details(running | {"waits_for": None, "waits_until": None}))["waits"] == ""
    titled = {title: items for title, items, _ in sections(running)}
    assert titled["Verdicts"] == [new]
    assert [line["words"] for line in titled["Why"]] == new["words"]
    assert {t: i for t, i, _ in sections(running | {"present": []})}["Verdicts"] == [old]
