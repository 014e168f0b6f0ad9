"""Both ends of the wire mean the same."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.device import Merge
from otaru.domain.ids import ActionId
from otaru.errors import InvalidInputError
from otaru.protocols.ddi import device, server
from otaru.protocols.ddi.words import (
    Answer,
    Attributes,
    Consent,
    Deployment,
    Execution,
    Feedback,
    File,
    Finished,
    Handling,
    History,
    Links,
    Root,
    Window,
)

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
hrefs = st.none() | words
actions = st.integers(1, 2**31 - 1).map(ActionId)
files = st.builds(File, words, words, words, words, st.integers(0, 2**40), words)
deployments = st.builds(
    Deployment,
    actions,
    st.sampled_from(Handling),
    st.sampled_from(Handling),
    words,
    words,
    words,
    files,
    st.none() | st.sampled_from(Window),
    st.none() | st.builds(History, words, st.lists(words, max_size=3).map(tuple)),
    st.lists(words, max_size=3).map(tuple),
)


@given(st.integers(1, 24 * 3600 - 1), st.builds(Links, hrefs, hrefs, hrefs, hrefs, hrefs))
def test_root(seconds: int, links: Links) -> None:
    polling = timedelta(seconds=seconds)
    assert device.root(server.root(polling, links)) == Root(polling, links)


@given(deployments)
def test_deployment(told: Deployment) -> None:
    if told.part == "bApp":
        told = replace(told, conditions=())  # Zephyr is not told
    assert device.deployment(server.deployment(told)) == told
    assert device.confirmation(server.confirmation(told)) == told


@given(actions)
def test_cancel(action: ActionId) -> None:
    assert device.cancel(server.cancel(action)) == action


@given(
    actions,
    st.builds(
        Feedback,
        st.sampled_from(Execution),
        st.sampled_from(Finished),
        st.lists(words, max_size=4).map(tuple),
        st.none() | st.integers(-(2**31), 2**31),
        st.none() | st.tuples(st.integers(0, 2**31), st.integers(0, 2**31)),
        words,
    ),
)
def test_feedback(action: ActionId, said: Feedback) -> None:
    assert server.feedback(device.feedback(action, said)) == said


@given(st.dictionaries(words, words), st.sampled_from(Merge))
def test_attributes(data: dict[str, str], mode: Merge) -> None:
    assert server.attributes(device.attributes(data, mode)) == Attributes(data, mode)


@given(st.sampled_from(Answer), st.lists(words, max_size=4).map(tuple))
def test_consent(answer: Answer, messages: tuple[str, ...]) -> None:
    assert server.consent(device.consent(Consent(answer, messages))) == Consent(answer, messages)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"config":{"polling":{"sleep":"5"}}}',
        b'{"config":{"polling":{"sleep":"00:00:1"}}}',
        b'{"config":{"polling":{"sleep":"aa:bb:cc"}}}',
    ],
)
def test_a_bad_root_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        device.root(body)


@pytest.mark.parametrize("id_", ["a1b2", "", "0", "-1", "2147483648", "٣", "1" * 5000])
def test_an_id_that_a_client_cannot_hold_is_refused(id_: str) -> None:
    with pytest.raises(InvalidInputError):
        device.cancel(f'{{"id": "1", "cancelAction": {{"stopId": "{id_}"}}}}'.encode())
