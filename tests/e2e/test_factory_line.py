"""The factory line of docs/enrollment.md, in full: 1,001 devices with one claim for 1,000, many at once, over real HTTP."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.ddi import eventually
from tests.support.server import Serving, serving

PROGRAM = Path(__file__).parents[2] / "docs/examples/factory.py"


def factory(server: Serving, claim: str, devices: int, prefix: str = "sn-") -> tuple[int, dict[str, object]]:
    command = [sys.executable, str(PROGRAM), "--server", server.url, "--claim", claim, "--prefix", prefix]
    ran = subprocess.run([*command, "--devices", str(devices)], capture_output=True, text=True, check=False)
    assert ran.returncode in {0, 1}, ran.stderr
    return ran.returncode, json.loads(ran.stdout)


def test_a_thousand_devices_enroll_with_one_claim_and_poll(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, server.api() as api:
        made = json.loads(
            server.otaru("enrollment", "create", "line", "--quota", "1000", "--tag", "may", "--json").stdout
        )
        code, told = factory(server, made["claim"], 1001)
        assert (code, told["told"], told["polled"]) == (1, {"201": 1000, "403 claim_used_up": 1}, 1000)
        assert api.get(f"/enrollments/{made['id']}").json()["used"] == 1000
        page = api.get("/devices", params={"q": "tag==may;lifecycle==active", "count": True, "limit": 1}).json()
        assert page["total"] == 1000

        def heard() -> bool:
            unheard = api.get("/devices", params={"q": "last_contact=null=true", "count": True, "limit": 1})
            return bool(unheard.json()["total"] == 0)

        assert eventually(heard)
        # The same serials with other keys: each is refused, and none counts.
        code, told = factory(server, made["claim"], 3)
        refused = told["told"]
        assert isinstance(refused, dict)
        assert refused.get("403 serial_taken", 0) >= 2
        assert api.get(f"/enrollments/{made['id']}").json()["used"] == 1000
