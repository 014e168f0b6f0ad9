"""What a server, or something in front of it, answers instead of what was asked for."""

import json
from typing import Any

import pytest

from otaru import errors
from otaru.apps.cli.exits import Exit, exit_code
from otaru.apps.cli.problems import BY_CODE, problem
from otaru.errors import OtaruError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OtaruError)]


def told(status: int, body: dict[str, Any], **headers: str) -> OtaruError:
    kind = {"content-type": "application/problem+json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return problem(status, kind, json.dumps(body).encode(), "http://here")


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.code)
def test_every_error_of_ours_comes_back_as_itself(kind: type[OtaruError]) -> None:
    error = told(400, {"code": kind.code, "detail": "so it is", "hint": "do this", "status": 400, "limit": 7})
    assert type(error) is kind
    assert (error.message, error.hint, error.facts) == ("so it is", "do this", {"limit": 7})
    assert exit_code(error) in Exit


def test_codes_are_unique() -> None:
    assert len(BY_CODE) == len(KINDS)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidInputError, 2),
        (errors.QuerySyntaxError, 2),
        (errors.RefusedError, 4),
        (errors.ForbiddenError, 4),
        (errors.NotFoundError, 1),
        (errors.InvalidStateError, 1),
        (errors.UnavailableError, 1),
    ],
)
def test_exit_codes(kind: type[OtaruError], code: int) -> None:
    assert exit_code(kind("x")) == code


def test_a_code_of_a_newer_server_is_taken_by_its_status() -> None:
    error = told(404, {"code": "lost_in_space", "title": "Not Found"})
    assert type(error) is errors.NotFoundError
    assert error.message == "Not Found"


def test_facts_that_are_words_of_ours_do_no_harm() -> None:
    assert told(409, {"code": "invalid_state", "detail": "d", "message": "m", "self": 1}).message == "d"


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'"x"', b"", b"\xff"])
@pytest.mark.parametrize("kind", ["application/problem+json", "text/html"])
def test_what_is_no_problem_document_still_makes_one_line(body: bytes, kind: str) -> None:
    error = problem(502, {"content-type": kind}, body, "http://here")
    assert isinstance(error, errors.UnavailableError)
    assert "http://here" in error.message
    assert "502" in error.message


def test_a_redirect_is_told_and_not_followed() -> None:
    assert "https://other" in problem(301, {"location": "https://other"}, b"", "http://here").message


def test_retry_after_is_kept_and_bounded() -> None:
    body = {"code": "overloaded", "detail": "full"}
    assert told(503, body, retry_after="3").facts["retry_after_s"] == 3
    assert told(503, body, retry_after="99999999").facts["retry_after_s"] == 3600
    assert "retry_after_s" not in told(503, body, retry_after="tomorrow").facts
