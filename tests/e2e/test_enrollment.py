"""Devices that come by themselves, over real HTTP: what they are told, and what they can do with what they are given."""

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from otaru.domain.ids import DEFAULT_TENANT
from tests.support.api import OTHER, Apis, fresh, problem
from tests.support.certificates import authority
from tests.support.ddi import eventually
from tests.support.enrolling import Newborn, p256
from tests.support.server import serving

ENROLL, TOKEN = "/device/v1/enroll", "/device/v1/token"


def now(seconds: float = 0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)  # noqa: TID251 - a device has a clock of its own


def claimed(api: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = api.post("/enrollments", json={"label": "line 3", "quota": 100} | more)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def enroll(served: Apis, claim: str, body: Any, **headers: str) -> httpx.Response:
    return served.devices.post(ENROLL, json=body, headers={"Authorization": f"Bearer {claim}"} | headers)


def poll(served: Apis, device: str, authorization: str, tenant: str = DEFAULT_TENANT) -> int:
    path = f"/{tenant}/controller/v1/{device}"
    return served.devices.get(path, headers={"Authorization": authorization}).status_code


def test_a_device_enrolls_and_polls_with_what_it_got(served: Apis, api: httpx.Client) -> None:
    made, name = claimed(api, tags=["may"]), fresh("sn")
    answer = enroll(served, made["claim"], {"id": name, "hardware": "rpi4", "attributes": {"mac": "00:11"}})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert (told["id"], told["tenant"], told["state"], told["again"]) == (name, "DEFAULT", "active", False)
    assert poll(served, name, f"TargetToken {told['token']}") == 200
    device = api.get(f"/devices/{name}").json()
    assert (device["hardware"], device["tags"], device["attributes"]) == ("rpi4", ["may"], {"mac": "00:11"})
    shown = api.get(f"/enrollments/{made['id']}").json()
    assert (shown["used"], shown["quota"]) == (1, 100)
    assert "claim" not in shown
    assert made["claim"] not in json.dumps(api.get("/enrollments").json())


def test_a_stranger_enrolls_with_openssl_and_curl(served: Apis, api: httpx.Client, tmp_path: Path) -> None:
    """As docs/enrollment.md says."""
    made, name = claimed(api), fresh("sn")
    script = f"""
set -e
CLAIM={made["claim"]} SERVER={served.server.url} TENANT=DEFAULT SERIAL={name}
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
openssl pkey -in key.pem -pubout -out public.pem
TIME=$(date +%s)
CLAIM_HASH=$(printf %s "$CLAIM" | sha256sum | cut -d' ' -f1)
KEY_HASH=$(openssl pkey -pubin -in public.pem -outform DER | sha256sum | cut -d' ' -f1)
printf 'otaru-enroll-v1\\n%s\\n%s\\n%s\\n%s\\n%s' "$TENANT" "$SERIAL" "$TIME" "$CLAIM_HASH" "$KEY_HASH" > text
SIGNATURE=$(openssl dgst -sha256 -sign key.pem text | base64 -w0)
jq -n --arg id "$SERIAL" --rawfile key public.pem --argjson time "$TIME" --arg signature "$SIGNATURE" \\
  '{{id: $id, hardware: "rpi4", public_key: $key, proof: {{time: $time, signature: $signature}}}}' |
  curl -sS "$SERVER/device/v1/enroll" -H "Authorization: Bearer $CLAIM" -d @- > enrolled.json
curl -sS -o poll.json -w '%{{http_code}}' -H "Authorization: TargetToken $(jq -r .token enrolled.json)" \\
  "$SERVER/$TENANT/controller/v1/$SERIAL"
"""
    ran = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "200"), (
        f"{ran.stdout}{ran.stderr}{(tmp_path / 'enrolled.json').read_text()}"
    )


def test_without_a_claim_nobody_enrolls(served: Apis, api: httpx.Client) -> None:
    body = {"id": fresh("sn"), "hardware": "rpi4"}
    for headers in (
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer x" * 99},
    ):
        problem(served.devices.post(ENROLL, json=body, headers=headers), 401, "unauthenticated")
    problem(enroll(served, "otaru-claim-guessed", body), 401, "unauthenticated")
    token = api.headers["authorization"].split()[1]
    problem(enroll(served, token, body), 401, "unauthenticated")
    made = claimed(api)
    problem(enroll(served, made["claim"], body | {"tenant": OTHER}), 401, "unauthenticated")
    assert api.get(f"/enrollments/{made['id']}").json()["used"] == 0


def test_a_claim_opens_nothing_else(served: Apis, api: httpx.Client) -> None:
    made, name = claimed(api), fresh("sn")
    assert enroll(served, made["claim"], {"id": name}).status_code == 201
    for scheme in ("TargetToken", "GatewayToken", "Bearer"):
        assert poll(served, name, f"{scheme} {made['claim']}") == 401
    bearer = {"Authorization": f"Bearer {made['claim']}"}
    assert httpx.get(f"{served.server.url}/api/v1/devices", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"[]",
        b"{}",
        b'{"id": 7}',
        b'{"id": "../up"}',
        b'{"id": "a b"}',
        b'{"id": "sn", "other": 1}',
        b'{"id": "sn", "hardware": ":"}',
        b'{"id": "sn", "tenant": "a/b"}',
        b'{"id": "sn", "want": "money"}',
        b'{"id": "sn", "want": "key"}',
        b'{"id": "sn", "want": "certificate"}',
        b'{"id": "sn", "attributes": {"a": "\\u0000"}}',
        b'{"id": "sn", "attributes": {"a": "\\ud800"}}',
        b'{"id": "sn", "attributes": {"a": 7}}',
        b'{"id": "sn", "public_key": "x"}',
        b'{"id": "sn", "proof": {"time": 1, "signature": "AA=="}}',
        b'{"id": "sn", "public_key": "x", "proof": {"time": 1, "signature": "AA=="}}',
        b'{"id": "sn", "csr": "x", "proof": {"time": 1, "signature": "AA=="}}',
        b'{"id": "sn", "public_key": "x", "csr": "x", "proof": {"time": 1, "signature": "AA=="}}',
        b'{"id": "sn", "public_key": "x", "proof": {"time": -1, "signature": "AA=="}}',
        b'{"id": "sn", "public_key": "x", "proof": {"time": 1e99, "signature": "AA=="}}',
        b'{"a":' * 20_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_request_is_told_so(served: Apis, api: httpx.Client, body: bytes) -> None:
    made = claimed(api)
    headers = {"Authorization": f"Bearer {made['claim']}"}
    answer = served.devices.post(ENROLL, content=body, headers=headers)
    problem(answer, 413 if len(body) > 65_536 else 400, "too_large" if len(body) > 65_536 else "invalid_input")
    assert api.get(f"/enrollments/{made['id']}").json()["used"] == 0
    assert served.devices.post(TOKEN, content=body).status_code in {400, 413}


def test_other_addresses_and_methods(served: Apis) -> None:
    problem(served.devices.post("/device/v1/nothing"), 404, "not_found")
    answer = served.devices.get(ENROLL)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_refusals_have_codes_of_their_own(served: Apis, api: httpx.Client) -> None:
    made = claimed(api, quota=1, hardware="rpi4", listed=True)
    listed, unlisted = fresh("sn"), fresh("sn")
    answer = api.post(f"/enrollments/{made['id']}/serials", json={"serials": [listed]})
    assert answer.json() == {"added": 1, "serials": 1}
    problem(enroll(served, made["claim"], {"id": unlisted}), 403, "serial_not_listed")
    said = problem(enroll(served, made["claim"], {"id": listed, "hardware": "rpi5"}), 403, "hardware_mismatch")
    assert (said["expected"], said["reported"]) == ("rpi4", "rpi5")
    device = Newborn(listed)
    assert enroll(served, made["claim"], device.asking(made["claim"], now())).status_code == 201
    problem(enroll(served, made["claim"], Newborn(listed).asking(made["claim"], now())), 403, "serial_taken")
    problem(enroll(served, made["claim"], device.asking("another", now())), 403, "proof_refused")
    said = problem(enroll(served, made["claim"], device.asking(made["claim"], now(-1000))), 403, "proof_time")
    assert abs(said["server_time"] - now().timestamp()) < 60
    api.post(f"/enrollments/{made['id']}/serials", json={"serials": [unlisted]})
    assert problem(enroll(served, made["claim"], {"id": unlisted}), 403, "claim_used_up")["quota"] == 1
    assert api.delete(f"/enrollments/{made['id']}").status_code == 204
    problem(enroll(served, made["claim"], {"id": unlisted}), 403, "claim_revoked")
    brief = claimed(api, expires_in_s=1)
    eventually(lambda: enroll(served, brief["claim"], {"id": unlisted}).json().get("code") == "claim_expired")
    kinds = [e["kind"] for e in api.get("/events", params={"subject": listed}).json()["items"]]
    assert kinds == ["device.added", "device.disputed"]


def test_devices_wait_and_are_accepted_or_rejected(served: Apis, api: httpx.Client) -> None:
    made, good, bad = claimed(api, approval="manual"), Newborn(fresh("sn")), Newborn(fresh("sn"))
    for device in (good, good, bad):
        answer = enroll(served, made["claim"], device.asking(made["claim"], now()))
        assert answer.status_code == 202
        assert int(answer.headers["retry-after"]) == answer.json()["retry_after_s"] == 300
        assert answer.json()["state"] == "pending"
        assert "token" not in answer.json()
    said = problem(served.devices.post(TOKEN, json=good.asking_grant(now())), 403, "device_pending")
    assert said["retry_after_s"] == 300
    assert api.get(f"/enrollments/{made['id']}").json()["used"] == 2
    served.server.otaru("device", "accept", good.id)
    served.server.otaru("device", "reject", bad.id)
    answer = enroll(served, made["claim"], good.asking(made["claim"], now()))
    assert answer.status_code == 201
    assert poll(served, good.id, f"TargetToken {answer.json()['token']}") == 200
    problem(enroll(served, made["claim"], bad.asking(made["claim"], now())), 403, "device_rejected")


@pytest.fixture
def keyed(served: Apis, api: httpx.Client) -> Newborn:
    """A device whose key is its only credential."""
    device, made = Newborn(fresh("sn"), p256()), claimed(api)
    answer = enroll(served, made["claim"], device.asking(made["claim"], now(), want="key"))
    assert answer.status_code == 201
    assert "token" not in answer.json()
    return device


def granted(served: Apis, device: Newborn) -> str:
    answer = served.devices.post(TOKEN, json=device.asking_grant(now()))
    assert answer.status_code == 201, answer.text
    assert (answer.json()["token_type"], answer.json()["expires_in_s"]) == ("Bearer", 3600)
    return f"Bearer {answer.json()['token']}"


def target(served: Apis, authorization: str, tenant: str = DEFAULT_TENANT) -> int:
    """404 for who may ask for targets: there is none of this name."""
    address = f"/tuf/{tenant}/image/targets/nothing"
    return served.devices.get(address, headers={"Authorization": authorization}).status_code


def test_a_key_buys_a_token_for_an_hour(served: Apis, keyed: Newborn, api: httpx.Client) -> None:
    bearer = granted(served, keyed)
    assert poll(served, keyed.id, bearer) == 200
    assert target(served, bearer) == 404
    claims = json.loads(base64.urlsafe_b64decode(bearer.split(".")[1] + "=="))
    assert base64.urlsafe_b64decode(claims["cnf"]["kid"] + "=").hex() == keyed.digest
    # It is this device's and this tenant's, and no API token.
    assert poll(served, fresh("nobody"), bearer) == 401
    twin = api.post("/devices", json={"id": fresh("sn"), "hardware": "x"}).json()
    assert poll(served, twin["id"], bearer) == 401
    assert poll(served, keyed.id, bearer, OTHER) == 401
    assert target(served, bearer, OTHER) == 401
    assert served.devices.get("/api/v1/devices", headers={"Authorization": bearer}).status_code == 401
    assert poll(served, keyed.id, bearer[:-4] + "AAAA") == 401
    assert target(served, bearer[:-4] + "AAAA") == 401


def test_what_was_signed_buys_one_token(served: Apis, keyed: Newborn) -> None:
    body = keyed.asking_grant(now())
    assert served.devices.post(TOKEN, json=body).status_code == 201
    problem(served.devices.post(TOKEN, json=body), 403, "proof_spent")
    problem(served.devices.post(TOKEN, json=keyed.asking_grant(now(-900))), 403, "proof_time")
    problem(served.devices.post(TOKEN, json=keyed.asking_grant(now(5), tenant=OTHER)), 401, "unauthenticated")
    problem(served.devices.post(TOKEN, json=keyed.asking_grant(now(5), id="nobody")), 401, "unauthenticated")
    stranger = Newborn(keyed.id)
    problem(served.devices.post(TOKEN, json=stranger.asking_grant(now())), 401, "unauthenticated")
    forged = stranger.asking_grant(now()) | {"public_key": keyed.pem}
    problem(served.devices.post(TOKEN, json=forged), 403, "proof_refused")


def test_revoking_the_key_kills_its_tokens_at_once(served: Apis, keyed: Newborn, api: httpx.Client) -> None:
    bearer = granted(served, keyed)
    assert poll(served, keyed.id, bearer) == 200
    (credential,) = api.get(f"/devices/{keyed.id}/credentials").json()["items"]
    assert credential["kind"] == "key"
    assert api.delete(f"/devices/{keyed.id}/credentials/{credential['id']}").status_code == 204
    assert poll(served, keyed.id, bearer) == 401
    assert target(served, bearer) == 401
    problem(served.devices.post(TOKEN, json=keyed.asking_grant(now(7))), 401, "unauthenticated")


def test_a_token_that_was_seen_is_answered_from_memory_and_no_longer_than_it_is_good(tmp_path: Path) -> None:
    """Polls of one connection: revoked, refused by the next; another's token and a changed one are refused throughout."""
    with serving(tmp_path / "data") as server, server.api() as api, httpx.Client(base_url=server.url) as devices:
        claim = claimed(api)["claim"]
        bearers = {}
        for name in ("sn-1", "sn-2"):
            device = Newborn(name)
            headers = {"Authorization": f"Bearer {claim}"}
            assert (
                devices.post(ENROLL, json=device.asking(claim, now(), want="key"), headers=headers).status_code == 201
            )
            token = devices.post(TOKEN, json=device.asking_grant(now())).json()["token"]
            bearers[name] = {"Authorization": f"Bearer {token}"}
        poll = "/DEFAULT/controller/v1/sn-1"
        answers = [devices.get(poll, headers=bearers["sn-1"]) for _ in range(3)]
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
        changed = {"Authorization": bearers["sn-1"]["Authorization"][:-4] + "AAAA"}
        for wrong in (bearers["sn-2"], changed):
            assert {devices.get(poll, headers=wrong).status_code for _ in range(2)} == {401}
        (credential,) = api.get("/devices/sn-1/credentials").json()["items"]
        assert api.delete(f"/devices/sn-1/credentials/{credential['id']}").status_code == 204
        assert devices.get(poll, headers=bearers["sn-1"]).status_code == 401


def test_decommissioning_the_device_kills_its_tokens_at_once(served: Apis, keyed: Newborn, api: httpx.Client) -> None:
    bearer = granted(served, keyed)
    assert poll(served, keyed.id, bearer) == 200
    assert api.delete(f"/devices/{keyed.id}").status_code == 204
    assert poll(served, keyed.id, bearer) == 401
    assert target(served, bearer) == 401
    problem(served.devices.post(TOKEN, json=keyed.asking_grant(now(7))), 401, "unauthenticated")


def test_tokens_outlive_the_server(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, server.api() as api, httpx.Client(base_url=server.url) as devices:
        claim = claimed(api)["claim"]
        device = Newborn("sn-1")
        headers = {"Authorization": f"Bearer {claim}"}
        assert devices.post(ENROLL, json=device.asking(claim, now(), want="key"), headers=headers).status_code == 201
        bearer = {"Authorization": f"Bearer {devices.post(TOKEN, json=device.asking_grant(now())).json()['token']}"}
        server.kill()
    with serving(tmp_path / "data") as server:
        assert httpx.get(f"{server.url}/DEFAULT/controller/v1/sn-1", headers=bearer).status_code == 200


def test_a_certificate_is_a_claim_where_a_proxy_ends_tls(tmp_path: Path) -> None:
    factory, stranger = authority("factory"), authority("factory")
    line = factory.device("line-3", days=36_500)
    copy = stranger.device("line-3", days=36_500)
    options = ("--client-cert-header", "Client-Cert", "--trusted-proxies", "127.0.0.2")
    with serving(tmp_path / "data", *options) as server, server.api() as api:
        made = claimed(api, certificate=(line.pem + factory.pem).decode())
        assert made["claim"] is None
        assert made["by_certificate"]
        proxy = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(base_url=server.url, transport=proxy) as devices, httpx.Client(base_url=server.url) as direct:
            known, unknown = ({"Client-Cert": one.rfc9440} for one in (line, copy))
            # What is shown is the hash of the certificate's public key.
            proof = Newborn("sn-1")
            claim = sha256_of_key(line)
            body = {
                "id": "sn-1",
                "public_key": proof.pem,
                "proof": {
                    "time": (signed := proof.to_enroll(claim, now())).time_s,
                    "signature": base64.b64encode(signed.signature).decode(),
                },
            }
            assert devices.post(ENROLL, json=body, headers=known).status_code == 201
            assert devices.post(ENROLL, json={"id": "sn-2"}, headers=known).status_code == 201
            problem(devices.post(ENROLL, json={"id": "sn-3"}, headers=unknown), 401, "unauthenticated")
            problem(direct.post(ENROLL, json={"id": "sn-3"}, headers=known), 401, "unauthenticated")
            # A claim is no device's credential, whatever its subject says.
            api.post("/devices", json={"id": "line-3", "hardware": "x"})
            assert devices.get("/DEFAULT/controller/v1/line-3", headers=known).status_code == 401
            api.delete(f"/enrollments/{made['id']}")
            problem(devices.post(ENROLL, json={"id": "sn-3"}, headers=known), 403, "claim_revoked")


def sha256_of_key(issued: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256(
        issued.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()
