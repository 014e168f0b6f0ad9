"""`/device/v1/…` as a stranger's device uses it: plain requests, none of our own codecs."""

import threading
import time
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from otaru.adapters.clock import SystemClock
from tests.support.ddi import DdiDevice, Operator, eventually

ROAD = "/device/v1"
MSGPACK = "application/msgpack"


class Native:
    """A device by its own requests."""

    def __init__(self, operator: Operator, **more: Any) -> None:
        self.operator = operator
        self.ddi: DdiDevice = operator.device(**more)
        self.id = self.ddi.id
        self._notes = 0

    def ask(self, method: str, what: str, query: str = "", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"TargetToken {self.ddi.token}", **options.pop("headers", {})}
        return self.ddi.http.request(method, f"{ROAD}/{what}?device={self.id}{query}", headers=headers, **options)

    def poll(self, query: str = "", tag: str = "", **options: Any) -> httpx.Response:
        headers = {**({"If-None-Match": tag} if tag else {}), **options.pop("headers", {})}
        return self.ask("GET", "poll", query, headers=headers, **options)

    def offer(self) -> Any:
        told = self.poll().json()
        return told.get("offer")

    def say(self, action: int, event: str | None = None, **more: Any) -> Any:
        self._notes += 1
        note = {"id": f"n{self._notes}", "action": action, **({"event": event} if event else {}), **more}
        answer = self.ask("POST", "reports", json={"notes": [note]})
        assert answer.status_code == 200, answer.text
        return answer.json()["notes"][0]["state"]

    def decide(self, action: int, answer: str, **more: Any) -> httpx.Response:
        return self.ask("POST", "consent", json={"action": action, "answer": answer, **more})


@pytest.fixture
def native(operator: Operator) -> Native:
    device = Native(operator)
    assert device.ask("POST", "attributes", json={"attributes": {}}).status_code == 204
    return device


def rollout(native: Native, **policy: Any) -> int:
    return native.operator.rollout(native.ddi, **policy)


def others_are_served(native: Native) -> None:
    """Requests after another one that waits: the server has come to that one, most likely; if not, nothing is wrong."""
    for _ in range(20):
        native.ddi.get()


def test_nothing_is_due_and_it_is_said_once(native: Native) -> None:
    first = native.poll()
    assert (first.status_code, first.json()) == (200, {"poll_after_s": 300})
    assert first.headers["Retry-After"] == "300"
    again = native.poll(tag=first.headers["ETag"])
    assert (again.status_code, again.content, again.headers["Retry-After"]) == (304, b"", "300")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_a_new_device_is_asked_what_it_is(operator: Operator) -> None:
    device = Native(operator)
    assert device.poll().json()["describe"] is True
    assert device.ask("POST", "attributes", json={"attributes": {"site": "A"}}).status_code == 204
    assert "describe" not in device.poll().json()
    assert operator.seen(device.ddi)["attributes"] == {"site": "A"}


def test_an_update_from_the_offer_to_its_success(native: Native) -> None:
    payload = bytes(range(256)) * 64
    release = native.operator.release(payload, product="walk", version="2.0.0", filename="w.bin")
    number = rollout(native, release=release)
    offer = native.offer()
    (file,) = offer["files"]
    assert (offer["product"], offer["version"], offer["rollout"], offer["urgency"]) == (
        "walk",
        "2.0.0",
        number,
        "forced",
    )
    assert (file["size"], file["component"], file["installer"]) == (len(payload), "walk", "file")
    headers = {"Authorization": f"TargetToken {native.ddi.token}", "Range": "bytes=16000-"}
    part = native.ddi.http.get(file["addresses"][-1], headers=headers)
    assert (part.status_code, part.content) == (206, payload[16000:])
    assert native.say(offer["action"], "download", progress={"done": 0, "of": len(payload)}) == "downloading"
    assert native.say(offer["action"], "download_done") == "downloaded"
    assert native.say(offer["action"], progress={"done": 10, "of": 100}) == "downloaded"
    assert native.offer() == offer, "what is due is told until it is done"
    assert native.say(offer["action"], "install") == "installing"
    assert native.say(offer["action"], "reboot") == "rebooting"
    assert native.say(offer["action"], "succeed") == "succeeded"
    assert native.offer() is None
    seen = native.operator.seen(native.ddi)
    assert [(i["component"], i["version"], i["confirmed"]) for i in seen["installed"]] == [("walk", "2.0.0", True)]


def test_a_refusal_names_its_code(native: Native) -> None:
    rollout(native)
    action = native.offer()["action"]
    assert native.say(action, "fail", code="target_digest", text=["read 8 of 8", "others than were signed"]) == "failed"
    seen = native.operator.seen(native.ddi)
    assert seen["history"][0]["reason"] == "target_digest: others than were signed"


def test_a_note_counts_once_however_often_it_is_sent(native: Native) -> None:
    number = rollout(native)
    action = native.offer()["action"]
    assert native.say(action, "install") == "installing"
    native.operator.cancel(native.ddi, number)
    no = {"id": "no-1", "action": action, "event": "cancel_refused", "text": ["too late"]}
    for _ in range(3):
        answer = native.ask("POST", "reports", json={"notes": [no, no]})
        assert [one["state"] for one in answer.json()["notes"]] == ["installing"] * 2
    native.operator.cancel(native.ddi, number)
    assert native.poll().json()["cancel"] == action
    assert native.ask("POST", "reports", json={"notes": [no]}).json()["notes"][0]["state"] == "cancelling"
    reports = native.operator.ok("GET", f"/devices/{native.id}/actions/{action}/reports")["items"]
    assert [one["execution"] for one in reports].count("cancel_refused") == 1
    assert native.say(action, "cancel_done") == "cancelled"
    assert "cancel" not in native.poll().json()


def test_what_came_at_once_is_shown_in_the_order_in_which_it_was_said(native: Native) -> None:
    rollout(native)
    action = native.offer()["action"]
    steps = ["download", "download_done", "install", "reboot", "succeed"]
    words = [{"id": f"w-{n}", "action": action, "text": [f"word {n}"]} for n in range(5)]
    notes = [*words, *({"id": step, "action": action, "event": step} for step in steps)]
    assert native.ask("POST", "reports", json={"notes": notes}).json()["notes"][-1]["state"] == "succeeded"
    reports = native.operator.ok("GET", f"/devices/{native.id}/actions/{action}/reports")["items"]
    assert [one["event"] for one in reversed(reports)][-10:] == [None] * 5 + steps
    assert [one["messages"] for one in reversed(reports)][-10:-5] == [[f"word {n}"] for n in range(5)]


def test_notes_of_an_unknown_action_are_not_asked_for_again(native: Native) -> None:
    rollout(native)
    action = native.offer()["action"]
    notes = [{"id": "a", "action": 2_000_000, "event": "fail"}, {"id": "b", "action": action, "event": "install"}]
    answer = native.ask("POST", "reports", json={"notes": notes})
    assert answer.json() == {"notes": [{"id": "a", "state": None}, {"id": "b", "state": "installing"}]}


def test_what_runs_is_said_beside_notes(native: Native) -> None:
    body: dict[str, Any] = {"installed": {"boot": "1.0", "app": "7"}}
    assert native.ask("POST", "reports", json=body).json() == {"notes": []}
    edition = native.operator.seen(native.ddi)["edition"]
    assert native.ask("POST", "reports", json=body).status_code == 200
    seen = native.operator.seen(native.ddi)
    assert {i["component"]: i["version"] for i in seen["installed"]} == body["installed"]
    assert seen["edition"] == edition, "the same again is no change"


def test_notes_and_the_poll_in_one_request(native: Native) -> None:
    rollout(native)
    action = native.offer()["action"]
    body = {"notes": [{"id": "x", "action": action, "event": "succeed"}], "installed": {"boot": "1"}}
    answer = native.ask("POST", "poll", json=body)
    assert answer.json() == {"poll_after_s": 300, "notes": [{"id": "x", "state": "succeeded"}], "describe": True}


def test_the_same_in_messagepack(native: Native) -> None:
    rollout(native)
    told = native.poll(headers={"Accept": MSGPACK})
    assert told.headers["Content-Type"] == MSGPACK
    assert msgspec.msgpack.decode(told.content)["offer"] == native.offer()
    action = msgspec.msgpack.decode(told.content)["offer"]["action"]
    body = msgspec.msgpack.encode({"notes": [{"id": "x", "action": action, "event": "install"}]})
    answer = native.ask("POST", "reports", content=body, headers={"Content-Type": MSGPACK})
    assert answer.headers["Content-Type"] == MSGPACK, "as it was spoken to"
    assert msgspec.msgpack.decode(answer.content) == {"notes": [{"id": "x", "state": "installing"}]}
    assert native.poll(tag=told.headers["ETag"]).status_code == 200, "another form is another answer"


def test_the_owner_is_asked(native: Native) -> None:
    rollout(native, consent=True, consent_deadline_s=30 * 86_400)
    offer = native.offer()
    asked = offer["consent"]
    assert (asked["state"], asked["postponements"], asked["longest_s"]) == ("asked", 3, 7 * 86_400)
    assert asked["automatic_at"].endswith("Z")
    action = offer["action"]
    until = (SystemClock().now() + timedelta(hours=2)).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    for _ in range(3):
        assert native.decide(action, "postpone", until=until).json() == {"state": "postponed"}
    put_off = native.offer()["consent"]
    assert (put_off["state"], put_off["until"], put_off["postponements"]) == ("postponed", until, 2)
    too_far = (SystemClock().now() + timedelta(days=30)).isoformat()
    refused = native.decide(action, "postpone", until=too_far)
    assert (refused.status_code, refused.json()["code"]) == (403, "postponed_enough")
    for _ in range(2):
        assert native.decide(action, "approve").json() == {"state": "offered"}
    assert native.offer()["consent"] == {"state": "given"}
    assert native.decide(action, "postpone", until=until).status_code == 409
    assert native.decide(action + 1, "approve").status_code == 404


def test_the_owner_says_no(native: Native) -> None:
    rollout(native, consent=True)
    action = native.offer()["action"]
    assert native.decide(action, "reject", reason="not in my house").json() == {"state": "rejected"}
    assert native.offer() is None
    assert (
        native.operator.seen(native.ddi)["history"][0]["reason"] == f"rejected by device:{native.id}: not in my house"
    )


def test_a_long_poll_is_answered_when_something_becomes_due(native: Native) -> None:
    tag = native.poll().headers["ETag"]
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(native.poll("&wait=60", tag)))
    began = time.monotonic()
    asking.start()
    others_are_served(native)
    assert not answers
    rollout(native)
    asking.join(timeout=30)
    assert answers[0].json()["offer"]["product"]
    assert time.monotonic() - began < 50, "it was woken, it did not wait to the end"


def test_a_long_poll_ends_with_nothing_new(native: Native) -> None:
    tag = native.poll().headers["ETag"]
    answer = native.poll("&wait=1", tag)
    assert (answer.status_code, answer.content) == (304, b"")


def test_who_is_shut_out_does_not_wait_on(native: Native) -> None:
    tag = native.poll().headers["ETag"]
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(native.poll("&wait=60", tag)))
    asking.start()
    others_are_served(native)
    native.operator.ok("DELETE", f"/devices/{native.id}")
    asking.join(timeout=30)
    assert answers[0].status_code == 401


def test_who_asks_again_is_done_with_the_one_before(native: Native) -> None:
    tag = native.poll().headers["ETag"]
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(native.poll("&wait=60", tag)))
    asking.start()
    eventually(lambda: native.poll("&wait=1", tag).status_code == 304 and not asking.is_alive())
    assert answers[0].status_code == 304


@pytest.mark.parametrize("query", ["&wait=x", "&wait=-1", "&wait=1.5", "&colour=1"])
def test_an_address_that_makes_no_sense_is_refused(native: Native, query: str) -> None:
    assert native.poll(query).status_code == 400


def test_a_device_speaks_for_itself_alone(native: Native, operator: Operator) -> None:
    other = operator.device()
    headers = {"Authorization": f"TargetToken {other.token}"}
    for method, what, body in (
        ("GET", "poll", None),
        ("POST", "poll", {}),
        ("POST", "reports", {}),
        ("POST", "consent", {"action": 1, "answer": "approve"}),
        ("POST", "attributes", {"attributes": {}}),
        ("POST", "events", {"events": []}),
    ):
        assert native.ask(method, what, json=body, headers=headers).status_code == 401
        nobody = native.ddi.http.request(method, f"{ROAD}/{what}?device={native.id}", json=body)
        assert nobody.status_code == 401


def test_what_is_out_of_bounds_is_refused(native: Native) -> None:
    assert native.ask("POST", "reports", content=b" " * (300 * 1024)).status_code == 413
    assert native.ask("POST", "reports", json={"notes": [{"id": "x", "action": 1}] * 101}).status_code == 400
    assert native.ask("POST", "reports", content=b"\xff", headers={"Content-Type": "text/xml"}).status_code == 400
    assert native.ask("PUT", "poll").status_code == 405


def test_downloaded_first_and_installed_when_it_is_ordered(native: Native) -> None:
    number = rollout(native, download_only=True)
    first = native.poll("&hold=1").json()["offer"]
    assert first["hold"] is True
    action = first["action"]
    assert native.say(action, "download") == "downloading"
    assert native.say(action, "download_done") == "downloaded"
    held = native.poll("&hold=1")
    assert held.json()["offer"] == first, "it is told what it holds, also after a restart"
    assert native.operator.ok("GET", f"/rollouts/{number}")["holding"] == 1
    answers: list[httpx.Response] = []
    tag = held.headers["ETag"]
    asking = threading.Thread(target=lambda: answers.append(native.poll("&hold=1&wait=60", tag)))
    asking.start()
    others_are_served(native)
    native.operator.ok("POST", f"/rollouts/{number}/install", json={})
    asking.join(timeout=30)
    told = answers[0].json()["offer"]
    assert (told["action"], "hold" in told) == (action, False), "who waits hears of the order at once"
    assert native.say(action, "install") == "installing"
    assert native.say(action, "succeed") == "succeeded"


def test_what_is_held_may_be_called_off(native: Native) -> None:
    number = rollout(native, download_only=True)
    action = native.poll("&hold=1").json()["offer"]["action"]
    assert native.say(action, "download_done") == "downloaded"
    native.operator.cancel(native.ddi, number)
    told = native.poll("&hold=1").json()
    assert (told["cancel"], "offer" in told) == (action, False)
    assert native.say(action, "cancel_done") == "cancelled"


def test_who_cannot_hold_a_download_is_offered_it_when_it_is_to_be_installed(native: Native) -> None:
    number = rollout(native, download_only=True, window="00:00/1m", download="any-time")
    assert native.offer() is None
    assert native.ddi.links().keys() == {"deploymentBase"}, "another road has"
    assert native.offer() is None, "also where another road was told"
    native.operator.ok("POST", f"/rollouts/{number}/install", json={})
    offer = native.offer()
    assert "window" not in offer, "it is installed whatever the window says"
    assert native.say(offer["action"], "install") == "installing"
    assert native.say(offer["action"], "succeed") == "succeeded"


def test_who_was_told_nothing_is_told_once(native: Native) -> None:
    number = rollout(native, download_only=True)
    assert native.offer() is None
    native.operator.ok("POST", f"/rollouts/{number}/install", json={})
    assert native.say(native.offer()["action"], "succeed") == "succeeded"
