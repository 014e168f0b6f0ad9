"""Every event has words, whatever facts it carries."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.console.happening import GROUPS, Told, told
from otaru.apps.console.status import Tone
from otaru.domain.deployment import State
from otaru.domain.events import Happening, Kind, Position
from otaru.domain.ids import TenantId
from otaru.domain.rollout import RolloutState
from otaru.ports.store import Recorded

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def of(kind: Kind, subject: str = "gw-1", data: Mapping[str, Any] | None = None, actor: str = "user:ann") -> Told:
    return told(Recorded(Position(0, 7), Happening(TenantId("T"), NOW, actor, kind, subject, data or {})))


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_words_without_any_fact(kind: Kind) -> None:
    said = of(kind, "3")
    assert said.words
    assert said.subject.words
    assert (said.position, said.at, said.who) == ("0-7", NOW, "ann")


FACTS = ("from", "to", "event", "reason", "notes", "moved", "size", "kind", "label", "changed", "rollout", "members")
VALUES = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.booleans(),
    st.lists(st.text(max_size=4) | st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


@given(
    kind=st.sampled_from(Kind), data=st.dictionaries(st.sampled_from(FACTS), VALUES), actor=st.text(), subject=st.text()
)
def test_strange_facts_break_no_page(kind: Kind, data: dict[str, Any], actor: str, subject: str) -> None:
    assert of(kind, subject, data, actor).sentence


def test_every_kind_is_in_one_group() -> None:
    kinds = [kind for _, kinds in GROUPS.values() for kind in kinds]
    assert sorted(kinds) == sorted(Kind)


@pytest.mark.parametrize("state", State)
def test_every_step_of_a_device_has_words(state: State) -> None:
    said = of(Kind.DEPLOYMENT_MOVED, data={"rollout": 3, "to": str(state), "attempt": 2})
    assert said.about is not None
    assert said.about.address == "/rollouts/3"
    assert said.facts == ("attempt 2",)


def test_a_failure_is_told_with_its_reason_by_the_device() -> None:
    data = {"rollout": 3, "attempt": 1, "from": "installing", "to": "failed", "reason": "not enough space"}
    said = of(Kind.DEPLOYMENT_MOVED, "gw 1/x", data, "device:gw 1/x")
    assert said.sentence == "gw 1/x failed in rollout 3: not enough space"
    assert (said.tone, said.who, said.subject.address) == (Tone.FAILED, "the device", "/devices/gw%201%2Fx")


def test_a_rollout_that_paused_says_why_and_one_that_goes_on_that_it_resumed() -> None:
    data = {"from": "running", "to": "paused", "notes": ["paused: wave 1: 3 of 9 failed"]}
    said = of(Kind.ROLLOUT_MOVED, "3", {**data, "reason": "wave 1: 3 of 9 failed"}, "judge")
    assert said.sentence == "Rollout 3 paused: wave 1: 3 of 9 failed"
    assert (said.tone, said.who) == (Tone.HELD, "the rollout's rule")
    assert of(Kind.ROLLOUT_MOVED, "3", {"from": "paused", "to": "running"}).words == "resumed"
    assert of(Kind.ROLLOUT_MOVED, "3", {"from": "planned", "to": "running"}).words == "started"


@pytest.mark.parametrize("state", RolloutState)
def test_every_state_of_a_rollout_has_words(state: RolloutState) -> None:
    said = of(Kind.ROLLOUT_MOVED, "3", {"from": "?", "to": str(state), "moved": {"cancel_open": 1200}})
    assert said.facts == ("1,200 told to cancel",)


def test_a_token_without_a_label_is_told_by_its_role_and_the_beginning_of_its_id() -> None:
    token = "01a1fe6f-5bbb-7000-8000-0123456789ab"
    opened = of(Kind.TOKEN_CREATED, "s1", {"kind": "session", "role": "admin", "token": token}, f"user:admin {token}")
    assert (opened.sentence, opened.who) == ("Session of token 01a1fe6f was opened (admin)", "admin 01a1fe6f")
    assert of(Kind.RELEASE_CREATED, "app:1", actor=f"user:{token}").who == "01a1fe6f"


def test_names_are_told_as_they_are() -> None:
    said = of(Kind.DEVICE_ATTRIBUTES, data={"changed": ["hw_model"]})
    assert said.sentence == "gw-1 reported other attributes (hw_model)"


def test_a_release_leads_to_its_page_and_a_token_to_none() -> None:
    assert of(Kind.RELEASE_MOVED, "app:1.2", {"to": "withdrawn"}).subject.address == "/releases/app/1.2"
    made = of(Kind.TOKEN_CREATED, "t1", {"kind": "api", "role": "viewer", "label": "ci"})
    assert made.sentence == "API token “ci” was made (viewer)"
    assert made.subject.address == ""
