"""hawkBit's DDI cases in our words, over real HTTP: orders to cancel, and consent."""

import pytest

from tests.support.ddi import DdiDevice, Operator


class TestCancel:
    def cancelling(self, operator: Operator) -> tuple[DdiDevice, str, int]:
        device, action, rollout = operator.offered()
        device.say(action, "proceeding")
        operator.cancel(device, rollout)
        return device, action, rollout

    def test_told_and_confirmed(self, operator: Operator) -> None:
        device, action, _ = self.cancelling(operator)
        links = device.links()
        assert "deploymentBase" not in links
        # The naught is for Zephyr 4.1, which skips a digit.
        assert links["cancelAction"] == f"{operator.server.url}{device.base}/cancelAction/0{action}"
        assert device.get(f"cancelAction/{action}").content == device.get(links["cancelAction"]).content
        assert device.get(links["cancelAction"]).json() == {"id": action, "cancelAction": {"stopId": action}}
        assert device.get(f"deploymentBase/{action}").status_code == 404
        assert device.say(action, "closed", "success", "stopped", on="cancelAction").status_code == 200
        assert operator.state(device) == "cancelled"
        assert set(device.links()) <= {"configData"}
        assert device.get(f"cancelAction/{action}").status_code == 404
        assert device.get(f"deploymentBase/{action}").status_code == 404

    def test_confirmed_twice(self, operator: Operator) -> None:
        device, action, _ = self.cancelling(operator)
        for _ in range(2):
            assert device.say(action, "closed", "success", on="cancelAction").status_code == 200
        assert operator.state(device) == "cancelled"

    @pytest.mark.parametrize(
        ("execution", "finished"), [("rejected", "none"), ("rejected", "success"), ("closed", "failure")]
    )
    def test_refused_and_brought_to_an_end(self, operator: Operator, execution: str, finished: str) -> None:
        device, action, _ = self.cancelling(operator)
        assert device.say(action, execution, finished, "too late", on="cancelAction").status_code == 200
        assert operator.seen(device)["history"][0]["reason"] == "too late"
        assert device.action() == action
        assert device.get(f"deploymentBase/{action}").status_code == 200
        assert device.say(action, "closed", "none").status_code == 200
        last = operator.seen(device)["history"][0]
        assert (last["state"], last["reason"]) == ("succeeded", "")

    @pytest.mark.parametrize("execution", ["proceeding", "resumed", "scheduled", "canceled"])
    def test_only_words(self, operator: Operator, execution: str) -> None:
        device, action, _ = self.cancelling(operator)
        assert device.say(action, execution, on="cancelAction").status_code == 200
        assert operator.state(device) == "cancelling"
        assert device.action("cancelAction") == action

    @pytest.mark.parametrize(("finished", "state"), [("success", "succeeded"), ("failure", "failed")])
    def test_crosses_the_devices_own_end(self, operator: Operator, finished: str, state: str) -> None:
        device, action, _ = self.cancelling(operator)
        assert device.say(action, "closed", finished).status_code == 200
        assert operator.state(device) == state
        assert device.say(action, "closed", "success", on="cancelAction").status_code == 200
        assert operator.state(device) == state

    def test_confirmed_on_the_deployment(self, operator: Operator) -> None:
        device, action, _ = self.cancelling(operator)
        assert device.say(action, "canceled", "none").status_code == 200
        assert operator.state(device) == "cancelled"

    def test_a_device_that_was_never_told_is_not_asked(self, operator: Operator, device: DdiDevice) -> None:
        device.configure({})
        rollout = operator.rollout(device)
        operator.cancel(device, rollout)
        assert device.links() == {}
        assert operator.state(device) == "cancelled"

    def test_nothing_to_cancel(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        assert device.get(f"cancelAction/{action}").status_code == 404

    def test_several_deployments(self, operator: Operator, device: DdiDevice) -> None:
        rollouts = [operator.rollout(device) for _ in range(2)]
        first = device.action()
        operator.cancel(device, rollouts[0])
        assert device.action("cancelAction") == first
        device.say(first, "closed", "success", on="cancelAction")
        assert int(device.action()) == int(first) + 1

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"status": {"execution": "546456456", "result": {"finished": "none"}}}']
    )
    def test_bad_feedback(self, operator: Operator, body: bytes) -> None:
        device, action, _ = self.cancelling(operator)
        assert device.request("POST", f"cancelAction/{action}/feedback", content=body).status_code == 400
        assert operator.state(device) == "cancelling"

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_other_methods(self, device: DdiDevice, method: str) -> None:
        assert device.request(method, "cancelAction/1").status_code == 405


class TestConfirmation:
    def test_asked_first(self, operator: Operator) -> None:
        device, action, _ = operator.offered(consent=True)
        links = device.links()
        assert "deploymentBase" not in links
        assert links["confirmationBase"] == f"{operator.server.url}{device.base}/confirmationBase/{action}"
        told = device.get(links["confirmationBase"]).json()
        assert set(told) == {"id", "confirmation"}
        assert told["confirmation"]["chunks"][0]["artifacts"][0]["filename"] == "app.swu"
        assert device.get(f"deploymentBase/{action}").status_code == 404
        assert device.say(action, "proceeding").status_code == 404
        assert operator.state(device) == "awaiting_consent"

    def test_confirmed(self, operator: Operator) -> None:
        device, action, _ = operator.offered(consent=True)
        assert device.answer(action, "confirmed", "go").status_code == 200
        assert device.action() == action
        assert device.get(f"confirmationBase/{action}").status_code == 404
        assert device.answer(action, "confirmed").status_code == 404
        told = device.get(f"deploymentBase/{action}?actionHistory=2").json()
        assert told["actionHistory"]["messages"] == ["go"]
        assert device.say(action, "closed", "success").status_code == 200
        assert operator.state(device) == "succeeded"

    def test_denied_waits_on_and_may_be_confirmed_later(self, operator: Operator) -> None:
        device, action, _ = operator.offered(consent=True)
        assert device.answer(action, "denied", "not now").status_code == 200
        assert operator.state(device) == "postponed"
        assert device.action("confirmationBase") == action
        assert device.get(f"deploymentBase/{action}").status_code == 404
        assert device.answer(action, "denied", "not now").status_code == 200
        assert device.answer(action, "confirmed").status_code == 200
        assert device.action() == action

    def test_a_running_deployment_has_no_consent_to_take_back(self, operator: Operator) -> None:
        # hawkBit lets a device take a yes back; here what has begun goes on.
        device, action, _ = operator.offered()
        assert device.get(f"confirmationBase/{action}").status_code == 404
        assert device.answer(action, "denied").status_code == 404
        assert operator.state(device) == "offered"

    def test_cancelled_while_it_waits(self, operator: Operator) -> None:
        device, action, rollout = operator.offered(consent=True)
        operator.cancel(device, rollout)
        assert "confirmationBase" not in device.links()
        assert device.answer(action, "confirmed").status_code == 404
        assert operator.state(device) == "cancelled"

    @pytest.mark.parametrize("body", [b"", b"{}", b'{"confirmation": "maybe"}'])
    def test_bad_answers(self, operator: Operator, body: bytes) -> None:
        device, action, _ = operator.offered(consent=True)
        assert device.request("POST", f"confirmationBase/{action}/feedback", content=body).status_code == 400

    def test_standing_yes_is_off(self, operator: Operator) -> None:
        device, action, _ = operator.offered(consent=True)
        base = f"{operator.server.url}{device.base}/confirmationBase"
        assert device.get("confirmationBase").json() == {
            "autoConfirm": {"active": False},
            "_links": {
                "activateAutoConfirm": {"href": f"{base}/activateAutoConfirm"},
                "confirmationBase": {"href": f"{base}/{action}"},
            },
        }

    @pytest.mark.parametrize(
        "who", [{}, {"initiator": "ann"}, {"remark": "always"}, {"initiator": "ann", "remark": "always"}]
    )
    def test_standing_yes(self, operator: Operator, device: DdiDevice, who: dict[str, str]) -> None:
        href = device.get("confirmationBase").json()["_links"]["activateAutoConfirm"]["href"]
        assert device.request("POST", href, json=who).status_code == 200
        told = device.get("confirmationBase").json()
        assert told["autoConfirm"].pop("activatedAt") > 1_700_000_000_000
        assert told["autoConfirm"] == {"active": True, **who}
        assert set(told["_links"]) == {"deactivateAutoConfirm"}
        operator.rollout(device, consent=True)
        assert "deploymentBase" in device.links()

    def test_standing_yes_without_a_body_frees_what_waits(self, operator: Operator) -> None:
        device, action, _ = operator.offered(consent=True)
        assert device.request("POST", "confirmationBase/activateAutoConfirm").status_code == 200
        assert device.action() == action

    def test_standing_yes_taken_back(self, operator: Operator, device: DdiDevice) -> None:
        device.request("POST", "confirmationBase/activateAutoConfirm", json={})
        href = device.get("confirmationBase").json()["_links"]["deactivateAutoConfirm"]["href"]
        assert device.request("POST", href).status_code == 200
        assert device.get("confirmationBase").json()["autoConfirm"] == {"active": False}
        operator.rollout(device, consent=True)
        assert "confirmationBase" in device.links()

    def test_other_methods(self, device: DdiDevice) -> None:
        assert device.request("POST", "confirmationBase").status_code == 405
        assert device.request("GET", "confirmationBase/activateAutoConfirm").status_code == 405
        assert device.request("DELETE", "confirmationBase/1/feedback").status_code == 405
