"""Errands on the native road: our link, and whoever sends something else, against the real server."""

from datetime import timedelta
from hashlib import sha256
from threading import Thread
from typing import Any

import httpx
import pytest

from otaru.adapters.clock import SystemClock
from otaru.adapters.links.native import Credential, native_link
from otaru.domain.errand import MAX_PART, Monitoring, State, Went, What
from otaru.domain.ids import DEFAULT_TENANT, DeviceId
from otaru.domain.link import Told
from otaru.errors import InvalidInputError, NotFoundError, TooLargeError
from otaru.protocols.native.codec import Form
from tests.support.ddi import DdiDevice, Operator

DATA = bytes(range(256)) * 1200
DIGEST = sha256(DATA).hexdigest()


def ask(operator: Operator, device: DdiDevice, **body: Any) -> int:
    return int(operator.ok("POST", f"/devices/{device.id}/errands", json=body)["number"])


def credential(device: DdiDevice) -> Credential:
    return Credential.target(DeviceId(device.id), device.token)


@pytest.mark.parametrize("form", Form)
def test_errands_by_the_link(operator: Operator, device: DdiDevice, form: Form) -> None:
    who = (operator.server.url, DEFAULT_TENANT, DeviceId(device.id), credential(device), SystemClock())
    with native_link(*who, form=form) as link:
        assert link.poll().errands == ()
        one, two = ask(operator, device, what="diagnose"), ask(operator, device, what="run", name="restart")
        found = link.poll().errands
        assert [(e.number, e.what, e.name) for e in found] == [(one, What.DIAGNOSE, ""), (two, What.RUN, "restart")]
        assert all(e.expires_at is not None for e in found)
        with pytest.raises(NotFoundError):
            link.received(one)
        assert link.errands(
            [Went(one, State.TAKEN), Went(two, State.REFUSED, "consent", "nö"), Went(9, State.DONE)]
        ) == {
            one: State.TAKEN,
            two: State.REFUSED,
            9: None,
        }
        here = 0
        while here < len(DATA):
            assert link.received(one) == here
            here = link.send(one, here, DATA[here : here + MAX_PART], len(DATA), DIGEST)
        assert link.send(one, 0, DATA[:10], len(DATA), DIGEST) == len(DATA)
        assert link.errands([Went(one, State.DONE)]) == {one: State.DONE}
        assert link.poll().errands == ()
        with pytest.raises(TooLargeError):
            link.send(one, 0, b"x" * (MAX_PART + 1), len(DATA), DIGEST)
    got = operator.http.get(f"/devices/{device.id}/errands/{one}/diagnostics")
    assert got.content == DATA
    assert operator.ok("GET", f"/devices/{device.id}/errands/{two}")["output"] == "nö"


def test_a_waiting_poll_hears_of_an_errand_at_once(operator: Operator, device: DdiDevice) -> None:
    who = (operator.server.url, DEFAULT_TENANT, DeviceId(device.id), credential(device), SystemClock())
    told: list[Told] = []
    with native_link(*who) as link:
        link.poll()
        waiting = Thread(target=lambda: told.append(link.poll(timedelta(seconds=50))))
        waiting.start()
        number = ask(operator, device, what="reboot")
        waiting.join(40)
    assert [[(e.number, e.what) for e in one.errands] for one in told] == [[(number, What.REBOOT)]]


def test_what_a_tenant_says_of_telemetry_is_told(operator: Operator, device: DdiDevice) -> None:
    who = (operator.server.url, DEFAULT_TENANT, DeviceId(device.id), credential(device), SystemClock())
    with native_link(*who) as link:
        assert link.poll().monitoring is None
        operator.ok("PATCH", "/tenant", json={"settings": {"monitoring": {"period_s": 120, "off": ["load"]}}})
        try:
            assert link.poll().monitoring == Monitoring(timedelta(minutes=2), ("load",))
        finally:
            operator.ok("PATCH", "/tenant", json={"settings": {"monitoring": {}}})
        assert link.poll().monitoring is None


def test_a_group_says_more_than_its_tenant(operator: Operator, device: DdiDevice) -> None:
    who = (operator.server.url, DEFAULT_TENANT, DeviceId(device.id), credential(device), SystemClock())
    list_, query = f"list-{device.id}", f"query-{device.id}"
    operator.ok("POST", "/groups", json={"name": list_})
    operator.ok("POST", "/groups", json={"name": query, "query": f"id=={device.id}"})
    operator.ok("POST", f"/groups/{list_}/members", json={"devices": [device.id]})
    waits = ask(operator, device, what="reboot")
    try:
        with native_link(*who) as link:
            assert link.poll().monitoring is None
            operator.ok("PATCH", f"/groups/{query}/monitoring", json={"period_s": 600, "off": ["*"], "commands": False})
            assert link.poll().monitoring == Monitoring(timedelta(minutes=10), ("*",))
            operator.ok("PATCH", f"/groups/{list_}/monitoring", json={"off": ["load"]})
            assert link.poll().monitoring == Monitoring(timedelta(minutes=10), ("load",)), "a list comes before a query"
            events = operator.ok("GET", "/events", params={"newest": "true", "limit": 1})["items"]
            link.forget()
            assert link.poll() == link.poll()
            assert operator.ok("GET", "/events", params={"newest": "true", "limit": 1})["items"] == events
            assert operator.ok("GET", f"/devices/{device.id}/monitoring") == {
                "period_s": 600,
                "off": ["load"],
                "diagnostics": True,
                "commands": False,
                "said_by": {"period_s": query, "off": list_, "commands": query},
            }
            refused = operator.http.post(f"/devices/{device.id}/errands", json={"what": "reboot"})
            assert (refused.status_code, refused.json()["code"]) == (403, "refused")
            assert query in refused.json()["detail"]
            assert link.errands([Went(waits, State.TAKEN)]) == {waits: State.CANCELLED}, "also what waited"
            ask(operator, device, what="diagnose")
            assert operator.http.delete(f"/groups/{list_}").status_code == 409
            operator.ok("DELETE", f"/groups/{query}/monitoring")
            operator.ok("DELETE", f"/groups/{list_}/monitoring")
            assert link.poll().monitoring is None
            assert operator.http.delete(f"/groups/{list_}/monitoring").status_code == 404
    finally:
        for group in (list_, query):
            operator.http.delete(f"/groups/{group}/monitoring")
            operator.ok("DELETE", f"/groups/{group}")


def test_another_digest_is_refused_and_one_can_begin_anew(operator: Operator, device: DdiDevice) -> None:
    who = (operator.server.url, DEFAULT_TENANT, DeviceId(device.id), credential(device), SystemClock())
    number = ask(operator, device, what="diagnose")
    with native_link(*who) as link:
        link.errands([Went(number, State.TAKEN)])
        with pytest.raises(InvalidInputError):
            link.send(number, 0, DATA[:1000], 1000, DIGEST)
        assert link.received(number) == 0
        assert link.send(number, 0, DATA[:1000], 1000, sha256(DATA[:1000]).hexdigest()) == 1000


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("diagnostics?device={id}&errand=x&first=0&size=1&sha256={sha}", 400),
        ("diagnostics?device={id}&errand=1&first=-1&size=1&sha256={sha}", 400),
        ("diagnostics?device={id}&errand=1&first=0&size=99999999999&sha256={sha}", 400),
        ("diagnostics?device={id}&errand=1&first=0&size=9999999&sha256={sha}", 413),
        ("diagnostics?device={id}&errand=1&first=0&size=1&sha256=no", 400),
        ("diagnostics?device={id}&errand=1&first=0&size=1&sha256={sha}", 404),
        ("diagnostics?device={id}&errand=1&first=0&size=1&sha256={sha}&more=1", 400),
    ],
)
def test_what_makes_no_sense_is_refused(operator: Operator, device: DdiDevice, path: str, status: int) -> None:
    address = f"{operator.server.url}/device/v1/{path.format(id=device.id, sha='0' * 64)}"
    answer = httpx.post(address, content=b"x", headers={"Authorization": f"TargetToken {device.token}"})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "errands",
    [
        [],
        [{"number": 0, "state": "done"}],
        [{"number": 1, "state": "waiting"}],
        [{"number": 1, "state": "expired"}],
        [{"number": 1, "state": "done", "output": "x" * 16_385}],
        [{"number": 1, "state": "done", "code": "Not A Code"}],
        [{"number": 1, "state": "done"}] * 9,
        [{"number": 1, "state": "done", "by": "me"}],
    ],
)
def test_a_device_says_nothing_else(operator: Operator, device: DdiDevice, errands: list[dict[str, Any]]) -> None:
    address = f"{operator.server.url}/device/v1/errands?device={device.id}"
    headers = {"Authorization": f"TargetToken {device.token}"}
    assert httpx.post(address, json={"errands": errands}, headers=headers).status_code == 400


def test_one_device_hears_and_says_nothing_of_another(operator: Operator, device: DdiDevice) -> None:
    other = operator.device()
    number = ask(operator, device, what="run", name="x")
    who = (operator.server.url, DEFAULT_TENANT, DeviceId(other.id), credential(other), SystemClock())
    with native_link(*who) as link:
        assert link.poll().errands == ()
        assert link.errands([Went(number, State.TAKEN)]) == {number: None}
    assert operator.ok("GET", f"/devices/{device.id}/errands/{number}")["state"] == "waiting"
