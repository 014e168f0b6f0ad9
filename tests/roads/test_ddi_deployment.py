"""hawkBit's DDI cases in our words, over real HTTP: deployments, what devices say of them, and what was installed."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.ddi import DdiDevice, Operator, eventually


class TestDeployment:
    def test_what_is_told(self, operator: Operator) -> None:
        payload = b"some firmware" * 1000
        release = operator.release(payload, filename="app-1.1.0.swu")
        device, action, _ = operator.offered(release)
        href = device.links()["deploymentBase"]
        assert href == f"{operator.server.url}{device.base}/deploymentBase/{action}"
        told = device.get(href).json()
        assert set(told) == {"id", "deployment"}
        assert told["id"] == action
        assert (told["deployment"]["download"], told["deployment"]["update"]) == ("forced", "forced")
        (chunk,) = told["deployment"]["chunks"]
        assert (chunk["part"], chunk["version"], f"{chunk['name']}:1.1.0") == ("os", "1.1.0", release)
        (file,) = chunk["artifacts"]
        assert (file["filename"], file["size"]) == ("app-1.1.0.swu", len(payload))
        assert file["hashes"] == {name: hashlib.new(name, payload).hexdigest() for name in ("sha1", "md5", "sha256")}
        assert set(file["_links"]) == {"download", "download-http", "md5sum", "md5sum-http"}
        for link in ("download", "download-http"):
            assert device.get(file["_links"][link]["href"]).content == payload

    def test_hrefs_fit_zephyr(self, operator: Operator) -> None:
        device = operator.device(id_="z" * 100)
        operator.rollout(device, operator.release(filename=f"{'long-' * 40}.bin"))
        href = device.links()["deploymentBase"]
        assert len(href[href.index("deploymentBase/") :]) < 50
        file = device.get(href).json()["deployment"]["chunks"][0]["artifacts"][0]
        download = file["_links"]["download-http"]["href"]
        assert len(download[download.index("/DEFAULT/controller/v1") :]) < 200
        assert device.get(download).content == b"firmware"

    def test_soft(self, operator: Operator) -> None:
        device, action, _ = operator.offered(urgency="soft")
        deployment = device.get(f"deploymentBase/{action}").json()["deployment"]
        assert (deployment["download"], deployment["update"]) == ("attempt", "attempt")

    @pytest.mark.parametrize(("at", "handling"), [("2020-01-01T00:00Z", "forced"), ("2090-01-01T00:00Z", "attempt")])
    def test_soft_until_it_is_forced(self, operator: Operator, at: str, handling: str) -> None:
        device, action, _ = operator.offered(urgency="soft", forced_at=at)
        deployment = device.get(f"deploymentBase/{action}").json()["deployment"]
        assert (deployment["download"], deployment["update"]) == (handling, handling)

    def test_part_is_configurable(self, operator: Operator, settings: Callable[..., None]) -> None:
        settings(chunk_parts={"frdm_k64f": "bApp"})
        device = operator.device("frdm_k64f")
        operator.rollout(device, operator.release(hardware="frdm_k64f"))
        assert device.get(device.links()["deploymentBase"]).json()["deployment"]["chunks"][0]["part"] == "bApp"

    def test_the_resource_has_an_etag_and_takes_hawkbits_query(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        tag = device.get(f"deploymentBase/{action}?c=-2127183556").headers["etag"]
        assert device.get(f"deploymentBase/{action}", headers={"If-None-Match": f'"x", {tag}'}).status_code == 304

    def test_stays_offered_until_it_is_closed(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        for execution in ("download", "downloaded", "proceeding", "resumed", "rejected", "canceled", "scheduled"):
            assert device.say(action, execution).status_code == 200
            assert device.action() == action
        assert device.say(action, "closed", "success").status_code == 200
        assert "deploymentBase" not in device.links()
        assert operator.state(device) == "succeeded"

    def test_one_deployment_after_the_other(self, operator: Operator, device: DdiDevice) -> None:
        # hawkBit lets a device have several open ones; ours has one at a time, the oldest rollout first.
        releases = [operator.release() for _ in range(3)]
        for release in releases:
            operator.rollout(device, release)
        for number, release in enumerate(releases, 1):
            action = device.action()
            assert action == str(number)
            chunk = device.get(f"deploymentBase/{action}").json()["deployment"]["chunks"][0]
            assert f"{chunk['name']}:{chunk['version']}" == release
            device.say(action, "closed", "success")
        assert "deploymentBase" not in device.links()

    def test_a_retry_is_a_new_action(self, operator: Operator) -> None:
        device, action, rollout = operator.offered()
        device.say(action, "closed", "failure")
        operator.ok("POST", f"/rollouts/{rollout}/retry", json={"states": ["failed"]})
        again = device.action()
        assert int(again) == int(action) + 1
        assert device.say(again, "closed", "success").status_code == 200
        assert operator.state(device) == "succeeded"

    @pytest.mark.parametrize("action", ["1", "4294967296", "0", "-1", "a1b2", "1.0", "٣"])
    def test_no_such_action(self, device: DdiDevice, action: str) -> None:
        assert device.get(f"deploymentBase/{action}").status_code == 404
        assert device.get(f"installedBase/{action}").status_code == 404
        assert device.say(action, "proceeding").status_code == 404
        assert device.say(action, "proceeding", on="cancelAction").status_code == 404
        assert device.answer(action, "confirmed").status_code == 404

    def test_the_action_of_another_device(self, operator: Operator) -> None:
        first, _, _ = operator.offered()
        operator.rollout(first)
        first.say("1", "closed", "success")
        assert first.action() == "2"
        other, _, _ = operator.offered()
        assert other.get("deploymentBase/2").status_code == 404
        assert other.say("2", "closed", "failure").status_code == 404
        assert operator.state(first) == "offered"

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_other_methods(self, device: DdiDevice, method: str) -> None:
        assert device.request(method, "deploymentBase/1").status_code == 405
        assert device.request(method, "installedBase/1").status_code == 405

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_other_methods_of_feedback(self, device: DdiDevice, method: str) -> None:
        assert device.request(method, "deploymentBase/1/feedback").status_code == 405


class TestFeedback:
    @pytest.mark.parametrize(
        ("execution", "finished", "state"),
        [
            ("download", "none", "downloading"),
            ("downloaded", "none", "downloaded"),
            ("proceeding", "none", "installing"),
            ("resumed", "none", "installing"),
            ("rejected", "none", "offered"),
            ("canceled", "none", "offered"),
            ("closed", "success", "succeeded"),
            ("closed", "none", "succeeded"),
            ("closed", "failure", "failed"),
        ],
    )
    def test_what_words_mean(self, operator: Operator, execution: str, finished: str, state: str) -> None:
        device, action, _ = operator.offered()
        assert device.say(action, execution, finished, "in its words").status_code == 200
        assert operator.state(device) == state
        (report,) = operator.reports(device, action)
        assert (report["execution"], report["result"], report["messages"]) == (execution, finished, ["in its words"])

    def test_success_is_in_the_inventory_and_is_not_offered_again(self, operator: Operator) -> None:
        release = operator.release()
        device, action, _ = operator.offered(release)
        device.say(action, "closed", "success")
        installed = {i["component"]: i["version"] for i in operator.seen(device)["installed"]}
        assert installed == {release.partition(":")[0]: "1.1.0"}
        # The old version in configData right after success opens nothing.
        device.configure({"sw_version": "1.0.0"})
        assert "deploymentBase" not in device.links()

    def test_failure_keeps_the_devices_words(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        assert device.say(action, "closed", "failure", "first", "the disk is full").status_code == 200
        assert operator.seen(device)["history"][0]["reason"] == "the disk is full"
        assert set(device.links()) <= {"configData"}

    def test_the_same_report_twice_changes_nothing(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        for _ in range(3):
            assert device.say(action, "proceeding", "none", "same").status_code == 200
        for _ in range(3):
            assert device.say(action, "closed", "success", "done").status_code == 200
        assert [r["messages"] for r in operator.reports(device, action)] == [["done"], ["same"]]
        assert operator.state(device) == "succeeded"

    def test_what_comes_after_the_end_is_gone_and_kept(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        device.say(action, "closed", "failure", "no")
        assert device.say(action, "closed", "success", "yes").status_code == 410
        assert device.say(action, "proceeding", "none", "still at it").status_code == 410
        assert operator.state(device) == "failed"
        assert len(operator.reports(device, action)) == 3

    def test_a_device_that_was_given_up_is_heard_to_its_end(self, operator: Operator) -> None:
        device, action, _ = operator.offered(expires_in_s=1)
        eventually(lambda: operator.state(device) == "silent")
        assert "deploymentBase" not in device.links()
        assert device.say(action, "proceeding", "none", "here I am").status_code == 200
        assert device.get(f"softwaremodules/{action}/artifacts/app.swu").status_code == 200
        assert device.say(action, "closed", "success").status_code == 200
        assert operator.state(device) == "succeeded"

    def test_a_burst(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        for percent in range(18):
            assert device.say(action, "proceeding", "none", f"{percent}% done").status_code == 200
        assert len(operator.reports(device, action)) == 18

    def test_of_too_many_messages_the_last_ones_are_kept(self, operator: Operator) -> None:
        # hawkBit refuses more than fifty with 429, which rauc-hawkbit-updater tries again and again.
        device, action, _ = operator.offered()
        assert device.say(action, "closed", "failure", *map(str, range(60))).status_code == 200
        (report,) = operator.reports(device, action)
        assert report["messages"] == list(map(str, range(10, 60)))

    def test_too_many_reports_still_move(self, operator: Operator) -> None:
        # hawkBit refuses the hundredth report with 429; here the words of a talkative device are dropped in the end.
        device, action, _ = operator.offered()
        for number in range(1005):
            assert device.say(action, "proceeding", "none", str(number)).status_code == 200
        assert device.say(action, "closed", "success").status_code == 200
        assert operator.state(device) == "succeeded"

    @pytest.mark.parametrize(
        "details",
        [
            b'"Got malformed JSON: in JSON.\n","No suitable .swu image found"',
            b'"parsing "sw-description" failed\n\t\xff","No suitable .swu image found"',
        ],
        ids=["raw line end", "quotes and bytes"],
    )
    def test_swupdates_broken_json(self, operator: Operator, details: bytes) -> None:
        device, action, _ = operator.offered()
        frame = (
            b'{ "id": 1, "time": "x", "status": { "result": { "finished": "failure" }, "execution": "closed", '
            b'"details" : [ %s ] } }'
        )
        answer = device.request("POST", f"deploymentBase/{action}/feedback", content=frame % details)
        assert (answer.status_code, answer.content) == (200, b"")
        assert operator.seen(device)["history"][0]["reason"] == "No suitable .swu image found"

    @pytest.mark.parametrize("id_", [1, "1", None, "AAAA", 99])
    def test_the_id_in_the_body_does_not_matter(self, operator: Operator, id_: Any) -> None:
        device, action, _ = operator.offered()
        status = {"execution": "closed", "result": {"finished": "success"}}
        body = {"status": status} if id_ is None else {"id": id_, "status": status}
        assert device.request("POST", f"deploymentBase/{action}/feedback", json=body).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"no json",
            b'{"id":"AAAA","status":{"execution":"proceeding","result":{"finished":"none"},"details":"details"]}}',
            b'{"status": {"execution": "closed", "details": ["test"]}}',
            b'{"status": {"execution": "closed", "result": {}, "details": ["test"]}}',
            b'{"status": {"execution": "unheard-of", "result": {"finished": "none"}}}',
        ],
    )
    def test_bad_feedback(self, operator: Operator, body: bytes) -> None:
        device, action, _ = operator.offered()
        answer = device.request("POST", f"deploymentBase/{action}/feedback", content=body)
        assert answer.status_code == 400
        assert "execution" in answer.json()["hint"]
        assert operator.state(device) == "offered"

    def test_feedback_that_is_too_large(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        assert device.say(action, "proceeding", "none", "x" * 300_000).status_code == 413


class TestHistory:
    def told(self, device: DdiDevice, query: str) -> Any:
        return device.get(f"deploymentBase/{device.action()}{query}").json().get("actionHistory")

    def test_newest_first_as_many_as_asked_for(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        assert self.told(device, "?actionHistory=5") is None
        device.say(action, "download", "none", "a")
        device.say(action, "proceeding", "none", "b", "c")
        assert self.told(device, "") is None
        assert self.told(device, "?actionHistory=0") is None
        assert self.told(device, "?actionHistory=2") == {"status": "RUNNING", "messages": ["c", "b"]}
        assert self.told(device, "?c=1&actionHistory=-1") == {"status": "RUNNING", "messages": ["c", "b", "a"]}

    def test_it_can_be_read_after_the_end(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        device.say(action, "closed", "failure", "oh")
        told = device.get(f"deploymentBase/{action}?actionHistory=1").json()
        assert told["actionHistory"] == {"status": "ERROR", "messages": ["oh"]}

    def test_not_a_number(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        assert device.get(f"deploymentBase/{action}?actionHistory=many").status_code == 400


class TestInstalled:
    def test_linked_and_shown(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        assert device.get(f"installedBase/{action}").status_code == 404
        before = device.get(f"deploymentBase/{action}").json()
        device.say(action, "closed", "success", "done")
        href = device.links()["installedBase"]
        assert href.endswith(f"/installedBase/{action}")
        assert device.get(href).json() == before
        told = device.get(f"{href}?actionHistory=1").json()["actionHistory"]
        assert told == {"status": "FINISHED", "messages": ["done"]}

    def test_the_newest_success_is_linked_whatever_came_after(self, operator: Operator) -> None:
        device, first, _ = operator.offered()
        device.say(first, "closed", "success")
        failed = operator.rollout(device)
        second = device.action()
        assert device.action("installedBase") == first
        device.say(second, "closed", "failure")
        cancelled = operator.rollout(device)
        third = device.action()
        operator.cancel(device, cancelled)
        device.say(third, "closed", "success", on="cancelAction")
        assert device.action("installedBase") == first
        assert {device.get(f"installedBase/{a}").status_code for a in (second, third)} == {404}
        operator.ok("POST", f"/rollouts/{failed}/retry", json={"states": ["failed"]})
        fourth = device.action()
        device.say(fourth, "closed", "success")
        assert device.action("installedBase") == fourth
        assert device.get(f"installedBase/{first}").status_code == 200

    def test_declared_by_the_device(self, operator: Operator, device: DdiDevice) -> None:
        name, _, version = operator.release(version="4.5.6").partition(":")
        for _ in range(2):
            said = device.request("PUT", "installedBase", json={"name": name, "version": version})
            assert (said.status_code, said.content) == (200, b"")
            (known,) = operator.seen(device)["installed"]
            assert (known["component"], known["version"], known["source"]) == (name, "4.5.6", "offline")

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"{}", 400),
            (b'{"name": "x"}', 400),
            (b'{"name": "x", "version": 1}', 400),
            (b'{"name": "", "version": "1"}', 400),
            (b'{"name": "x", "version": "a b"}', 400),
            (b'{"name": "no-such-product", "version": "1"}', 404),
        ],
    )
    def test_bad_declarations(self, operator: Operator, device: DdiDevice, body: bytes, status: int) -> None:
        assert device.request("PUT", "installedBase", content=body).status_code == status
        assert operator.seen(device)["installed"] == []

    def test_it_is_only_declared(self, device: DdiDevice) -> None:
        assert device.get("installedBase").status_code == 405


def test_details_of_a_feedback_tell_of_the_devices_health(operator: Operator) -> None:
    device, action, _ = operator.offered()
    for _ in range(2):
        device.say(action, "proceeding", "none", "otaru: watchdog task ui", "50 %", "otaru: battery=81.5")
    found = operator.ok("GET", f"/devices/{device.id}/events")["items"]
    assert sorted((event["kind"], event["text"], event["value"]) for event in found) == [
        ("sample", "", 81.5),
        ("watchdog", "task ui", None),
    ]
