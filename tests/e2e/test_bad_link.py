"""A download over a bad link, in a network namespace of its own: slow, lossy, and broken off again and again."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.support.bad_link import SIZE

NAMESPACE = ("unshare", "--net", "--map-root-user")


def can() -> bool:
    """Whether this computer lets us have a network of our own."""
    if not (shutil.which("unshare") and shutil.which("tc") and shutil.which("ip")):
        return False
    tried = subprocess.run(
        [
            *NAMESPACE,
            "tc",
            "qdisc",
            "add",
            "dev",
            "lo",
            "root",
            "tbf",
            "rate",
            "1mbit",
            "burst",
            "3000",
            "limit",
            "9000",
        ],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can(), reason="no network namespaces, or no tc")
def test_a_file_comes_whole_over_a_bad_link() -> None:
    command = [*NAMESPACE, sys.executable, "-m", "tests.support.bad_link"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["right"], told
    assert told["packets_lost"] > 0, "the link was bad"
    starts = told["connections"]
    assert len(starts) >= 3, "it was broken off"
    assert starts == sorted(starts), "what came is not asked for again"
    assert told["bytes_on_the_wire"] < 2 * SIZE
