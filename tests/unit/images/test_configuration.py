"""Configuration documents: what their schemas say is held, and what no schema of ours says is refused."""

import json
from contextlib import suppress
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.images import admission, recognise
from otaru.images.configuration import MAX_SIZE, Document, pack, unpack
from otaru.images.facts import Format
from otaru.images.reading import BrokenImageError
from otaru.images.schema import KEYWORDS, check, check_schema
from tests.support.images import Watched, look

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["port"],
    "additionalProperties": False,
    "properties": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}, "name": {"maxLength": 8}},
}


def test_documents_come_out_as_they_went_in() -> None:
    documents = (
        Document("app.toml", "# ours\nport = 80\n", SCHEMA),
        Document("a.json", '{"x":  1}'),
        Document("motd", "ä\r\n"),
    )
    packed = pack(documents)
    assert unpack(packed) == documents
    found = look(packed)
    assert found.format is Format.CONFIGURATION
    assert [(part.name, part.size, part.kind) for part in found.payloads] == [
        ("app.toml", 17, "toml, by a schema"),
        ("a.json", 9, "json"),
        ("motd", 4, "text"),
    ]
    assert admission.installer(found, "file") == "config"


def test_a_file_made_by_hand_is_known_too() -> None:
    text = '\n { "otaru" : "configuration", "documents": [{"name": "motd", "text": "hi"}] }'
    assert unpack(text.encode()) == (Document("motd", "hi"),)
    assert recognise.recognise(Watched(text.encode())) is Format.CONFIGURATION


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (Document("app.toml", "port = 0", SCHEMA), "app.toml: at /port: 0 is less than 1"),
        (Document("app.toml", 'port = "80"', SCHEMA), "app.toml: at /port: it is not of the type integer"),
        (Document("app.toml", "", SCHEMA), "app.toml: at /: 'port' is missing"),
        (Document("app.toml", "port = 1\nprot = 2", SCHEMA), "app.toml: at /prot: it is not allowed there"),
        (Document("app.toml", "port = 1\nport = 2", SCHEMA), "app.toml is no TOML: "),
        (Document("app.toml", "port = 1979-05-27", SCHEMA), "a date or a time"),
        (Document("app.json", '{"port": 1, "port": 2}', SCHEMA), "app.json has a name twice"),
        (Document("app.json", '{"port": NaN}', SCHEMA), "app.json holds NaN"),
        (Document("app.json", "[" * 100_000), "app.json is no JSON"),
        (Document("app.json", "{}", {"pattern": "(a+)+$"}), "the schema of app.json: at /: the keyword 'pattern' is not known"),
        (Document("app.json", "{}", {"items": {"minimum": "1"}}), "at /items: it has a wrong minimum"),
        (Document("app.json", "{}", {"properties": {"a": 1}}), "at /properties/a: it is no schema"),
        (Document("app.conf", "x", {"type": "object"}), "app.conf has a schema, and is neither JSON nor TOML"),
        (Document("../app.json", "{}"), "is no document's name"),
        (Document("app.json.new", "{}"), "is no document's name"),
        (Document(".signed", "{}"), "is no document's name"),
        (Document("big.conf", "x" * MAX_SIZE), f"at most {MAX_SIZE}"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(document: Document, said: str) -> None:
    with pytest.raises(BrokenImageError) as caught:
        pack([document])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "told",
    [
        b'{"otaru": "configuration"}',
        b'{"otaru": "configuration", "documents": []}',
        b'{"otaru": "configuration", "documents": [], "more": 1}',
        b'{"otaru": "configuration", "documents": [{"name": "a"}]}',
        b'{"otaru": "configuration", "documents": [{"name": "a", "text": 1}]}',
        b'{"otaru": "configuration", "documents": [{"name": "a", "text": "\\ud800"}]}',
        b'{"otaru": "configuration", "documents": [{"name": "a", "text": "", "schema": null}]}',
        b'{"otaru": "configuration", "documents": [{"name": "a", "text": "", "mode": 7}]}',
        json.dumps({"otaru": "configuration", "documents": [{"name": "a", "text": ""}] * 2}).encode(),
        json.dumps(
            {"otaru": "configuration", "documents": [{"name": f"a{n}", "text": ""} for n in range(65)]}
        ).encode(),
        b'{"otaru": "configuration", "documents": "\xff"}',
    ],
)
def test_what_is_no_configuration_is_refused(told: bytes) -> None:
    with pytest.raises(BrokenImageError):
        look(told)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.sampled_from([0.5, 1.0, -3.0]) | st.sampled_from(["", "a", "ab", "äöü"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
BOUND = st.integers(-5, 5) | st.sampled_from([0.5, 1.0])
NAMES = ("null", "boolean", "object", "array", "number", "integer", "string")
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.booleans()
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(NAMES) | st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            "minimum": BOUND,
            "maximum": BOUND,
            "exclusiveMinimum": BOUND,
            "exclusiveMaximum": BOUND,
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(0, 3),
            "minItems": st.integers(0, 3),
            "maxItems": st.integers(0, 3),
            "title": st.just("of no weight"),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            "additionalProperties": inner,
            "items": inner,
        },
    ),
    max_leaves=5,
)


def test_every_keyword_is_compared_below() -> None:
    compared = {"type", "enum", "const", "required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    compared |= {"minLength", "maxLength", "minItems", "maxItems", "properties", "additionalProperties", "items"}
    assert compared == KEYWORDS


@settings(max_examples=200, deadline=None)
@given(VALUES, SCHEMAS)
def test_a_value_fits_where_another_implementation_says_so(value: object, schema: Any) -> None:
    check_schema(schema)
    fits = jsonschema_rs.validator_for(schema).is_valid(value)
    try:
        check(value, schema)
    except BrokenImageError:
        assert not fits
    else:
        assert fits


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200).map(lambda data: b'{"otaru":"configuration","documents":[' + data), st.text(max_size=100)
)
def test_whatever_comes_is_read_or_refused(data: bytes, text: str) -> None:
    for told in (
        data,
        json.dumps({"otaru": "configuration", "documents": [{"name": "a.toml", "text": text}]}).encode(),
    ):
        with suppress(BrokenImageError):  # whose words `test_bounds` looks at
            assert look(told).format is Format.CONFIGURATION
