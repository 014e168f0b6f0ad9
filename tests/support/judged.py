"""A rollout whose judge has held one revision, made by requests: what the console's verdict is looked at with."""

import httpx

from tests.support.ddi import DdiDevice, Operator, eventually
from tests.support.server import Serving
from tests.support.staged import fail, succeed

MODEL, PRODUCT = "gateway", "firmware"
REVISIONS = {"r1": 30, "r2": 14, "r3": 12}
LAST_WORDS = "kernel panic: VFS: unable to mount root fs on unknown-block(179,2)"


def judged(server: Serving) -> int:
    """Make devices of three revisions and bring them a release that the last one takes badly. The rollout's number."""
    with server.api() as api, httpx.Client(base_url=server.url, timeout=30) as devices:
        people = Operator(server, api, devices)
        fleet = [
            people.device(f"{MODEL}:{revision}", f"{revision}-{number:03}")
            for revision, many in REVISIONS.items()
            for number in range(1, many + 1)
        ]
        body = {
            "release": _release(people),
            "target": f"hardware=={MODEL}",
            "name": "Spring update",
            "judge": "sequential",
            "split": ["hardware"],
            "waves": ["24", "36", "100%"],
            "start": True,
        }
        here = f"/rollouts/{people.ok('POST', '/rollouts', json=body)['id']}"
        told = [device for device in fleet if "deploymentBase" in device.links()]
        for device in told:
            _take(device)
        eventually(lambda: any(segment["held"] for segment in people.ok("GET", here)["segments"]))
        return int(here.rpartition("/")[2])


def _take(device: DdiDevice) -> None:
    if device.id.startswith("r3"):
        fail(device, LAST_WORDS)
    else:
        succeed(device)


def _release(people: Operator) -> str:
    made = people.ok("POST", "/artifacts", params={"filename": "gateway.swu"}, content=b"gateway 2.4.0" * 4000)
    hardware = [f"{MODEL}:{revision}" for revision in REVISIONS]
    file = {"sha256": made["sha256"], "filename": "gateway.swu", "hardware": hardware}
    people.ok("POST", "/releases", json={"product": PRODUCT, "version": "2.4.0", "artifacts": [file]})
    return f"{PRODUCT}:2.4.0"
