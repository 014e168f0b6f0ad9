"""Bytes in and out: at once, in parts, within limits, in ranges."""

import hashlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from otaru.domain.access import Role
from tests.support.api import MATRIX, OTHER, Apis, fresh, problem, released, uploaded
from tests.support.ddi import eventually

BIG = bytes(range(256)) * 4096


def offset(start: int) -> dict[str, str]:
    return {"Upload-Offset": str(start)}


@pytest.fixture
def upload(api: httpx.Client) -> str:
    answer = api.post("/uploads", json={"filename": "app.swu"})
    assert answer.status_code == 201
    assert answer.json()["offset"] == 0
    return str(answer.json()["id"])


def test_an_artifact_has_its_digests(api: httpx.Client) -> None:
    content = fresh("content").encode()
    answer = api.post("/artifacts", params={"filename": "a.swu"}, content=content)
    assert answer.status_code == 201
    told = answer.json()
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert told["sha1"] == hashlib.sha1(content, usedforsecurity=False).hexdigest()
    assert told["md5"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert told["size"] == len(content)
    again = api.post("/artifacts", content=content)
    assert (again.status_code, again.json()) == (200, told)
    assert api.get(f"/artifacts/{told['sha256']}").json() == told | {"image": None}


def test_an_empty_artifact_is_one(api: httpx.Client) -> None:
    assert api.get(f"/artifacts/{uploaded(api, b'')}/content").content == b""


def test_what_went_in_comes_out_whole_and_in_ranges(api: httpx.Client) -> None:
    here = f"/artifacts/{uploaded(api, BIG)}/content"
    assert api.get(here).content == BIG
    for said, part in (
        ("bytes=0-0", BIG[:1]),
        ("bytes=1000-1999", BIG[1000:2000]),
        ("bytes=-5", BIG[-5:]),
        ("bytes=1048570-", BIG[-6:]),
    ):
        answer = api.get(here, headers={"Range": said})
        assert (answer.status_code, answer.content) == (206, part), said
    head = api.head(here)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(BIG)), b"")
    assert api.get(here, headers={"If-None-Match": head.headers["etag"]}).status_code == 304


def test_an_upload_in_parts_goes_on_where_it_ended(api: httpx.Client, upload: str) -> None:
    here = f"/uploads/{upload}"
    assert api.patch(here, content=BIG[:1000], headers=offset(0)).json()["offset"] == 1000
    assert api.get(here).json()["offset"] == 1000
    problem(api.patch(here, content=b"x", headers=offset(500)), 409, "invalid_state")
    problem(api.patch(here, content=b"x"), 400, "invalid_input")
    assert api.patch(here, content=BIG[1000:], headers=offset(1000)).json()["offset"] == len(BIG)
    done = api.post(f"{here}/finish", json={"sha256": hashlib.sha256(BIG).hexdigest()})
    assert done.json()["size"] == len(BIG)
    problem(api.get(here), 404, "not_found")
    problem(api.post(f"{here}/finish"), 404, "not_found")


def test_an_upload_that_is_not_what_was_announced_is_gone(api: httpx.Client, upload: str) -> None:
    here = f"/uploads/{upload}"
    api.patch(here, content=b"abc", headers=offset(0))
    problem(api.post(f"{here}/finish", json={"sha256": "0" * 64}), 422, "checksum_mismatch")
    problem(api.get(here), 404, "not_found")


def test_a_part_that_broke_off_is_kept(served: Apis, api: httpx.Client, upload: str) -> None:
    where = urlsplit(served.server.url)
    lines = (
        f"PATCH /api/v1/uploads/{upload} HTTP/1.1",
        f"Host: {where.netloc}",
        f"Authorization: {api.headers['authorization']}",
        "Upload-Offset: 0",
        "Content-Length: 1000000",
        "",
        "",
    )
    with socket.create_connection((str(where.hostname), where.port or 0)) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"x" * 300_000)

    # What arrived before the line broke is kept, and once the server has noticed, it goes on from there.
    def settled() -> int | None:
        reached: int = api.get(f"/uploads/{upload}").json()["offset"]
        answer = api.patch(f"/uploads/{upload}", content=b"", headers=offset(reached))
        return reached if reached > 0 and answer.is_success else None

    reached = eventually(settled)
    assert reached <= 300_000
    rest = b"x" * (400_000 - reached)
    assert api.patch(f"/uploads/{upload}", content=rest, headers=offset(reached)).json()["offset"] == 400_000
    done = api.post(f"/uploads/{upload}/finish", json={"sha256": hashlib.sha256(b"x" * 400_000).hexdigest()})
    assert done.is_success, done.text


def test_an_upload_is_forgotten(api: httpx.Client, upload: str) -> None:
    assert api.delete(f"/uploads/{upload}").status_code == 204
    problem(api.get(f"/uploads/{upload}"), 404, "not_found")
    problem(api.delete(f"/uploads/{upload}"), 404, "not_found")


def test_an_announced_size_is_the_limit(api: httpx.Client) -> None:
    upload = api.post("/uploads", json={"filename": "a", "size": 10}).json()
    assert upload["limit"] == 10
    problem(api.patch(f"/uploads/{upload['id']}", content=b"x" * 11, headers=offset(0)), 413, "too_large")


def test_an_upload_that_ends_before_its_announced_size_is_no_artifact(api: httpx.Client) -> None:
    upload = api.post("/uploads", json={"filename": "a", "size": len(BIG)}).json()
    here = f"/uploads/{upload['id']}"
    api.patch(here, content=BIG[:10], headers=offset(0))
    told = problem(api.post(f"{here}/finish", json={}), 409, "invalid_state")
    assert f"ends at 10 of {len(BIG)}" in told["detail"]
    assert "offset 10" in told["hint"]
    assert told["offset"] == 10
    api.patch(here, content=BIG[10:], headers=offset(10))
    done = api.post(f"{here}/finish", json={})
    assert done.is_success
    assert done.json()["sha256"] == hashlib.sha256(BIG).hexdigest()


@pytest.fixture
def limited(served: Apis) -> Iterator[httpx.Client]:
    """A tenant that may store 1000 bytes more, in artifacts of 600 at most."""
    with served.client(Role.ADMIN, OTHER) as other:
        before = other.get("/tenant").json()
        settings = {"max_artifact": 600, "quota": before["used"] + 1000}
        assert other.patch("/tenant", json={"settings": settings}).is_success
        yield other
        unlimited = {name: before["settings"][name] for name in settings}
        other.patch("/tenant", json={"settings": unlimited})
        for artifact in other.get("/artifacts", params={"limit": 1000}).json()["items"]:
            other.delete(f"/artifacts/{artifact['sha256']}")


def streamed(content: bytes) -> Iterator[bytes]:
    """Sent in chunks: nobody knows its length before."""
    for start in range(0, len(content), 100):
        yield content[start : start + 100]


def test_the_largest_artifact_is_checked_before_and_while_it_flows(limited: httpx.Client) -> None:
    assert problem(limited.post("/artifacts", content=b"x" * 601), 413, "too_large")["limit"] == 600
    problem(limited.post("/artifacts", content=streamed(b"x" * 601)), 413, "too_large")
    assert limited.post("/artifacts", content=streamed(b"x" * 600)).status_code == 201
    problem(limited.post("/uploads", json={"filename": "a", "size": 601}), 413, "too_large")


def test_the_quota_holds_over_all_artifacts(limited: httpx.Client) -> None:
    assert limited.post("/artifacts", content=b"a" * 600).status_code == 201
    told = problem(limited.post("/artifacts", content=b"b" * 500), 413, "too_large")
    assert "400 are left" in told["detail"]
    problem(limited.post("/artifacts", content=streamed(b"b" * 500)), 413, "too_large")
    assert limited.post("/artifacts", content=b"b" * 400).status_code == 201
    used = limited.get("/tenant").json()
    assert used["used"] == used["settings"]["quota"]
    limited.delete(f"/artifacts/{hashlib.sha256(b'a' * 600).hexdigest()}")
    assert limited.post("/artifacts", content=b"c" * 600).status_code == 201


def test_uploads_at_the_same_time_do_not_pass_the_quota_together(limited: httpx.Client) -> None:
    first, second = (limited.post("/uploads", json={"filename": "a", "size": 600}).json()["id"] for _ in range(2))
    for upload, letter in ((first, b"d"), (second, b"e")):
        assert limited.patch(f"/uploads/{upload}", content=letter * 600, headers=offset(0)).is_success
    assert limited.post(f"/uploads/{first}/finish").status_code == 201
    problem(limited.post(f"/uploads/{second}/finish"), 413, "too_large")
    limited.delete(f"/artifacts/{hashlib.sha256(b'd' * 600).hexdigest()}")
    assert limited.post(f"/uploads/{second}/finish").status_code == 201


def test_an_artifact_of_a_release_stays(api: httpx.Client) -> None:
    product, version = released(api).split(":")
    sha256 = api.get(f"/releases/{product}/{version}").json()["artifacts"][0]["sha256"]
    problem(api.delete(f"/artifacts/{sha256}"), 409, "invalid_state")
    items = api.get("/artifacts", params={"limit": 1000}).json()["items"]
    assert next(a["releases"] for a in items if a["sha256"] == sha256) == 1


def test_a_deleted_artifact_is_gone_for_this_tenant_only(served: Apis, api: httpx.Client) -> None:
    content = fresh("shared").encode()
    sha256 = uploaded(api, content)
    with served.client(Role.PUBLISHER, MATRIX) as elsewhere:
        uploaded(elsewhere, content)
        assert api.delete(f"/artifacts/{sha256}").status_code == 204
        problem(api.get(f"/artifacts/{sha256}/content"), 404, "not_found")
        problem(api.delete(f"/artifacts/{sha256}"), 404, "not_found")
        assert elsewhere.get(f"/artifacts/{sha256}/content").content == content
    assert uploaded(api, content) == sha256
