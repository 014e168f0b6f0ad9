"""What `otaru device` asks and says."""

import httpx
import pytest

from otaru.apps.cli.client import Api
from otaru.apps.cli.devices import update
from otaru.apps.cli.printer import Printer
from otaru.errors import NotFoundError

PROBLEM = {"Content-Type": "application/problem+json"}


def test_a_device_that_is_not_there_is_named() -> None:
    def answer(asked: httpx.Request) -> httpx.Response:
        if asked.method == "GET":
            return httpx.Response(
                404, headers=PROBLEM, json={"code": "not_found", "detail": "there is no device dev-9"}
            )
        return httpx.Response(422, headers=PROBLEM, json={"code": "nothing_to_do", "detail": "no device in it"})

    with (
        Api("http://here:1", "t", transport=httpx.MockTransport(answer)) as api,
        pytest.raises(NotFoundError, match="no device dev-9"),
    ):
        update(api, Printer(json=False), "dev-9", "app:2.0")
