import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru import errors
from otaru.apps.server.problems import problem, status_of
from otaru.errors import OtaruError

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, OtaruError)]
DOCS = Path(__file__).parents[4] / "docs" / "errors.md"


def headers_of(error: OtaruError) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in problem(error)[1]}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_the_status_that_the_docs_name(kind: type[OtaruError]) -> None:
    documented = dict(re.findall(r"^\| `([^`]+)` \| (\d+) \|", DOCS.read_text(), re.MULTILINE))
    assert status_of(kind)[0] == int(documented[kind.code])


def test_an_error_that_the_table_does_not_name_is_told_as_its_parent() -> None:
    class OddError(errors.NotFoundError):
        """Made up here."""

    assert problem(OddError("none"))[0] == 404


def test_the_object_has_the_members_of_rfc_9457_and_the_facts() -> None:
    status, headers, body = problem(errors.InvalidStateError("no", hint="wait", allowed=["stop"]), "r-1")
    assert status == 409
    assert json.loads(body) == {
        "type": "about:blank#invalid_state",
        "title": "Not in this state",
        "status": 409,
        "detail": "no",
        "code": "invalid_state",
        "hint": "wait",
        "allowed": ["stop"],
        "request_id": "r-1",
    }
    assert (b"content-length", str(len(body)).encode()) in headers
    assert (b"content-type", b"application/problem+json") in headers


def test_facts_cannot_stand_in_for_members() -> None:
    told = json.loads(problem(OtaruError("yes", status=200, code="fine", title="ok", request_id="x"))[2])
    assert (told["status"], told["code"], told["title"]) == (500, "internal", "Internal error")
    assert "request_id" not in told


@given(st.text(st.characters(), max_size=20), st.text(st.characters(), max_size=20))
def test_any_text_can_be_told(message: str, fact: str) -> None:
    body = problem(errors.InvalidInputError(message, hint=fact or None, found=fact))[2]
    assert json.loads(body)["detail"] == message
    assert json.loads(body)["found"] == fact


def test_headers_that_say_what_to_do() -> None:
    assert headers_of(errors.UnauthenticatedError("no"))["www-authenticate"] == 'Bearer realm="otaru"'
    road = errors.UnauthenticatedError("no", challenge="TargetToken")
    assert headers_of(road)["www-authenticate"] == "TargetToken"
    assert "challenge" not in json.loads(problem(road)[2])
    assert headers_of(errors.MethodNotAllowedError("no", allowed=["GET", "POST"]))["allow"] == "GET, POST"
    assert headers_of(errors.RangeNotSatisfiableError("no", size=7))["content-range"] == "bytes */7"
    assert headers_of(errors.OverloadedError("no"))["retry-after"] == "1"
    assert headers_of(errors.OverloadedError("no", retry_after_s=9))["retry-after"] == "9"
    assert headers_of(errors.UnavailableError("no"))["retry-after"] == "5"
    assert "retry-after" not in headers_of(errors.NotFoundError("no"))
