"""The record as server-sent events."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from otaru.apps.server.api.stream import MAX_OF_TENANT, MAX_OF_TOKEN, MAX_STREAMS
from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT
from tests.support.api import MATRIX, OTHER, added, apis, problem
from tests.support.ddi import eventually

PATIENCE = httpx.Timeout(30)


class Reader:
    """A stream, read by a thread."""

    def __init__(self, response: httpx.Response) -> None:
        self.frames: list[dict[str, str]] = []
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(response,))
        self._thread.start()

    def _read(self, response: httpx.Response) -> None:
        frame: dict[str, str] = {}
        try:
            for line in response.iter_lines():
                if line:
                    name, _, value = line.partition(":")
                    frame[name] = value.removeprefix(" ")
                else:
                    self.frames.append(frame)
                    frame = {}
        except (
            httpx.ReadError,
            httpx.StreamClosed,
            httpx.RemoteProtocolError,
            httpx.ReadTimeout,
            ValueError,
            AttributeError,
        ):
            pass  # closed under us at the end of the test
        finally:
            self.ended.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(frame["data"]) for frame in self.frames if "data" in frame]

    def join(self) -> None:
        self._thread.join(30)


@contextmanager
def following(api: httpx.Client, **options: Any) -> Iterator[Reader]:
    with api.stream("GET", "/events/stream", timeout=PATIENCE, **options) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        reader = Reader(response)
        eventually(lambda: reader.frames)  # the first frame says how soon to come back
        try:
            yield reader
        finally:
            if not reader.ended.is_set():
                stream: Any = response.extensions["network_stream"]
                stream.get_extra_info("socket").shutdown(2)
            reader.join()


def test_what_happens_is_told_as_it_happens(api: httpx.Client) -> None:
    with following(api) as reader:
        devices = [added(api) for _ in range(3)]
        seen = eventually(lambda: [e for e in reader.events if e["subject"] in devices][2:] and reader.events)
    told = [e for e in seen if e["subject"] in devices]
    assert [e["subject"] for e in told] == devices
    assert {e["kind"] for e in told} == {"device.added"}
    listed = api.get("/events", params={"subject": devices[0]}).json()["items"]
    assert told[0] == listed[0]
    frame = next(f for f in reader.frames if json.loads(f.get("data", "{}")) == told[0])
    assert (frame["id"], frame["event"]) == (told[0]["id"], "device.added")


def test_a_client_that_comes_back_misses_nothing(api: httpx.Client) -> None:
    first = added(api)
    position = api.get("/events", params={"subject": first}).json()["items"][0]["id"]
    missed = [added(api) for _ in range(5)]
    with following(api, headers={"Last-Event-ID": position}) as reader:
        eventually(lambda: len([e for e in reader.events if e["subject"] in missed]) == 5)
        assert first not in {e["subject"] for e in reader.events}
    with following(api, params={"after": position, "subject": missed[3]}) as reader:
        eventually(lambda: reader.events)
        assert {e["subject"] for e in reader.events} == {missed[3]}


def test_a_stream_holds_nothing_of_another_tenant(api: httpx.Client, other: httpx.Client) -> None:
    with following(other, params={"after": "0-0"}) as reader:
        device = added(api)
        mine = other.post("/tokens", json={"role": "viewer"}).json()["id"]
        eventually(lambda: mine in {e["subject"] for e in reader.events})
        assert device not in {e["subject"] for e in reader.events}
        assert {e["kind"].partition(".")[0] for e in reader.events} <= {"token", "tenant"}


def test_a_position_that_is_none(api: httpx.Client) -> None:
    problem(api.get("/events/stream", headers={"Last-Event-ID": "yesterday"}), 400, "invalid_input")


def took(api: httpx.Client, secret: str) -> httpx.Response:
    """A stream of the token, open where it was granted."""
    headers = {"Authorization": f"Bearer {secret}"}
    answer = api.send(api.build_request("GET", "/events/stream", headers=headers), stream=True)
    if answer.status_code != 200:
        answer.read()
    return answer


def full(answer: httpx.Response, whose: str) -> None:
    told = problem(answer, 503, "overloaded")
    assert told["detail"] == f"{whose} are open already"
    assert answer.headers["retry-after"] == "5"


def test_streams_are_bounded(tmp_path: Path) -> None:
    with apis(tmp_path / "data") as running:
        secrets = []
        for tenant in (DEFAULT_TENANT, OTHER):
            with running.client(tenant=tenant) as admin:
                made = [
                    admin.post("/tokens", json={"role": "viewer"}).json()
                    for _ in range(1 + MAX_OF_TENANT // MAX_OF_TOKEN)
                ]
            secrets.append([token["token"] for token in made])
        (*mine, spare), (*others, _) = secrets
        with running.client(limits=httpx.Limits(max_connections=MAX_STREAMS + 10)) as api:
            opened = [took(api, mine[0]) for _ in range(MAX_OF_TOKEN)]
            full(took(api, mine[0]), f"{MAX_OF_TOKEN} streams of this token or session")
            opened += [took(api, secret) for secret in mine[1:] for _ in range(MAX_OF_TOKEN)]
            full(took(api, spare), f"{MAX_OF_TENANT} streams of this tenant")
            opened += [took(api, secret) for secret in others for _ in range(MAX_OF_TOKEN)]
            assert {o.status_code for o in opened} == {200}
            assert len(opened) == MAX_STREAMS
            stranger = running.secrets[MATRIX, Role.VIEWER]
            full(took(api, stranger), f"{MAX_STREAMS} streams of all tenants together")
            opened.pop(0).close()

            def placed(secret: str) -> bool:
                answer = took(api, secret)
                answer.close()
                return answer.status_code == 200

            for secret in (stranger, spare, mine[0]):
                eventually(partial(placed, secret))
            for answer in opened:
                answer.close()


def test_streams_end_with_the_server(tmp_path: Path) -> None:
    with apis(tmp_path / "data") as running, running.client() as api, following(api) as reader:
        assert running.server.stop() == 0
        assert reader.ended.wait(10)


def test_a_position_that_no_store_can_hold_is_refused(api: httpx.Client) -> None:
    for place in ("9223372036854775808-0", "0-9223372036854775808"):
        problem(api.get("/events", params={"after": place}), 400, "invalid_input")
        problem(api.get("/events/stream", headers={"Last-Event-ID": place}), 400, "invalid_input")
    furthest = f"{2**63 - 1}-{2**63 - 1}"
    assert api.get("/events", params={"after": furthest}).json()["items"] == []
