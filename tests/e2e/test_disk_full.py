"""A full disk is answered with 507 and loses nothing; when there is room again, everything goes on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Serving, serving

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("only root can mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


def attempt(server: Serving, number: int) -> int:
    with server.api() as api:
        body = {"id": f"more-{number}", "hardware": "default", "attributes": {"words": "x" * 2000}}
        return api.post("/devices", json=body).status_code


def test_an_upload_that_does_not_fit_is_refused_and_leaves_room(small_disk: Path) -> None:
    with serving(small_disk / "data") as server, server.api() as api:
        answer = api.post("/artifacts?filename=large.bin", content=os.urandom(40 * MIB))
        assert answer.status_code == 507, answer.text
        assert answer.json()["code"] == "storage_full"
        assert api.post("/artifacts?filename=small.bin", content=os.urandom(MIB)).status_code == 201
        assert api.post("/devices", json={"id": "dev-1", "hardware": "default"}).status_code == 201


def test_changes_on_a_full_disk_are_refused_and_none_that_was_acknowledged_is_lost(small_disk: Path) -> None:
    with serving(small_disk / "data") as server, server.api() as api:
        filler = fill(small_disk)
        answers = [attempt(server, n) for n in range(200)]
        assert set(answers) <= {201, 507}
        assert 507 in answers
        added = {f"more-{n}" for n, status in enumerate(answers) if status == 201}
        assert api.get("/devices?limit=1").status_code == 200, "reading goes on"
        filler.unlink()
        assert attempt(server, 1000) == 201
        kept = {device["id"] for device in api.get("/devices?limit=1000").json()["items"]}
        assert kept == added | {"more-1000"}
