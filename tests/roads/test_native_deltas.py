"""Deltas on the native road: told to who says what it can take, and given to it alone; from poll to the new file."""

import hashlib
import random
from typing import Any

import pytest

from otaru.adapters.clock import SystemClock
from otaru.adapters.links.native import Credential, native_link
from otaru.domain.ids import DEFAULT_TENANT, DeviceId, Sha256
from otaru.domain.link import Taking
from otaru.images.delta import patch
from tests.support.ddi import DdiDevice, Operator, eventually
from tests.support.images import Watched

ROAD = "/device/v1"
FORMS = "forms=sequential-lzma,sequential-heatshrink,zstd-patch&memory=100000000"
BASE = random.Random(11).randbytes(50_000)


def content(version: str) -> bytes:
    return BASE[:20_000] + version.encode() * 30 + BASE[20_000:]


class Stage:
    """A device that is due to go from 1.0 to 1.1, and deltas between them that are made."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        old = operator.release(content("1.0"), version="1.0")
        self.product = old.partition(":")[0]
        self.device: DdiDevice = operator.device(installed={self.product: "1.0"})
        self.new = operator.release(content("1.1"), product=self.product, version="1.1")
        self.here = f"/releases/{self.product}/1.1/deltas"
        eventually(lambda: {one["state"] for one in self.listed()} == {"made"})

    def listed(self) -> list[dict[str, Any]]:
        return list(self.operator.ok("GET", self.here)["items"])

    def file(self, query: str = "", device: DdiDevice | None = None) -> dict[str, Any]:
        device = device or self.device
        answer = device.request("GET", f"{ROAD}/poll?device={device.id}{query and '&' + query}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["offer"]["files"][0]
        return found


@pytest.fixture(scope="module")
def stage(operator: Operator) -> Stage:
    stage = Stage(operator)
    operator.rollout(stage.device, stage.new)
    return stage


def test_who_says_nothing_of_deltas_is_told_of_none(stage: Stage) -> None:
    assert "patches" not in stage.file()


def test_a_device_comes_to_the_new_file_by_a_delta(stage: Stage) -> None:
    file = stage.file(FORMS)
    told = {one["form"]: one for one in file["patches"]}
    assert set(told) == {"sequential-lzma", "sequential-heatshrink"}
    assert [one["size"] for one in file["patches"]] == sorted(one["size"] for one in file["patches"])
    for one in told.values():
        assert "path" not in one
        assert one["from"] == hashlib.sha256(content("1.0")).hexdigest()
        got = stage.device.request("GET", one["addresses"][0])
        assert (got.status_code, len(got.content)) == (200, one["size"])
        assert one["size"] < file["size"]
        assert hashlib.sha256(got.content).hexdigest() == one["sha256"]
        made = b"".join(patch.apply(Watched(got.content), Watched(content("1.0")), one["memory"], file["size"]))
        assert hashlib.sha256(made).hexdigest() == file["sha256"]
        part = stage.device.request("GET", one["addresses"][0], headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, got.content[10:20])


@pytest.mark.parametrize(
    ("query", "forms"),
    [
        ("forms=sequential-heatshrink&memory=256", {"sequential-heatshrink"}),
        ("forms=sequential-heatshrink&memory=255", set()),
        ("forms=zstd-patch,none&memory=1000000", set()),
        (f"{FORMS}&has={'0' * 64}", set()),
        (
            f"{FORMS}&has={'0' * 64},{hashlib.sha256(content('1.0')).hexdigest()}",
            {"sequential-lzma", "sequential-heatshrink"},
        ),
    ],
)
def test_only_what_it_can_take_and_leads_from_what_it_has(stage: Stage, query: str, forms: set[str]) -> None:
    assert {one["form"] for one in stage.file(query).get("patches", [])} == forms


def test_our_own_link_asks_for_them(stage: Stage) -> None:
    old, device = Sha256(hashlib.sha256(content("1.0")).hexdigest()), stage.device
    credential = Credential.target(DeviceId(device.id), device.token)
    server = stage.operator.server.url
    with native_link(server, DEFAULT_TENANT, DeviceId(device.id), credential, SystemClock()) as link:
        said: list[tuple[tuple[Sha256, ...], set[str]]] = [
            ((), {"sequential-heatshrink"}),
            ((old,), {"sequential-heatshrink"}),
            ((Sha256(old[::-1]),), set()),
        ]
        for has, forms in said:
            offer = link.poll(taking=Taking(("sequential-heatshrink", "zstd-patch"), 10_000, has)).offer
            assert offer is not None
            assert {one.form for one in offer.files[0].patches} == forms
        offer = link.poll().offer
        assert offer is not None
        assert offer.files[0].patches == ()


@pytest.mark.parametrize(
    "query", ["forms=a", "forms=a&memory=x", "forms=a&memory=1&has=zz", f"forms={'a,' * 20}&memory=1"]
)
def test_what_is_mistyped_is_refused(stage: Stage, query: str) -> None:
    answer = stage.device.request("GET", f"{ROAD}/poll?device={stage.device.id}&{query}")
    assert answer.status_code == 400, answer.text


def test_a_delta_is_given_to_who_is_to_have_its_file(stage: Stage) -> None:
    one = stage.file(FORMS)["patches"][0]
    address = one["addresses"][0]
    operator, mine = stage.operator, stage.device
    idle = operator.device()
    theirs = address.replace(f"device={mine.id}", f"device={idle.id}")
    assert idle.request("GET", address).status_code == 401
    assert idle.request("GET", theirs).status_code == 404
    assert idle.http.get(address).status_code == 401
    for wrong in (
        address.replace(one["sha256"], "0" * 64),
        address.replace(one["sha256"], hashlib.sha256(content("1.1")).hexdigest()),
        address.replace("action=", "action=9"),
    ):
        assert mine.request("GET", wrong).status_code == 404
    assert mine.request("GET", address.replace(one["sha256"], "zz")).status_code == 400
    assert mine.request("GET", address).status_code == 200


def test_a_withdrawn_release_takes_its_deltas_along(operator: Operator) -> None:
    stage = Stage(operator)
    operator.rollout(stage.device, stage.new)
    address = stage.file(FORMS)["patches"][0]["addresses"][0]
    operator.ok("POST", f"/releases/{stage.product}/1.1/withdraw")
    assert stage.device.request("GET", address).status_code == 404
