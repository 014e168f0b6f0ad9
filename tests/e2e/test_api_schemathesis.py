"""The description held against the server by a stranger: schemathesis sends what it allows and what it does not."""

import subprocess
import sys
from pathlib import Path

from tests.support.api import apis, planned

RULES = """
# A stream that does not end, and the end of the token that this run lives by.
[[operations]]
include-operation-id = ["stream_events", "revoke_token"]
enabled = false

# `batch` and `events` are ids of devices as any other, so what `/devices/{device}` knows is there too.
[[operations]]
include-operation-id = ["add_devices", "tell_events"]
checks.allow_header_conformance.enabled = false
checks.unsupported_method.enabled = false

# It takes a header that nobody described for wrong input.
[[operations]]
include-operation-id = "append_to_upload"
checks.negative_data_rejection.enabled = false

# Well-formed is not yet right: a cursor that no page gave, a digest of other bytes, an If-Match that is no ETag.
[checks]
positive_data_acceptance.enabled = false
"""

METHODS = {"get", "head", "post", "put", "patch", "delete"}


def test_it_answers_as_it_is_described(tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(RULES)
    with apis(tmp_path / "data") as running, running.client() as api:
        planned(api, 3, start=True)
        words = ("run", f"{running.server.url}/api/openapi.json", "--phases", "coverage,fuzzing")
        bounds = (
            "--max-examples",
            "3",
            "--request-timeout",
            "60",
            "--seed",
            "7",
            "--generation-database",
            "none",
            "--no-color",
        )
        token = ("-H", f"Authorization: {api.headers['authorization']}", "--suppress-health-check", "all")
        program = (sys.executable, "-m", "schemathesis.cli")
        ran = subprocess.run(
            [*program, *words, *bounds, *token], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
        )
        assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr
        paths = api.get(f"{running.server.url}/api/openapi.json").json()["paths"].values()
        operations = sum(method in METHODS for path in paths for method in path)
        assert f"Tested: {operations - 2}" in ran.stdout, "all but those that RULES leave out" + ran.stdout[-3000:]
        assert "Traceback" not in running.server.data.with_name("data.log").read_text()
