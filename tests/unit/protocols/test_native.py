"""The native road's maps: what one end says, the other hears, in both forms; what is out of bounds is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.deployment import Event, State
from otaru.domain.device import Merge
from otaru.domain.ids import ActionId
from otaru.domain.link import SPOKEN, Answer, Batch, Heard, Note, Told
from otaru.errors import InvalidInputError
from otaru.protocols.native import codec, wire
from otaru.protocols.native.codec import Form, form_of, wanted_form
from tests.support import native

forms = st.sampled_from(Form)
NOTE: dict[str, Any] = {"id": "a-1", "action": 7, "event": "fail", "code": "target_digest", "text": ["others"]}
FILE: dict[str, Any] = {
    "component": "app",
    "hardware": "board",
    "filename": "a.bin",
    "size": 4,
    "sha256": "0" * 64,
    "installer": "file",
    "addresses": ["https://o/a"],
}
OFFER: dict[str, Any] = {
    "action": 7,
    "rollout": 1,
    "product": "app",
    "version": "1.1.0",
    "type": "software",
    "files": [FILE],
    "urgency": "forced",
}


def packed(value: object, form: Form) -> bytes:
    return msgspec.json.encode(value) if form is Form.JSON else msgspec.msgpack.encode(value)


@given(native.tolds, native.heards, forms)
def test_what_is_due_is_heard_as_it_is_told(told: Told, heard: list[Heard], form: Form) -> None:
    assert codec.read_told(codec.told(told, form, heard), form) == (told, heard)
    assert codec.read_told(codec.told(told, form), form) == (told, [])


@given(native.batches, forms)
def test_notes_are_heard_as_they_are_said(batch: Batch, form: Form) -> None:
    assert codec.read_batch(codec.batch(batch, form), form) == batch


@given(native.heards, forms)
def test_what_became_of_notes_is_heard(heard: list[Heard], form: Form) -> None:
    assert codec.read_kept(codec.kept(heard, form), form) == heard


@given(native.actions, st.sampled_from(Answer), native.moments, native.words, forms)
def test_an_owners_answer_is_heard(action: ActionId, answer: Answer, until: datetime, reason: str, form: Form) -> None:
    when = until if answer is Answer.POSTPONE else None
    body = codec.decision(action, answer, when, reason, form)
    assert codec.read_decision(body, form) == (action, answer, when, reason)


@given(st.sampled_from(State), forms)
def test_where_an_action_is_is_heard(state: State, form: Form) -> None:
    assert codec.read_decided(codec.decided(state, form), form) is state


@given(st.dictionaries(native.names, native.words, max_size=3), st.sampled_from(Merge), forms)
def test_a_description_is_heard(attributes: dict[str, str], mode: Merge, form: Form) -> None:
    assert codec.read_description(codec.description(attributes, mode, form), form) == (attributes, mode)


@given(native.tolds)
def test_both_forms_hold_the_same_maps(told: Told) -> None:
    assert msgspec.json.decode(codec.told(told, Form.JSON)) == msgspec.msgpack.decode(codec.told(told, Form.MSGPACK))


@given(st.binary(max_size=200), forms)
def test_any_bytes_are_read_or_refused(body: bytes, form: Form) -> None:
    for read in (codec.read_told, codec.read_batch, codec.read_kept, codec.read_decision, codec.read_description):
        try:
            read(body, form)
        except InvalidInputError:
            continue


def test_what_a_device_does_not_know_it_ignores() -> None:
    told, _ = codec.read_told(b'{"poll_after_s": 60, "weather": {"wind": 3}}', Form.JSON)
    assert told == Told(timedelta(seconds=60))


@pytest.mark.parametrize("form", Form)
def test_a_slip_of_a_device_shows(form: Form) -> None:
    with pytest.raises(InvalidInputError, match="colour"):
        codec.read_batch(packed({"notes": [{**NOTE, "colour": 1}]}, form), form)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": "a b"},
        {"id": "a" * 65},
        {"id": "a\n"},
        {"action": 0},
        {"action": 2**31},
        {"event": "offer"},
        {"event": "consent"},
        {"code": "Not A Code"},
        {"text": ["x"] * (wire.MAX_LINES + 1)},
        {"text": ["x" * 4097]},
        {"at": "2026-05-01T04:00:00"},
        {"at": "yesterday"},
        {"progress": {"done": -1, "of": 2}},
        {"progress": {"done": 1}},
    ],
)
@pytest.mark.parametrize("form", Form)
def test_a_note_out_of_bounds_is_refused(wrong: dict[str, Any], form: Form) -> None:
    codec.read_batch(packed({"notes": [NOTE]}, form), form)
    with pytest.raises(InvalidInputError):
        codec.read_batch(packed({"notes": [{**NOTE, **wrong}]}, form), form)


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": -1},
        {"product": "../up"},
        {"version": ""},
        {"files": []},
        {"files": [{**FILE, "addresses": []}]},
        {"files": [{**FILE, "sha256": "0" * 63}]},
        {"files": [{**FILE, "sha256": "0" * 64 + "\n"}]},
        {"files": [{**FILE, "size": -1}]},
        {"files": [FILE] * (wire.MAX_FILES + 1)},
        {"type": "surprise"},
        {"urgency": "maybe"},
        {"forced_at": "soon"},
        {"validate_s": wire.LONGEST_S + 1},
        {"notes": "x" * (wire.MAX_RELEASE_NOTES + 1)},
    ],
)
@pytest.mark.parametrize("form", Form)
def test_an_offer_out_of_bounds_is_refused(wrong: dict[str, Any], form: Form) -> None:
    codec.read_told(packed({"poll_after_s": 1, "offer": OFFER}, form), form)
    with pytest.raises(InvalidInputError):
        codec.read_told(packed({"poll_after_s": 1, "offer": {**OFFER, **wrong}}, form), form)


def test_a_batch_has_a_bound() -> None:
    notes = tuple(Note(str(number), ActionId(1)) for number in range(101))
    codec.read_batch(codec.batch(Batch(notes[:100]), Form.JSON), Form.JSON)
    with pytest.raises(InvalidInputError):
        codec.read_batch(codec.batch(Batch(notes), Form.JSON), Form.JSON)


@pytest.mark.parametrize("event", Event)
def test_a_device_says_what_is_a_devices_to_say(event: Event) -> None:
    body = packed({"notes": [{**NOTE, "event": event}]}, Form.JSON)
    if event in SPOKEN:
        assert codec.read_batch(body, Form.JSON).notes[0].event is event
    else:
        with pytest.raises(InvalidInputError):
            codec.read_batch(body, Form.JSON)


@pytest.mark.parametrize("answer", Answer)
def test_only_who_postpones_says_until_when(answer: Answer) -> None:
    until = datetime(2026, 5, 1, tzinfo=UTC)
    wrong = None if answer is Answer.POSTPONE else until
    with pytest.raises(InvalidInputError, match="until when"):
        codec.read_decision(codec.decision(ActionId(1), answer, wrong, "", Form.JSON), Form.JSON)


@pytest.mark.parametrize(
    ("named", "form"),
    [
        (None, Form.JSON),
        ("application/json; charset=utf-8", Form.JSON),
        ("Application/MsgPack", Form.MSGPACK),
        ("application/x-msgpack", Form.MSGPACK),
        ("application/vnd.msgpack", Form.MSGPACK),
    ],
)
def test_forms_are_known_by_their_media_types(named: str | None, form: Form) -> None:
    assert form_of(named) is form
    assert wanted_form(named) is form


def test_another_form_is_refused_and_json_is_what_anybody_takes() -> None:
    with pytest.raises(InvalidInputError):
        form_of("text/xml")
    assert wanted_form("text/html, */*") is Form.JSON
    assert wanted_form("application/json;q=0.5, application/msgpack") is Form.MSGPACK
