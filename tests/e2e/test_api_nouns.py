"""What the REST API does, noun by noun, against a running server."""

from typing import Any

import httpx
import pytest

from tests.support.api import Apis, added, fresh, planned, problem, released, uploaded
from tests.support.ddi import eventually


class TestTokens:
    def test_a_token_is_shown_once_and_opens_at_once(self, served: Apis, api: httpx.Client) -> None:
        made = api.post("/tokens", json={"role": "viewer", "label": "dashboard", "expires_in_s": 3600}).json()
        assert (made["role"], made["label"]) == ("viewer", "dashboard")
        assert made["expires_at"] > made["created_at"]
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert httpx.get(f"{served.server.url}/api/v1/devices", headers=bearer).status_code == 200
        listed = next(t for t in api.get("/tokens", params={"limit": 1000}).json()["items"] if t["id"] == made["id"])
        assert "token" not in listed
        assert made["token"] not in api.get("/tokens", params={"limit": 1000}).text

    def test_a_revoked_token_is_dead_at_once_and_revoking_twice_is_fine(self, served: Apis, api: httpx.Client) -> None:
        made = api.post("/tokens", json={"role": "viewer"}).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert api.delete(f"/tokens/{made['id']}").status_code == 204
        answer = httpx.get(f"{served.server.url}/api/v1/devices", headers=bearer)
        problem(answer, 401, "unauthenticated")
        assert api.delete(f"/tokens/{made['id']}").status_code == 204

    def test_an_unknown_token_cannot_be_revoked(self, api: httpx.Client) -> None:
        problem(api.delete("/tokens/0123456789abcdef"), 404, "not_found")


class TestTenant:
    def test_settings_change_one_by_one(self, matrix: httpx.Client) -> None:
        before = matrix.get("/tenant").json()
        after = matrix.patch("/tenant", json={"settings": {"polling_s": 61, "chunk_parts": {"nrf52": "bApp"}}}).json()
        assert after["settings"] == before["settings"] | {"polling_s": 61, "chunk_parts": {"nrf52": "bApp"}}
        assert after["edition"] == before["edition"] + 1

    def test_a_halt_is_told_and_lifted(self, matrix: httpx.Client) -> None:
        assert matrix.post("/tenant/halt", json={"reason": "smoke"}).json()["halt_reason"] == "smoke"
        assert matrix.post("/tenant/halt", json={"reason": "fire"}).json()["halt_reason"] == "fire"
        assert matrix.post("/tenant/lift").json()["halted"] is False
        assert matrix.post("/tenant/lift").status_code == 200

    def test_a_halt_without_a_reason_needs_no_body(self, matrix: httpx.Client) -> None:
        assert matrix.post("/tenant/halt").json()["halted"] is True
        matrix.post("/tenant/lift")

    def test_a_gateway_token_is_shown_once_and_goes(self, served: Apis, api: httpx.Client) -> None:
        device = added(api)
        token = api.post("/tenant/gateway-token").json()["token"]
        assert api.get("/tenant").json()["settings"]["gateway_token"] is True
        url = f"{served.server.url}/DEFAULT/controller/v1/{device}"
        gateway = {"Authorization": f"GatewayToken {token}"}
        assert httpx.get(url, headers=gateway).status_code == 200
        assert api.delete("/tenant/gateway-token").status_code == 204
        assert httpx.get(url, headers=gateway).status_code == 401
        assert api.get("/tenant").json()["settings"]["gateway_token"] is False


class TestDevices:
    def test_a_device_is_added_with_all_that_is_known_of_it(self, api: httpx.Client) -> None:
        body = {
            "id": fresh("dev"),
            "hardware": "rpi4:b",
            "tags": ["lab", "beta"],
            "attributes": {"region": "eu-1"},
            "installed": {"app": "1.0.0"},
        }
        made = api.post("/devices", json=body).json()
        assert (made["hardware"], made["lifecycle"], made["state"]) == ("rpi4:b", "active", "idle")
        assert made["tags"] == ["beta", "lab"]
        shown = api.get(f"/devices/{body['id']}")
        told = shown.json()
        assert "token" not in told
        assert {**told, "token": made["token"]} == {**made, "history": []}
        (installed,) = told["installed"]
        assert (installed["component"], installed["version"], installed["source"]) == ("app", "1.0.0", "factory")
        assert shown.headers["etag"] == '"1"'

    def test_its_own_token_opens_the_road(self, served: Apis, api: httpx.Client) -> None:
        device, token = fresh("dev"), "a-token-of-its-own"
        assert api.post("/devices", json={"id": device, "hardware": "x", "token": token}).json()["token"] == token
        assert served.device(device, token).get().status_code == 200

    def test_an_id_is_given_once(self, api: httpx.Client) -> None:
        device = added(api)
        problem(api.post("/devices", json={"id": device, "hardware": "rpi4"}), 409, "already_exists")

    def test_a_batch_names_what_was_taken(self, served: Apis, api: httpx.Client) -> None:
        known, new = added(api), fresh("dev")
        devices = [{"id": name, "hardware": "rpi4", "installed": {"app": "1.0"}} for name in (known, new, new)]
        answer = api.post("/devices/batch", json={"devices": devices}).json()
        assert [a["id"] for a in answer["added"]] == [new]
        assert answer["taken"] == [known, new]
        assert served.device(new, answer["added"][0]["token"]).get().status_code == 200
        assert api.get(f"/devices/{new}").json()["installed"][0]["version"] == "1.0"

    def test_what_can_be_asked_for_is_told(self, api: httpx.Client) -> None:
        added(api, hardware="asked:z9", attributes={"asked.for": "it"})
        fields = {field["field"]: field for field in api.get("/fleet/fields", params={"values": 100}).json()["items"]}
        assert fields["attr.asked.for"] == {
            "field": "attr.asked.for",
            "kind": "text",
            "operators": ["==", "!=", "=in=", "=out=", "=null=", "=lt=", "=le=", "=gt=", "=ge="],
            "declared": None,
            "values": ["it"],
            "complete": True,
            "help": fields["attr.asked.for"]["help"],
        }
        assert "z9" in fields["revision"]["values"]
        assert fields["last_contact"]["operators"] == ["=lt=", "=le=", "=gt=", "=ge=", "=null="]
        assert api.get("/fleet/fields", params={"values": 0}).status_code == 400

    def test_devices_are_found_by_where_they_stand(self, api: httpx.Client) -> None:
        device = added(api)
        for query, found in (
            (f"id=={device} and state==idle", [device]),
            (f"id=={device};last_contact=null=true;created=gt=-PT1H", [device]),
            (f"id=={device};not(lifecycle==active)", []),
        ):
            assert [d["id"] for d in api.get("/devices", params={"q": query}).json()["items"]] == found
        wrong = api.get("/devices", params={"q": "tag==a;state==odd"})
        assert wrong.status_code in {400, 422}
        assert wrong.json()["column"] == 15

    def test_a_change_leaves_the_rest_and_null_removes_an_attribute(self, api: httpx.Client) -> None:
        device = added(api, tags=["lab"], attributes={"region": "eu", "rack": "7"})
        change = {"attributes": {"rack": None, "row": "3"}, "hardware": "rpi5", "installed": {"os": "12"}}
        after = api.patch(f"/devices/{device}", json=change).json()
        assert after["attributes"] == {"region": "eu", "row": "3"}
        assert (after["tags"], after["hardware"], after["edition"]) == (["lab"], "rpi5", 2)
        assert (after["installed"][0]["version"], after["installed"][0]["source"]) == ("12", "offline")

    def test_a_change_that_changes_nothing_is_none(self, api: httpx.Client) -> None:
        device = added(api, tags=["lab"])
        assert api.patch(f"/devices/{device}", json={"tags": ["lab"]}).json()["edition"] == 1
        kinds = [e["kind"] for e in api.get("/events", params={"subject": device}).json()["items"]]
        assert kinds == ["device.added"]

    def test_a_quarantined_device_is_offered_nothing_until_it_is_released(
        self, served: Apis, api: httpx.Client
    ) -> None:
        model, device = fresh("model"), fresh("dev")
        token = api.post("/devices", json={"id": device, "hardware": model}).json()["token"]
        road = served.device(device, token)
        release = released(api, hardware=model)
        rollout = api.post("/rollouts", json={"release": release, "target": f"id=={device}"}).json()["id"]
        assert (
            api.post(f"/devices/{device}/lifecycle", json={"event": "quarantine"}).json()["lifecycle"] == "quarantined"
        )
        api.post(f"/rollouts/{rollout}/start")
        assert "deploymentBase" not in road.links()
        assert api.get(f"/devices/{device}/why").json()["answers"][0]["rule"] == "device_active"
        refused = problem(api.post(f"/devices/{device}/lifecycle", json={"event": "accept"}), 409, "invalid_state")
        assert refused["allowed"] == ["release", "decommission"]
        api.post(f"/devices/{device}/lifecycle", json={"event": "release"})
        assert "deploymentBase" in road.links()

    def test_a_decommissioned_device_is_gone_for_good(self, served: Apis, api: httpx.Client) -> None:
        model, device = fresh("model"), fresh("dev")
        token = api.post("/devices", json={"id": device, "hardware": model}).json()["token"]
        road = served.device(device, token)
        told, waiting = (
            api.post(
                "/rollouts", json={"release": released(api, hardware=model), "target": f"id=={device}", "start": True}
            ).json()["id"]
            for _ in range(2)
        )
        assert "deploymentBase" in road.links()
        assert api.delete(f"/devices/{device}").status_code == 204
        assert road.get().status_code == 401
        shown = api.get(f"/devices/{device}").json()
        states = {h["rollout"]: h["state"] for h in shown["history"]}
        assert states == {told: "cancelled", waiting: "skipped"}
        assert {h["reason"] for h in shown["history"]} == {"device decommissioned"}
        for rollout in (told, waiting):
            eventually(lambda r=rollout: api.get(f"/rollouts/{r}").json()["state"] == "finished")  # type: ignore[misc]
        assert api.delete(f"/devices/{device}").status_code == 204
        problem(api.patch(f"/devices/{device}", json={"tags": ["x"]}), 409, "invalid_state")
        problem(api.post(f"/devices/{device}/token"), 409, "invalid_state")
        problem(api.post("/devices", json={"id": device, "hardware": "rpi4"}), 409, "already_exists")

    def test_a_new_token_kills_the_old_one(self, served: Apis, api: httpx.Client) -> None:
        device = fresh("dev")
        old = api.post("/devices", json={"id": device, "hardware": "rpi4"}).json()["token"]
        made = api.post(f"/devices/{device}/token")
        assert made.status_code == 201
        assert served.device(device, old).get().status_code == 401
        assert served.device(device, made.json()["token"]).get().status_code == 200

    def test_history_and_reports_tell_what_it_said(self, served: Apis, api: httpx.Client) -> None:
        model, device = fresh("model"), fresh("dev")
        token = api.post("/devices", json={"id": device, "hardware": model}).json()["token"]
        road = served.device(device, token)
        release = released(api, hardware=model)
        rollout = api.post("/rollouts", json={"release": release, "target": f"id=={device}", "start": True}).json()
        action = road.action()
        assert api.get(f"/devices/{device}").json()["state"] == "offered"
        (answer,) = api.get(f"/devices/{device}/why").json()["answers"]
        assert (answer["rollout"], answer["rule"]) == (rollout["id"], "offer")
        road.say(action, "proceeding", "none", "half way")
        road.say(action, "closed", "failure", "no space left")
        shown = api.get(f"/devices/{device}").json()
        assert shown["state"] == "failed"
        (item,) = shown["history"]
        assert (item["product"], item["version"], item["action"]) == (*release.split(":"), int(action))
        assert item["reason"] == "no space left"
        reports = api.get(f"/devices/{device}/actions/{action}/reports").json()["items"]
        assert [r["messages"] for r in reports] == [["no space left"], ["half way"]]
        assert api.get("/deployments", params={"device": device}).json()["items"] == shown["history"]
        assert next(d for d in api.get("/devices", params={"q": f"id=={device}"}).json()["items"])["state"] == "failed"
        progress = eventually(
            lambda: (found := api.get(f"/rollouts/{rollout['id']}").json())["state"] == "finished" and found
        )
        assert progress["failures"] == [{"state": "failed", "reason": "no space left", "devices": 1}]
        problem(api.get(f"/devices/{device}/actions/99/reports"), 404, "not_found")


class TestReleases:
    def test_a_release_is_made_of_uploaded_bytes(self, api: httpx.Client) -> None:
        release = released(api, hardware="rpi4:b", notes="First.")
        product, version = release.split(":")
        shown = api.get(f"/releases/{product}/{version}").json()
        (artifact,) = shown["artifacts"]
        assert (artifact["component"], artifact["hardware"], artifact["size"]) == (product, "rpi4:b", len(product))
        assert (shown["state"], shown["notes"], shown["allowed"]) == ("published", "First.", ["deprecate", "withdraw"])
        listed = api.get("/releases", params={"product": product}).json()["items"]
        assert shown["missing"] == []
        left_out = {"missing", "role", "created_by", "published_by", "signed_version", "signed_by", "log_index"}
        assert listed == [{name: shown[name] for name in shown.keys() - left_out}]
        assert left_out <= shown.keys()

    def test_the_same_release_again_is_the_same(self, api: httpx.Client) -> None:
        product, sha256 = fresh("app"), uploaded(api, b"same")
        body = {
            "product": product,
            "version": "1",
            "artifacts": [{"sha256": sha256, "filename": "a", "hardware": ["a", "b"]}],
        }
        first, second = (api.post("/releases", json=body) for _ in range(2))
        assert first.json() == second.json()
        other = uploaded(api, b"different")
        body["artifacts"][0]["sha256"] = other  # type: ignore[index]
        problem(api.post("/releases", json=body), 409, "already_exists")

    def test_bytes_that_nobody_uploaded_make_no_release(self, api: httpx.Client) -> None:
        body = {
            "product": fresh("app"),
            "version": "1",
            "artifacts": [{"sha256": "0" * 64, "filename": "a", "hardware": ["a"]}],
        }
        problem(api.post("/releases", json=body), 404, "not_found")

    def test_a_draft_is_published_deprecated_and_withdrawn(self, api: httpx.Client) -> None:
        product, version = released(api, publish=False).split(":")
        here = f"/releases/{product}/{version}"
        assert api.get(here).json()["state"] == "draft"
        problem(
            api.post("/rollouts", json={"release": f"{product}:{version}", "target": "id==*"}), 409, "invalid_state"
        )
        refused = problem(api.post(f"{here}/deprecate"), 409, "invalid_state")
        assert set(refused["allowed"]) == {"publish", "withdraw"}
        for order, state in (("publish", "published"), ("deprecate", "deprecated"), ("withdraw", "withdrawn")):
            assert api.post(f"{here}/{order}").json()["state"] == state
        assert api.get(here).json()["allowed"] == []

    def test_products_are_listed_with_their_releases(self, api: httpx.Client) -> None:
        product = released(api).partition(":")[0]
        items = api.get("/products", params={"limit": 1000}).json()["items"]
        assert next((p["releases"], p["order"]) for p in items if p["name"] == product) == (1, "auto")

    def test_a_release_says_what_it_requires(self, api: httpx.Client) -> None:
        terms: dict[str, Any] = {
            "type": "security",
            "channel": "beta",
            "requires": ["bootloader>=2.1", "os<3"],
            "floor": "1.0.0",
            "security_floor": 3,
            "support_until": "2031-12-31",
        }
        product, version = released(api, **terms).split(":")
        shown = api.get(f"/releases/{product}/{version}").json()
        assert {name: shown[name] for name in terms} == terms
        assert shown["security_counter"] == 3
        plain = api.get("/releases/{}/{}".format(*released(api).split(":"))).json()
        assert (plain["type"], plain["channel"], plain["requires"]) == ("software", "stable", [])
        assert {plain[name] for name in ("floor", "security_floor", "support_until")} == {None}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"type": "magic"},
            {"channel": "a b"},
            {"requires": ["bootloader"]},
            {"requires": ["a>=1", "a>=1"]},
            {"requires": ["a>=1"] * 17},
            {"floor": "1.1.0"},
            {"floor": "2"},
            {"security_floor": 0},
            {"security_floor": 2**31},
            {"support_until": "tomorrow"},
        ],
    )
    def test_terms_that_make_no_sense_are_refused(self, api: httpx.Client, wrong: dict[str, object]) -> None:
        sha256 = uploaded(api, b"wrong")
        artifact = {"sha256": sha256, "filename": "a", "hardware": ["a"]}
        body = {"product": fresh("app"), "version": "1.1.0", "artifacts": [artifact], **wrong}
        problem(api.post("/releases", json=body), 400, "invalid_input")

    def test_releases_are_listed_newest_first_by_the_products_order(self, api: httpx.Client) -> None:
        product, sha256 = fresh("app"), uploaded(api, b"ordered")
        for version, channel in (("26.11", "stable"), ("2026.4", "stable"), ("26.05", "beta")):
            artifact = {"sha256": sha256, "filename": "a", "hardware": ["a"]}
            body = {"product": product, "version": version, "artifacts": [artifact], "channel": channel}
            assert api.post("/releases", json=body).status_code == 201

        def listed(**more: Any) -> list[str]:
            seen: list[str] = []
            cursor: str | None = None
            while cursor is not None or not seen:
                params: dict[str, Any] = {"product": product, "limit": 2, "cursor": cursor, **more}
                page = api.get("/releases", params={n: v for n, v in params.items() if v is not None}).json()
                seen += [item["version"] for item in page["items"]]
                if (cursor := page["next"]) is None:
                    break
            return seen

        assert listed() == ["2026.4", "26.05", "26.11"]
        assert listed(newest=True) == ["2026.4", "26.11", "26.05"]
        answer = api.patch(f"/products/{product}", json={"order": "calendar"})
        assert answer.json() == {"name": product, "order": "calendar"}
        assert listed(newest=True) == ["26.11", "26.05", "2026.4"]
        assert listed(channel="stable") == ["26.11", "2026.4"]
        assert listed(channel="stable", type="firmware") == []
        problem(api.patch(f"/products/{product}", json={"order": "semantic"}), 400, "invalid_input")
        problem(api.patch(f"/products/{fresh('none')}", json={"order": "auto"}), 404, "not_found")


class TestRollouts:
    def test_without_wave_options_it_is_simple(self, api: httpx.Client) -> None:
        rollout = planned(api, 3, start=True)
        assert rollout["state"] == "running"
        policy = rollout["policy"]
        assert (policy["waves"], policy["success"], policy["error"]) == (["100%"], None, None)
        assert rollout["counts"] == {"scheduled": 3}
        assert set(rollout["allowed"]) == {"pause", "stop"}

    def test_with_waves_it_is_judged(self, api: httpx.Client) -> None:
        rollout = planned(api, 5, waves=["1", "50%"], observe_s=60, expires_in_s=86400, name="careful")
        policy = rollout["policy"]
        assert (policy["success"], policy["error"], policy["observe_s"]) == (0.9, 0.1, 60)
        assert [(w["start"], w["height"], w["counts"]) for w in rollout["waves"]] == [
            (0, 1, {"scheduled": 1}),
            (1, 3, {"scheduled": 2}),
            (3, 5, {"scheduled": 2}),
        ]
        assert (rollout["state"], rollout["name"]) == ("planned", "careful")

    def test_people_start_pause_resume_and_stop_it(self, api: httpx.Client) -> None:
        here = f"/rollouts/{planned(api, 2)['id']}"
        for order, state in (("start", "running"), ("pause", "paused"), ("resume", "running"), ("stop", "stopping")):
            answer = api.post(f"{here}/{order}", json={"reason": f"to {order}"})
            assert answer.json()["state"] == state, answer.text
        stopped = eventually(lambda: (found := api.get(here).json())["state"] == "stopped" and found)
        assert stopped["counts"] == {"cancelled": 2}
        refused = problem(api.post(f"{here}/pause"), 409, "invalid_state")
        assert refused["allowed"] == []

    def test_with_four_eyes_another_person_approves_it(self, served: Apis, api: httpx.Client) -> None:
        made = api.post("/tokens", json={"role": "operator", "label": fresh("ben")}).json()
        ben = {"Authorization": f"Bearer {made['token']}"}
        api.patch("/tenant", json={"settings": {"four_eyes": True}})
        try:
            rollout = planned(api, 1)
            assert (rollout["state"], rollout["policy"]["approve"]) == ("awaiting_approval", "start")
            assert rollout["allowed"] == ["approve", "stop"]
            here = f"/rollouts/{rollout['id']}"
            problem(api.post(f"{here}/approve"), 403, "forbidden")
            url = f"{served.server.url}/api/v1{here}/approve"
            answer = httpx.post(url, headers=ben)
            assert answer.json()["state"] == "running", answer.text
            assert answer.json()["created_by"] == rollout["created_by"]
        finally:
            api.patch("/tenant", json={"settings": {"four_eyes": False}})

    def test_a_preview_makes_nothing(self, api: httpx.Client) -> None:
        model = fresh("model")
        for _ in range(4):
            added(api, hardware=model)
        misfit = added(api, hardware=fresh("other"), tags=[model])
        body = {
            "release": released(api, hardware=model),
            "target": f"hardware=={model},id=={misfit}",
            "waves": ["1", "100%"],
        }
        before = len(api.get("/rollouts", params={"limit": 1000}).json()["items"])
        told = api.post("/rollouts/preview", json=body).json()
        assert (told["members"], told["left_out"]["misfit"]) == (4, 1)
        assert told["waves"] == [{"start": 0, "height": 1}, {"start": 1, "height": 4}]
        assert len(api.get("/rollouts", params={"limit": 1000}).json()["items"]) == before

    def test_a_plan_is_looked_at_and_made(self, api: httpx.Client) -> None:
        rollout = planned(api, 4)
        body = {
            "release": f"{rollout['product']}:1.1.0",
            "target": rollout["target"],
            "shape": "exponential",
            "first": 1,
        }
        told = api.post("/rollouts/preview", json=body | {"split": ["hardware"], "failure": 0.5}).json()
        assert [w["height"] for w in told["waves"]] == [1, 2, 4]
        assert (told["members"], told["canaries"], told["unheard"], len(told["first"])) == (4, 1, 4, 4)
        assert told["volume"] == 4 * len(rollout["product"])
        (segment,) = told["segments"]
        assert (segment["size"], segment["canaries"], segment["critical"]) == (4, 1, 0)
        assert (told["expected"]["told"], told["expected"]["ended_s"], told["bad"]["told"]) == (0, None, 0)
        seen = {"seed": told["seed"], "members": 4}
        made = api.post(
            "/rollouts", json=body | {"split": ["hardware"], "planned": seen, "reason": "as planned"}
        ).json()
        members = sorted(api.get(f"/rollouts/{made['id']}/deployments").json()["items"], key=lambda m: m["rank"])
        assert [m["device"] for m in members] == told["first"]
        assert made["policy"]["waves"] == ["1", "2", "100%"]
        stale = api.post("/rollouts", json=body | {"planned": seen | {"members": 5}})
        problem(stale, 412, "precondition_failed")
        problem(api.post("/rollouts", json=body | {"shape": "all"}), 400, "invalid_input")
        problem(api.post("/rollouts", json=body | {"waves": ["1", "100%"]}), 400, "invalid_input")
        emergency = api.post("/rollouts", json=body | {"shape": "all", "reason": "a hole"}).json()
        assert (emergency["policy"]["success"], len(emergency["waves"])) == (None, 1)
        happened = api.get("/events", params={"subject": str(emergency["id"]), "limit": 1000}).json()["items"]
        assert [e["data"]["reason"] for e in happened if e["kind"] == "rollout.created"] == ["a hole"]

    def test_a_rollout_to_nobody_is_a_slip(self, api: httpx.Client) -> None:
        body = {"release": released(api), "target": f"id=={fresh('nobody')}"}
        problem(api.post("/rollouts", json=body), 422, "nothing_to_do")

    def test_members_are_listed_and_cancelled_one_by_one(self, api: httpx.Client) -> None:
        rollout = planned(api, 3, start=True)
        here = f"/rollouts/{rollout['id']}/deployments"
        members = api.get(here).json()["items"]
        assert [m["device"] for m in members] == sorted(m["device"] for m in members)
        first = members[0]["device"]
        assert api.post(f"{here}/{first}/cancel").json()["state"] == "cancelled"
        left = api.get(here, params={"state": ["scheduled"]}).json()["items"]
        assert [m["device"] for m in left] == [m["device"] for m in members[1:]]
        problem(api.post(f"{here}/{first}/cancel"), 409, "invalid_state")
        problem(api.post(f"{here}/{fresh('stranger')}/cancel"), 404, "not_found")

    def test_a_segment_is_held_and_released(self, api: httpx.Client) -> None:
        rollout = planned(api, 3, start=True, split=["hardware", "attr.region"], waves=["1", "100%"])
        (segment,) = rollout["segments"]
        assert (segment["index"], segment["size"], segment["held"]) == (0, 3, False)
        assert segment["name"].endswith(", region unknown")
        assert segment["counts"] == {"scheduled": 3}
        assert rollout["policy"]["split"] == ["hardware", "attr.region"]
        here = f"/rollouts/{rollout['id']}"
        held = api.post(f"{here}/segments/0/hold", json={"reason": "it smells"}).json()
        assert (held["segments"][0]["held"], held["segments"][0]["reason"]) == (True, "held by hand: it smells")
        problem(api.post(f"{here}/segments/0/hold"), 422, "nothing_to_do")
        problem(api.post(f"{here}/segments/1/hold"), 404, "not_found")
        problem(api.post(f"{here}/segments/0/release", headers={"If-Match": '"1"'}), 412, "precondition_failed")
        (member, *_) = api.get(f"{here}/deployments").json()["items"]
        assert member["segment"] == 0
        (answer,) = api.get(f"/devices/{member['device']}/why").json()["answers"]
        assert answer["rule"] in {"segment", "rollout_running"}, "the worker pauses a rollout that is held wholly"
        eventually(lambda: api.get(here).json()["reason"] == "every segment is held")
        freed = api.post(f"{here}/segments/0/release").json()
        assert (freed["segments"][0]["held"], freed["segments"][0]["overruled"]) == (False, False)
        record = api.get("/events", params={"subject": str(rollout["id"]), "limit": 1000}).json()["items"]
        told = [e["data"]["held"] for e in record if e["kind"] == "rollout.segment"]
        assert told == [True, False]

    def test_a_sequential_judge_says_what_it_found(self, api: httpx.Client) -> None:
        rollout = planned(api, 3, start=True, judge="sequential", alpha=0.02)
        here = f"/rollouts/{rollout['id']}"
        policy = rollout["policy"]
        assert (policy["judge"], policy["alpha"], policy["learned_from"]) == ("sequential", 0.02, 0)
        assert (policy["success"], policy["error"]) == (None, None)
        assert (policy["waves"][0], policy["waves"][-1]) == ("0.4%", "100%")
        eventually(lambda: api.get(f"{here}/verdicts").json()["items"] != [])
        (verdict,) = api.get(f"{here}/verdicts").json()["items"]
        assert (verdict["segment"], verdict["call"], verdict["failed"], verdict["tried"]) == (None, "hold", 0, 0)
        assert (verdict["e_value"], verdict["threshold"]) == (pytest.approx(1), pytest.approx(100))
        assert verdict["words"][0] == "hold: no outcome yet"
        shown = api.get(here).json()
        assert shown["verdicts"] == [verdict]
        assert [v | {"at": verdict["at"]} for v in shown["present"]] == [verdict]
        assert shown["waits_for"].startswith("Wave 1 of 3 is open: 0 of ")
        assert shown["waits_until"] is None
        (listed,) = [one for one in api.get("/rollouts").json()["items"] if one["id"] == rollout["id"]]
        assert (listed["present"], listed["waits_for"]) == ([], None)
        assert api.get(f"{here}/verdicts", params={"segment": 0}).json() == {"items": [], "next": None}

    def test_two_ways_of_judging_are_refused(self, api: httpx.Client) -> None:
        body = {"release": released(api), "target": "id==*", "judge": "sequential"}
        problem(api.post("/rollouts", json=body | {"success": 0.9}), 400, "invalid_input")
        problem(api.post("/rollouts", json=body | {"judge": "classic", "alpha": 0.01}), 400, "invalid_input")
        problem(api.post("/rollouts", json=body | {"alpha": 0.5}), 400, "invalid_input")
        problem(
            api.post("/rollouts", json=body | {"judge": "classic", "telemetry": ["heat:high"]}), 400, "invalid_input"
        )
        problem(api.post("/rollouts", json=body | {"telemetry": ["heat:up"]}), 400, "invalid_input")
        problem(api.post("/rollouts", json=body | {"telemetry": ["heat:high", "heat:low"]}), 400, "invalid_input")

    def test_what_splits_nothing_is_refused(self, api: httpx.Client) -> None:
        body = {"release": released(api), "target": "id==*", "split": ["tag"]}
        problem(api.post("/rollouts", json=body), 400, "invalid_input")
        problem(api.post("/rollouts", json=body | {"split": ["version", "version"]}), 400, "invalid_input")

    def test_cancelled_members_get_another_attempt(self, api: httpx.Client) -> None:
        rollout = planned(api, 1, start=True)
        here = f"/rollouts/{rollout['id']}"
        (member,) = api.get(f"{here}/deployments").json()["items"]
        api.post(f"{here}/deployments/{member['device']}/cancel", json={"force": True})
        again = api.post(f"{here}/retry", json={"states": ["cancelled"], "reason": "the cable is mended"}).json()
        assert again["counts"] == {"scheduled": 1}
        assert api.get(f"{here}/deployments").json()["items"][0]["attempt"] == 2
        (why,) = [
            e["data"]["reason"]
            for e in api.get("/events", params={"subject": str(rollout["id"]), "limit": 1000}).json()["items"]
            if e["kind"] == "rollout.retried"
        ]
        assert why == "the cable is mended"
        problem(api.post(f"{here}/retry", json={"reason": "two\nlines"}), 400, "invalid_input")
        problem(api.post(f"{here}/retry"), 422, "nothing_to_do")
        problem(api.post(f"{here}/retry", json={"states": ["scheduled"]}), 409, "invalid_state")

    def test_it_starts_at_its_time(self, api: httpx.Client) -> None:
        rollout = planned(api, 1, start_at="2020-01-01T00:00:00+02:00")
        assert rollout["start_at"] == "2019-12-31T22:00:00Z"
        eventually(lambda: api.get(f"/rollouts/{rollout['id']}").json()["state"] == "running")


def test_every_change_is_recorded_with_who_did_it(api: httpx.Client) -> None:
    device = added(api)
    api.patch(f"/devices/{device}", json={"tags": ["lab"]})
    api.post(f"/devices/{device}/token")
    api.delete(f"/devices/{device}")
    found = api.get("/events", params={"subject": device}).json()["items"]
    assert [e["kind"] for e in found] == ["device.added", "device.changed", "device.credential", "device.lifecycle"]
    assert {e["actor"] for e in found} == {"user:DEFAULT admin"}
    newest = api.get("/events", params={"subject": device, "newest": True, "limit": 1}).json()["items"]
    assert newest == found[-1:]
    assert api.get("/events", params={"subject": device, "after": found[1]["id"]}).json()["items"] == found[2:]
