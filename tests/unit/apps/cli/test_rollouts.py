"""What `otaru rollout create` says will happen next."""

from json import loads
from typing import Any

import httpx
import pytest

from otaru.apps import cli
from otaru.apps.cli.client import Api
from otaru.apps.cli.printer import Printer
from otaru.apps.cli.progress import details, sections
from otaru.apps.cli.rollout_options import Wanted
from otaru.apps.cli.rollouts import create, plan

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


COURSE = {"told": 0, "failed": 0, "state": "running", "ended_s": None, "reason": "", "held": [], "step": 0.02}
PLAN = {
    "members": 2,
    "left_out": {},
    "canaries": 0,
    "first": ["a"],
    "volume": 1,
    "expected": COURSE | {"told_by_hour": []},
    "bad": COURSE,
    "unheard": 2,
    "install_s": None,
    "failure": None,
    "warnings": [],
    "segments": [],
    "waves": [],
}


@pytest.mark.parametrize(
    ("options", "proposed"),
    [
        ({}, {"shape": "adaptive", "judge": "sequential", "split": ["hardware", "version"]}),
        ({"waves": "1,100%"}, {"split": ["hardware", "version"]}),
        ({"continuous": True}, {"shape": "adaptive", "judge": "sequential"}),
        ({"judge": "rate", "rate": 5}, {"judge": "rate"}),
    ],
)
def test_a_plan_proposes_nothing_that_contradicts_what_was_said(
    options: dict[str, Any], proposed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(loads(request.content))
        return httpx.Response(200, json=PLAN)

    with Api("http://here:1", "t", transport=httpx.MockTransport(answer)) as api:
        plan(api, Printer(json=False), Wanted(release="app:2.0", target="id==*", **options), dry_run=True)
    (body,) = sent
    assert {name: body[name] for name in ("shape", "judge", "split") if name in body} == proposed
    assert "if bad    unknown: none" in capsys.readouterr().out, "nobody exposed would be good news, and is none"


def test_a_share_that_is_none_is_said_without_a_dry_run_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.run(["rollout", "plan", "--release", "app:2.0", "--target", "id==*", "--failure", "-5%", "--token", "t"])
        == 2
    )
    assert "'-5%' is not a share" in capsys.readouterr().err


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
