"""hawkBit's DDI cases in our words, over real HTTP: the root resource, credentials and config data.

Where we differ from hawkBit on purpose, a comment says so.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from tests.support.ddi import DdiDevice, Operator, eventually


def stable(said: Mapping[str, Any]) -> dict[str, Any]:
    """An answer's fields but those that differ each time."""
    return {name: value for name, value in said.items() if name not in {"date", "request_id", "x-request-id"}}


class TestRoot:
    def test_attributes_are_asked_for_once(self, device: DdiDevice) -> None:
        assert set(device.links()) == {"configData"}
        assert device.configure({"serial": "1"}).status_code == 200
        assert device.links() == {}

    def test_answer_is_json_with_a_length(self, device: DdiDevice) -> None:
        answer = device.get()
        assert answer.headers["content-type"].startswith("application/json")
        assert int(answer.headers["content-length"]) == len(answer.content)

    def test_sleep_is_the_tenants(self, device: DdiDevice, settings: Callable[..., None]) -> None:
        settings(polling_s=3723)
        assert device.get().json()["config"] == {"polling": {"sleep": "01:02:03"}}

    def test_nothing_changed_is_304_only_to_whom_asks(self, operator: Operator, device: DdiDevice) -> None:
        tag = device.get().headers["etag"]
        again = device.get(headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert device.get().status_code == 200
        operator.rollout(device)
        assert device.get(headers={"If-None-Match": tag}).status_code == 200

    def test_the_short_way_says_what_the_long_way_says(self, device: DdiDevice) -> None:
        device.configure({"serial": "1"})
        device.get()
        short, long = device.get(), device.get(headers={"If-None-Match": '"another"'})
        assert (short.status_code, short.content) == (long.status_code, long.content)
        assert {**short.headers, "date": ""} == {**long.headers, "date": ""}

    def test_two_with_one_token_are_told_of_and_go_on(self, operator: Operator, device: DdiDevice) -> None:
        """Two processes of one identity on two addresses: an event says so, and neither is refused."""
        device.configure({"serial": "1"})
        headers = {"Authorization": f"TargetToken {device.token}"}

        def told() -> list[dict[str, Any]]:
            for address in ("127.0.0.1", "127.0.0.2"):
                with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as twin:
                    assert twin.get(operator.server.url + device.base, headers=headers).status_code == 200
            found = operator.ok("GET", f"/events?subject={device.id}")["items"]
            return [event for event in found if event["kind"] == "device.doubled"]

        (event,) = eventually(told)
        assert event["data"]["addresses"] == ["127.0.0.1", "127.0.0.2"]
        assert device.get().status_code == 200

    @pytest.mark.parametrize("configured", [False, True])
    def test_contact_is_noted(self, operator: Operator, device: DdiDevice, configured: bool) -> None:
        if configured:  # then nothing is due, and the answer is given at once
            device.configure({"serial": "1"})
            device.get()
            before = eventually(lambda: operator.seen(device)["last_contact"])
        else:
            before = operator.seen(device)["last_contact"]
            assert before is None
        device.get()
        eventually(lambda: operator.seen(device)["last_contact"] != before)
        seen = eventually(lambda: (s := operator.seen(device))["last_contact"] and s)
        assert seen["address"] == "127.0.0.1"

    def test_a_poll_is_no_change_of_the_device(self, operator: Operator, device: DdiDevice) -> None:
        before = operator.seen(device)
        device.get()
        after = operator.seen(device)
        assert (after["edition"], after["updated_at"]) == (before["edition"], before["updated_at"])

    @pytest.mark.parametrize(
        "end", ["controller/", "controller/v1", "controller/v1/", "controller/v2/{id}", "controller/v1/{id}/more"]
    )
    def test_no_such_address(self, device: DdiDevice, end: str) -> None:
        assert device.get(f"/DEFAULT/{end.format(id=device.id)}").status_code == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_the_root_is_only_read(self, device: DdiDevice, method: str) -> None:
        answer = device.request(method)
        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]

    def test_head(self, device: DdiDevice) -> None:
        answer = device.request("HEAD")
        assert (answer.status_code, answer.content) == (200, b"")

    def test_links_repeat_the_address_that_the_device_used(self, device: DdiDevice) -> None:
        links = device.get(headers={"Host": "ota.example:8080"}).json()["_links"]
        assert links["configData"]["href"] == f"http://ota.example:8080{device.base}/configData"

    def test_connection_is_kept(self, operator: Operator, device: DdiDevice) -> None:
        with httpx.Client(base_url=operator.server.url) as http:
            mine = DdiDevice(device.id, device.token, http)
            streams = {id(mine.get().extensions["network_stream"]) for _ in range(5)}
        assert len(streams) == 1


class TestCredentials:
    def test_wrong_token(self, device: DdiDevice) -> None:
        answer = device.get(headers={"Authorization": "TargetToken wrong"})
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "unauthenticated"

    @pytest.mark.parametrize(
        "value", [b"", b"TargetToken", b"TargetToken  x", b"Basic Zm9v", b"GatewayToken x", b"Bearer x", b"\xff"]
    )
    def test_no_credential_of_this_device(self, device: DdiDevice, value: bytes) -> None:
        assert device.get(headers={"Authorization": value}).status_code == 401

    def test_no_header_at_all(self, operator: Operator, device: DdiDevice) -> None:
        assert operator.devices.get(device.base).status_code == 401

    def test_the_token_of_another_device(self, operator: Operator, device: DdiDevice) -> None:
        other = operator.device()
        assert device.get(headers={"Authorization": f"TargetToken {other.token}"}).status_code == 401

    def test_an_admins_token_is_no_devices(self, operator: Operator, device: DdiDevice) -> None:
        assert device.get(headers={"Authorization": f"Bearer {operator.server.token}"}).status_code == 401

    @pytest.mark.parametrize("name", ["nobody", "x" * 129, "x" * 5000, "a%00b", "%D0%B9", "a%20b", "%FF"])
    @pytest.mark.parametrize("path", ["", "/deploymentBase/1", "/softwaremodules/1/artifacts/app.swu"])
    @pytest.mark.parametrize("value", [b"TargetToken x", b"GatewayToken x", b"Basic Zm9v", b"\xff", None])
    def test_who_asks_for_ids_learns_nothing(
        self, operator: Operator, device: DdiDevice, name: str, path: str, value: bytes | None
    ) -> None:
        headers = [] if value is None else [(b"Authorization", value)]
        known, unknown = (
            operator.devices.get(f"/DEFAULT/controller/v1/{id_}{path}", headers=headers) for id_ in (device.id, name)
        )
        assert known.status_code == 401
        told = [(answer.status_code, stable(answer.headers), stable(answer.json())) for answer in (known, unknown)]
        assert told[0] == told[1]

    def test_files_for_everybody_tell_everybody_that_there_is_no_such_device(
        self, operator: Operator, device: DdiDevice, settings: Callable[..., None]
    ) -> None:
        settings(download_anonymous=True)
        for id_ in (device.id, "nobody"):
            file = f"/DEFAULT/controller/v1/{id_}/softwaremodules/1/artifacts/app.swu"
            assert operator.devices.get(file).status_code == 404
            assert operator.devices.get(file, headers={"Authorization": "TargetToken x"}).status_code == 401

    @pytest.mark.parametrize("tenant", ["NOBODY", "defaults", "x" * 500, "%00"])
    def test_unknown_tenant(self, device: DdiDevice, tenant: str) -> None:
        assert device.get(f"/{tenant}/controller/v1/{device.id}").status_code == 404

    @pytest.mark.parametrize("tenant", ["default", "Default"])
    def test_tenant_in_any_case(self, operator: Operator, device: DdiDevice, tenant: str) -> None:
        # As in hawkBit; links name it as it is called.
        answer = device.get(f"/{tenant}/controller/v1/{device.id}")
        assert answer.json()["_links"]["configData"]["href"] == f"{operator.server.url}{device.base}/configData"
        wrong = device.get(f"/{tenant}/controller/v1/{device.id}", headers={"Authorization": "TargetToken x"})
        assert wrong.status_code == 401

    def test_scheme_in_any_case(self, device: DdiDevice) -> None:
        assert device.get(headers={"Authorization": f"targettoken {device.token}"}).status_code == 200

    def test_gateway_token_is_off_until_made(self, operator: Operator, device: DdiDevice) -> None:
        token = operator.ok("POST", "/tenant/gateway-token")["token"]
        gateway = {"Authorization": f"GatewayToken {token}"}
        try:
            assert device.get(headers=gateway).status_code == 200
            assert device.get(headers={"Authorization": f"TargetToken {token}"}).status_code == 401
            # Self-registration is another switch.
            assert operator.devices.get("/DEFAULT/controller/v1/stranger", headers=gateway).status_code == 404
        finally:
            operator.ok("DELETE", "/tenant/gateway-token")
        assert device.get(headers=gateway).status_code == 401

    def test_self_registration_takes_a_switch_and_a_gateway(
        self, operator: Operator, settings: Callable[..., None]
    ) -> None:
        settings(self_registration=True)
        token = operator.ok("POST", "/tenant/gateway-token")["token"]
        address = "/DEFAULT/controller/v1/plug-and-play"
        try:
            bad: list[dict[str, str]] = [
                {}, {"Authorization": "GatewayToken wrong"}, {"Authorization": f"TargetToken {token}"}
            ]  # fmt: skip
            assert [operator.devices.get(address, headers=h).status_code for h in bad] == [401, 401, 401]
            gateway = {"Authorization": f"GatewayToken {token}"}
            assert operator.devices.get("/DEFAULT/controller/v1/bad%20name", headers=gateway).status_code == 404
            answer = operator.devices.get(address, headers=gateway)
            assert answer.status_code == 200
            assert "configData" in answer.json()["_links"]
        finally:
            operator.ok("DELETE", "/tenant/gateway-token")
        assert operator.ok("GET", "/devices/plug-and-play")["hardware"] == "unknown"

    def test_a_new_token_ends_the_old(self, operator: Operator, device: DdiDevice) -> None:
        fresh = operator.ok("POST", f"/devices/{device.id}/token", json={})["token"]
        assert device.get().status_code == 401
        assert DdiDevice(device.id, fresh, device.http).get().status_code == 200

    def test_a_decommissioned_device_is_shut_out(self, operator: Operator, device: DdiDevice) -> None:
        operator.ok("DELETE", f"/devices/{device.id}")
        assert device.get().status_code == 401

    def test_a_quarantined_device_polls_and_is_told_nothing(self, operator: Operator) -> None:
        device, _, _ = operator.offered()
        device.configure({"a": "b"})
        operator.ok("POST", f"/devices/{device.id}/lifecycle", json={"event": "quarantine"})
        assert device.links() == {}
        operator.ok("POST", f"/devices/{device.id}/lifecycle", json={"event": "release"})
        assert set(device.links()) == {"deploymentBase"}

    def test_a_quarantined_device_is_given_nothing_to_install(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        device.configure({"a": "b"})
        files = f"softwaremodules/{action}/artifacts"
        paths = [f"deploymentBase/{action}", files, f"{files}/app.swu", f"{files}/app.swu.MD5SUM"]
        assert [device.get(path).status_code for path in paths] == [200] * 4
        operator.ok("POST", f"/devices/{device.id}/lifecycle", json={"event": "quarantine"})
        assert [device.get(path).status_code for path in paths] == [404] * 4
        assert device.say(action, "proceeding").status_code == 200  # it may still say where it stands
        operator.ok("POST", f"/devices/{device.id}/lifecycle", json={"event": "release"})
        assert [device.get(path).status_code for path in paths] == [200] * 4

    def test_a_quarantined_device_is_not_asked_for_consent(self, operator: Operator) -> None:
        device, action, _ = operator.offered(consent=True)
        path = f"confirmationBase/{action}"
        assert device.get(path).status_code == 200
        assert f'/confirmationBase/{action}"' in device.get("confirmationBase").text
        operator.ok("POST", f"/devices/{device.id}/lifecycle", json={"event": "quarantine"})
        assert "confirmationBase" not in device.links()
        assert device.get(path).status_code == 404
        assert f'/confirmationBase/{action}"' not in device.get("confirmationBase").text

    def test_a_quarantined_device_is_told_to_stop(self, operator: Operator) -> None:
        device, action, rollout = operator.offered()
        device.configure({"a": "b"})
        device.say(action, "proceeding")
        operator.cancel(device, rollout)
        operator.ok("POST", f"/devices/{device.id}/lifecycle", json={"event": "quarantine"})
        assert set(device.links()) == {"cancelAction"}
        assert device.get(f"cancelAction/{action}").status_code == 200
        assert device.get(f"softwaremodules/{action}/artifacts/app.swu").status_code == 404
        assert device.say(action, "closed", "success", on="cancelAction").status_code == 200
        assert operator.state(device) == "cancelled"
        assert device.links() == {}


class TestConfigData:
    def attributes(self, operator: Operator, device: DdiDevice) -> dict[str, str]:
        return dict(operator.seen(device)["attributes"])

    def test_modes(self, operator: Operator, device: DdiDevice) -> None:
        assert device.configure({"k0": "v0", "k1": "v1"}).status_code == 200
        assert self.attributes(operator, device) == {"k0": "v0", "k1": "v1"}
        assert device.configure({"k1": "w1", "k2": "w2"}, "merge").status_code == 200
        assert self.attributes(operator, device) == {"k0": "v0", "k1": "w1", "k2": "w2"}
        assert device.configure({"k1": "x"}, "replace").status_code == 200
        assert self.attributes(operator, device) == {"k1": "x"}
        device.configure({"k2": "y"})
        assert device.configure({"k1": "", "never": ""}, "remove").status_code == 200
        assert self.attributes(operator, device) == {"k2": "y"}

    def test_old_clients_send_more(self, operator: Operator, device: DdiDevice) -> None:
        status = {"result": {"finished": "success"}, "execution": "closed", "details": [""]}
        body = {"id": "", "time": "20261121T080250", "status": status, "data": {"serial": "7"}}
        answer = device.request("PUT", "configData", json=body)
        assert (answer.status_code, answer.content) == (200, b"")
        assert self.attributes(operator, device) == {"serial": "7"}

    def test_body_in_chunks(self, operator: Operator, device: DdiDevice) -> None:
        body = json.dumps({"data": {"a": "b" * 500}}).encode()
        parts = (body[i : i + 100] for i in range(0, len(body), 100))
        assert device.request("PUT", "configData", content=parts).status_code == 200
        assert self.attributes(operator, device) == {"a": "b" * 500}

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b'{"id": "51659181"}', b'{"data": {"a": {"b": 1}}}', b'{"mode": "KJHGKJHG", "data": {"a": "b"}}'],
    )
    def test_bad_bodies(self, operator: Operator, device: DdiDevice, body: bytes) -> None:
        answer = device.request("PUT", "configData", content=body)
        assert answer.status_code == 400
        assert "data" in answer.json()["hint"]
        assert self.attributes(operator, device) == {}

    @pytest.mark.parametrize("name", ["", "line\nend"])
    def test_bad_names(self, device: DdiDevice, name: str) -> None:
        assert device.configure({name: "x"}).status_code == 400

    @pytest.mark.parametrize(
        "data", [{f"k{i}": "v" for i in range(201)}, {"k" * 129: "v"}, {"k": "v" * 2049}], ids=["many", "name", "value"]
    )
    def test_too_much(self, operator: Operator, device: DdiDevice, data: dict[str, str]) -> None:
        # hawkBit answers 429, which clients take for "try again at once".
        assert device.configure(data).status_code == 413
        assert self.attributes(operator, device) == {}

    def test_too_much_with_what_is_known(self, device: DdiDevice) -> None:
        assert device.configure({f"k{i}": "v" for i in range(200)}).status_code == 200
        assert device.configure({"one more": "v"}).status_code == 413

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_other_methods(self, device: DdiDevice, method: str) -> None:
        assert device.request(method, "configData").status_code == 405

    def test_attributes_are_asked_for_after_success(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        device.configure({"sw_version": "1.0.0"})
        assert "configData" not in device.links()
        device.say(action, "closed", "success")
        assert "configData" in device.links()

    def test_attributes_are_not_asked_for_after_failure(self, operator: Operator) -> None:
        device, action, _ = operator.offered()
        device.configure({"sw_version": "1.0.0"})
        device.say(action, "closed", "failure")
        assert "configData" not in device.links()

    def test_odd_values_are_kept_as_text(self, operator: Operator, device: DdiDevice) -> None:
        data: dict[str, Any] = {"n": 7, "yes": True, "nothing": None, "nul": "a\0b"}
        assert device.configure(data).status_code == 200
        assert self.attributes(operator, device) == {"n": "7", "yes": "true", "nul": "a\ufffdb"}
