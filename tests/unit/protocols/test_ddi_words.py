"""What a device's words mean on our tables, and when two reports are one."""

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.deployment import DEPLOYMENT, Event, State
from otaru.protocols.ddi import server
from otaru.protocols.ddi.words import (
    STATUS,
    Answer,
    Channel,
    Execution,
    Feedback,
    Finished,
    consent_event,
    digest,
    event,
)

feedbacks = st.builds(
    Feedback,
    execution=st.sampled_from(Execution),
    finished=st.sampled_from(Finished),
    messages=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3).map(tuple),
    code=st.none() | st.integers(),
    progress=st.none() | st.tuples(st.integers(), st.integers()),
    device_time=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)


@pytest.mark.parametrize(("channel", "execution", "finished"), list(product(Channel, Execution, Finished)))
def test_every_word_has_a_meaning(channel: Channel, execution: Execution, finished: Finished) -> None:
    event(channel, Feedback(execution, finished))


@pytest.mark.parametrize(
    ("channel", "execution", "finished", "meaning"),
    [
        (Channel.DEPLOYMENT, "proceeding", "none", Event.INSTALL),
        (Channel.DEPLOYMENT, "scheduled", "none", Event.INSTALL),
        (Channel.DEPLOYMENT, "resumed", "none", Event.INSTALL),
        (Channel.DEPLOYMENT, "download", "none", Event.DOWNLOAD),
        (Channel.DEPLOYMENT, "downloaded", "none", Event.DOWNLOAD_DONE),
        (Channel.DEPLOYMENT, "closed", "success", Event.SUCCEED),
        (Channel.DEPLOYMENT, "closed", "none", Event.SUCCEED),
        (Channel.DEPLOYMENT, "closed", "failure", Event.FAIL),
        (Channel.DEPLOYMENT, "canceled", "none", Event.CANCEL_DONE),
        (Channel.DEPLOYMENT, "rejected", "none", Event.REFUSE),
        # Only `closed` ends an action, whatever stands in `finished`.
        (Channel.DEPLOYMENT, "proceeding", "success", Event.INSTALL),
        (Channel.DEPLOYMENT, "proceeding", "failure", Event.INSTALL),
        (Channel.CANCEL, "closed", "success", Event.CANCEL_DONE),
        (Channel.CANCEL, "closed", "none", Event.CANCEL_DONE),
        (Channel.CANCEL, "closed", "failure", Event.CANCEL_REFUSED),
        (Channel.CANCEL, "rejected", "none", Event.CANCEL_REFUSED),
        (Channel.CANCEL, "proceeding", "none", None),
        (Channel.CANCEL, "canceled", "success", None),
    ],
)
def test_meanings_are_hawkbits(channel: Channel, execution: str, finished: str, meaning: Event | None) -> None:
    assert event(channel, Feedback(Execution(execution), Finished(finished))) is meaning


def test_a_denied_deployment_may_be_confirmed_later() -> None:
    denied = DEPLOYMENT.next(State.AWAITING_CONSENT, consent_event(Answer.DENIED))
    assert denied is not None
    assert DEPLOYMENT.next(denied, consent_event(Answer.CONFIRMED)) is State.OFFERED


def test_every_state_has_a_name_in_the_history() -> None:
    assert set(STATUS) == set(State)


@given(st.sampled_from(Channel), feedbacks, st.sampled_from(Channel), feedbacks)
def test_two_reports_are_one_only_where_they_say_the_same(a: Channel, x: Feedback, b: Channel, y: Feedback) -> None:
    assert (digest(a, x) == digest(b, y)) == ((a, x) == (b, y))


def test_the_shape_of_the_json_does_not_matter() -> None:
    status = {"execution": "closed", "result": {"finished": "success"}, "details": ["a", "b"]}
    bodies = [
        json.dumps({"id": 1, "time": "t", "status": status}),
        json.dumps({"status": dict(reversed(status.items())), "time": "t", "id": "1", "more": []}, indent=3),
    ]
    one, other = (digest(Channel.DEPLOYMENT, server.feedback(b.encode())) for b in bodies)
    assert one == other


def test_messages_are_not_run_together() -> None:
    def said(*messages: str) -> bytes:
        return digest(Channel.DEPLOYMENT, Feedback(Execution.CLOSED, Finished.NONE, messages))

    assert said("a", "b") != said("ab") != said("a", "", "b")
