from otaru.apps.server.api.openapi import in_older_words


def older(schema: dict[str, object]) -> object:
    document = {"openapi": "3.1.0", "info": {"license": {"name": "x", "identifier": "x"}, "summary": "s"}, "x": schema}
    return in_older_words(document)["x"]


def test_what_3_1_says_is_said_in_3_0() -> None:
    assert older({"anyOf": [{"type": "string"}, {"type": "null"}]}) == {"type": "string", "nullable": True}
    assert older({"anyOf": [{"$ref": "#/a"}, {"type": "null"}]}) == {"anyOf": [{"$ref": "#/a"}], "nullable": True}
    assert older({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}) == {
        "anyOf": [{"type": "string"}, {"type": "integer"}],
        "nullable": True,
    }
    assert older({"type": "number", "exclusiveMinimum": 0}) == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
    }
    assert older({"const": "a"}) == {"enum": ["a"]}
    assert older({"examples": [1, 2], "propertyNames": {}}) == {"example": 1}
    assert older({"a": [{"examples": ["x"]}]}) == {"a": [{"example": "x"}]}


def test_the_document_is_left_as_it_was() -> None:
    schema: dict[str, object] = {"examples": [1]}
    older(schema)
    assert schema == {"examples": [1]}
