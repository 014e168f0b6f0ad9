"""Numbers in addresses and headers: digits and nothing else, for every operation."""

from contextlib import nullcontext
from itertools import chain

import pytest
from fastapi._compat import ModelField
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from otaru.apps.server.api.models.fields import WholeNumber
from otaru.apps.server.api.routes import (
    artifacts,
    devices,
    events,
    fleet,
    keys,
    logs,
    releases,
    rollouts,
    tenants,
    tokens,
)

NOUNS = (artifacts, devices, events, fleet, keys, logs, releases, rollouts, tenants, tokens)


def test_no_operation_takes_a_number_in_another_form() -> None:
    found = set()
    for route in chain.from_iterable(noun.router.routes for noun in NOUNS):
        pending = [route.dependant]
        while pending:
            dependant = pending.pop()
            pending += dependant.dependencies
            field: ModelField
            for field in (*dependant.query_params, *dependant.path_params, *dependant.header_params):
                if field.validate("7", {}, loc=())[0] == 7:
                    found.add(field.alias)
                    for wrong in ("0_7", "+7", " 7", "7 ", "\u0667"):
                        assert field.validate(wrong, {}, loc=())[1], f"{route.path}: {field.alias}={wrong!r}"
    assert {"limit", "days", "rollout", "action", "Upload-Offset"} <= found


NUMBER = TypeAdapter(WholeNumber)


@given(st.integers())
def test_a_number_is_taken_as_it_is_written(number: int) -> None:
    assert NUMBER.validate_python(str(number)) == number


@given(st.from_regex(r"\s*[+-]?\w+\s*", fullmatch=True))
def test_what_python_takes_besides_is_none(text: str) -> None:
    plain = text.isascii() and text.removeprefix("-").isdigit()
    with nullcontext() if plain else pytest.raises(ValidationError):
        NUMBER.validate_python(text)
