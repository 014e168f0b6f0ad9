"""The transparency log of a running server: what strangers read, and what is found of a history that was changed."""

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT
from otaru.trust.log.gossip import grown, growth
from otaru.trust.log.merkle import EMPTY_ROOT, ProofError, leaf_hash
from otaru.trust.log.notes import opened, sign, verifier
from otaru.trust.log.tiles import unbundle
from tests.support.api import OTHER, Apis, apis, problem, released
from tests.support.command import call
from tests.support.ddi import eventually
from tests.support.server import Serving, serving


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apis]:
    """A server with something in both logs of the default tenant, signed."""
    with apis(tmp_path_factory.mktemp("log") / "data") as made:
        with made.client() as api:
            released(api)
            _signed(api)
        yield made


def _signed(api: httpx.Client) -> dict[str, int]:
    """Wait until all that was logged is signed; how many entries each log has."""

    def sizes() -> dict[str, int] | None:
        logs = api.get("/log").json()["logs"]
        if any(one["signed"] < one["entries"] or not one["entries"] for one in logs):
            return None
        return {one["log"]: one["signed"] for one in logs}

    # What waits for its place is not counted yet: two looks, a round of the worker apart.
    first = eventually(sizes)
    assert first
    return first


@pytest.fixture
def log(noted: Apis) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{noted.server.url}/log/DEFAULT/release", timeout=30) as client:
        yield client


def test_who_has_seen_a_head_is_shown_that_the_newest_grows_from_it(noted: Apis, log: httpx.Client) -> None:
    key = verifier(log.get("/key").text.strip())
    seen = log.get("/checkpoint").text
    with noted.client() as api:
        released(api)
        eventually(lambda: log.get("/checkpoint").text != seen)
    answer = log.post("/consistency", content=seen)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, no-cache")
    newest = grown(seen, answer.text, key)
    assert opened(newest, key).size > opened(seen, key).size
    assert grown(newest, log.post("/consistency", content=newest).text, key) == newest
    problem(log.post("/consistency", content=seen.replace("otaru", "other")), 400, "invalid_input")
    problem(log.post("/consistency", content=b"\xff"), 400, "invalid_input")
    assert log.post("/consistency", content=b"x" * 20_000).status_code == 413
    assert log.get("/consistency").status_code == 405
    audit = f"{noted.server.url}/log/DEFAULT/audit/consistency"
    assert httpx.post(audit, content=seen).status_code == 401
    with noted.client() as api:
        assert not [one for one in api.get("/events?limit=1000").json()["items"] if one["kind"] == "log.split"]


def test_a_head_that_the_log_does_not_have_is_evidence(noted: Apis, log: httpx.Client) -> None:
    """Signed by the log's key over another tree, as a server would that shows two histories."""
    private = load_pem_private_key((noted.server.data / "log/DEFAULT/release.key").read_bytes(), None)
    assert isinstance(private, Ed25519PrivateKey)
    key = verifier(log.get("/key").text.strip())
    real = opened(log.get("/checkpoint").text, key)
    other, longer = replace(real, root=leaf_hash(b"x")), replace(real, size=real.size + 1000)
    for split in (other, longer, other):
        note = sign(split, key.name, private)
        problem(log.post("/consistency", content=note), 409, "log_split")
        with pytest.raises(ProofError):
            grown(note, growth(split.size, [], log.get("/checkpoint").text), key)
    with noted.client() as api:
        kept = [one for one in api.get("/events?limit=1000").json()["items"] if one["kind"] == "log.split"]
    assert {opened(one["data"]["note"], key) for one in kept} == {other, longer}
    assert len(kept) == 2


def _published(api: httpx.Client, number: int) -> None:
    """Wait until the release log says of so many releases that they were published, and is signed."""

    def said() -> bool:
        entries = api.get("/log/release/entries", params={"limit": 1000}).json()["items"]
        return [one["kind"] for one in entries].count("release.moved") == number

    eventually(said)
    _signed(api)


class TestRoad:
    def test_the_release_log_is_for_everybody(self, noted: Apis) -> None:
        base = f"{noted.server.url}/log/DEFAULT/release"
        key = verifier(httpx.get(f"{base}/key").text)
        answer = httpx.get(f"{base}/checkpoint")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["cache-control"] == "public, no-cache"
        head = opened(answer.text, key)
        bundle = httpx.get(f"{base}/tile/entries/000.p/{head.size}")
        tile = httpx.get(f"{base}/tile/0/000.p/{head.size}")
        assert bundle.headers["content-type"] == tile.headers["content-type"] == "application/octet-stream"
        assert tile.headers["cache-control"] == "public, max-age=31536000, immutable"
        entries = unbundle(bundle.content)
        assert tile.content == b"".join(leaf_hash(entry) for entry in entries)
        assert "published" in {json.loads(entry)["data"].get("to") for entry in entries}
        assert head.root != EMPTY_ROOT

    def test_the_audit_log_is_for_those_who_may_read_it(self, noted: Apis) -> None:
        for what in ("checkpoint", "key", "tile/0/000.p/1", "tile/entries/000.p/1"):
            url = f"{noted.server.url}/log/DEFAULT/audit/{what}"
            problem(httpx.get(url), 401, "unauthenticated")
            for tenant, role, status, code in (
                (DEFAULT_TENANT, Role.VIEWER, 403, "forbidden"),
                (OTHER, Role.ADMIN, 404, "not_found"),
            ):
                bearer = {"Authorization": f"Bearer {noted.secrets[tenant, role]}"}
                problem(httpx.get(url, headers=bearer), status, code)
            bearer = {"Authorization": f"Bearer {noted.secrets[DEFAULT_TENANT, Role.ADMIN]}"}
            answer = httpx.get(url, headers=bearer)
            assert answer.status_code == 200
            assert answer.headers["cache-control"].startswith("private, ")

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "DEFAULT",
            "DEFAULT/release",
            "DEFAULT/other/checkpoint",
            "DEFAULT/release/witnessed",
            "DEFAULT/release/tile/0/000",
            "DEFAULT/release/tile/0/999.p/1",
            "DEFAULT/release/tile/entries/x001/000.p/2",
            "DEFAULT/release/tile/9/000",
            "DEFAULT/release/tile/0/000.p/1/",
            "DEFAULT/release/tile/0/%2e%2e/000",
            "nobody/release/checkpoint",
            "log/release/checkpoint",
            "%00/release/checkpoint",
        ],
    )
    def test_there_is_nothing_else(self, noted: Apis, path: str) -> None:
        problem(httpx.get(f"{noted.server.url}/log/{path}"), 404, "not_found")

    def test_logs_are_read_only(self, noted: Apis) -> None:
        url = f"{noted.server.url}/log/DEFAULT/release/checkpoint"
        assert problem(httpx.post(url), 405, "method_not_allowed")["allowed"] == ["GET", "HEAD"]
        head = httpx.head(url)
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(httpx.get(url).content)


def test_a_tenant_reads_its_own_logs(noted: Apis) -> None:
    with noted.client() as ours, noted.client(tenant=OTHER) as theirs:
        for log in ("release", "audit"):
            path = f"/log/{log}/entries"
            mine, other = ([one["entry"] for one in api.get(path).json()["items"]] for api in (ours, theirs))
            assert mine
            assert set(mine).isdisjoint(other)
        keys = {one["key"] for api in (ours, theirs) for one in api.get("/log").json()["logs"] if one["key"]}
        assert len(keys) == 3
        last = ours.get("/log").json()["logs"][1]["entries"] - 1
        assert last > theirs.get("/log").json()["logs"][1]["entries"]
        problem(theirs.delete(f"/log/audit/entries/{last}/text"), 404, "not_found")


def test_what_devices_do_becomes_no_entry(noted: Apis) -> None:
    """A poll writes nothing; a report moves a deployment, and is for the record of events, not for the logs."""
    with noted.client() as api:
        before = _signed(api)
        api.post("/devices", json={"id": "d-1", "hardware": "x", "token": "0123456789abcdef0123"}).raise_for_status()
        device = noted.device("d-1", "0123456789abcdef0123")
        for _ in range(3):
            assert device.get().status_code == 200
        after = eventually(lambda: found if (found := _signed(api)) != before else None)
        assert after == before | {"audit": before["audit"] + 1}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Path]]:
    """A server with ten releases, and where the checkpoints of its logs are kept after they were found good."""
    folder = tmp_path_factory.mktemp("kept")
    with serving(folder / "data") as server:
        with server.api() as api:
            for _ in range(10):
                released(api)
            _published(api, 10)
        for log in ("release", "audit"):
            done = call(server, "log", "verify", "--log", log, "--from", str(folder / log))
            assert done.returncode == 0, done.stderr
            assert "seen for the first time" in done.stdout
        yield server, folder


def verified(kept: tuple[Serving, Path], log: str, **env: str) -> "subprocess.CompletedProcess[str]":
    server, folder = kept
    return call(server, "log", "verify", "--log", log, "--from", str(folder / log), **env)


HARM = {
    # Every entry tells its time.
    "changed": [
        "UPDATE log_entry SET entry = CAST(replace(CAST(entry AS TEXT), '20', '30') AS BLOB) WHERE place = 4 AND log = ?"
    ],
    "removed": ["DELETE FROM log_entry WHERE place = 4 AND log = ?"],
    "reordered": [
        "UPDATE log_entry SET place = -1 WHERE place = 4 AND log = ?",
        "UPDATE log_entry SET place = 4 WHERE place = 7 AND log = ?",
        "UPDATE log_entry SET place = 7 WHERE place = -1 AND log = ?",
    ],
}


@pytest.mark.parametrize("log", ["release", "audit"])
@pytest.mark.parametrize("harm", HARM)
def test_a_row_that_was_changed_by_hand_is_named(kept: tuple[Serving, Path], log: str, harm: str) -> None:
    with closing(sqlite3.connect(kept[0].data / "otaru.db", isolation_level=None)) as connection:
        rows = connection.execute("SELECT * FROM log_entry WHERE log = ?", [log]).fetchall()
        for statement in HARM[harm]:
            assert connection.execute(statement, [log]).rowcount == 1
        try:
            done = verified(kept, log)
        finally:
            connection.execute("DELETE FROM log_entry WHERE log = ?", [log])
            connection.executemany(f"INSERT INTO log_entry VALUES ({', '.join('?' * len(rows[0]))})", rows)
    assert done.returncode == 4, done.stdout + done.stderr
    assert re.search(r"\bentry 4 was (changed or moved|removed)\b", done.stderr), done.stderr
    assert verified(kept, log).returncode == 0


def test_a_text_that_was_changed_by_hand_is_named(kept: tuple[Serving, Path]) -> None:
    with closing(sqlite3.connect(kept[0].data / "otaru.db", isolation_level=None)) as connection:
        connection.execute(
            "UPDATE log_entry SET text = CAST(replace(CAST(text AS TEXT), 'user:', 'user:x') AS BLOB) "
            "WHERE log = 'audit' AND place = 6"
        )
        done = verified(kept, "audit")
        connection.execute(
            "UPDATE log_entry SET text = CAST(replace(CAST(text AS TEXT), 'user:x', 'user:') AS BLOB) "
            "WHERE log = 'audit' AND place = 6"
        )
    assert (done.returncode, "entry 6 was changed" in done.stderr) == (4, True), done.stdout + done.stderr
    assert verified(kept, "audit").returncode == 0


def test_a_history_that_was_made_anew_is_found_by_the_checkpoint_that_was_seen(
    kept: tuple[Serving, Path], tmp_path: Path
) -> None:
    """Whoever has the server and its keys can sign another log. Who saw the first is not deceived."""
    with serving(tmp_path / "other") as other:
        with other.api() as api:
            for _ in range(12):
                released(api)
            _published(api, 12)
        server, folder = kept
        done = call(other, "log", "verify", "--from", str(folder / "release"))
        assert (done.returncode, "has not signed it" in done.stderr) == (4, True), done.stderr
        assert call(server, "log", "verify", "--from", str(folder / "release")).returncode == 0


def test_the_release_log_is_verified_without_a_token(kept: tuple[Serving, Path]) -> None:
    done = verified(kept, "release", OTARU_TOKEN="")
    assert done.returncode == 0, done.stderr
    assert re.search(r"entries are good, it begins with the \d+ that were seen before\.", done.stdout)


def test_a_proof_is_checked_offline_and_only_the_right_one(kept: tuple[Serving, Path], tmp_path: Path) -> None:
    server, folder = kept
    with server.api() as api:
        release = released(api)
    proof = tmp_path / "proof"
    nowhere = call(server, "log", "prove", release, "-o", str(tmp_path / "nowhere" / "proof"))
    assert (nowhere.returncode, "cannot be written" in nowhere.stderr) == (2, True)
    done = call(server, "log", "prove", release, "-o", str(proof))
    assert done.returncode == 0, done.stderr
    offline = {"OTARU_SERVER": "http://127.0.0.1:1", "OTARU_TOKEN": ""}
    done = call(None, "log", "check", str(proof), "--from", str(folder / "release"), "--json", **offline)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["entry"]["subject"] == release
    strange = call(None, "log", "check", str(proof), "--from", str(folder / "release"), "--witness", "x", **offline)
    assert (strange.returncode, "witness's public key" in strange.stderr) == (2, True)
    good = proof.read_text()
    for bad, code in (
        (re.sub(r"index \d+", "index 9", good), 4),
        (re.sub(r"extra \S+", "extra e30=", good), 4),
        (re.sub(r"extra \S+\n", "", good), 4),
        (good[: len(good) // 2], 4),
        ("", 4),
    ):
        proof.write_text(bad)
        done = call(None, "log", "check", str(proof), "--from", str(folder / "release"), **offline)
        assert (done.returncode, done.stderr.startswith("otaru: ")) == (code, True), done.stderr
    assert call(None, "log", "check", str(proof), **offline).returncode == 2


def test_a_witness_signs_what_it_has_verified(kept: tuple[Serving, Path], tmp_path: Path) -> None:
    server, folder = kept
    words = ("--from", str(tmp_path / "seen"), "--name", "example.org/w", "--key-file", str(tmp_path / "key"))
    done = call(server, "log", "witness", *words, "--json")
    assert done.returncode == 0, done.stderr
    witness = json.loads(done.stdout)["witness"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert call(server, "log", "witness", *words).returncode == 0
    base = f"{server.url}/log/DEFAULT/release"
    key = verifier(httpx.get(f"{base}/key").text)
    assert opened(httpx.get(f"{base}/witnessed").text, key, [verifier(witness)], quorum=1).size >= 10
    with server.api() as api:
        release = released(api)
        eventually(lambda: api.get("/log/release/entries", params={"subject": release}).json()["items"] or None)
    done = call(server, "log", "prove", release, "-o", str(tmp_path / "proof"))
    assert done.returncode == 0, done.stderr
    check = ("log", "check", str(tmp_path / "proof"), "--key", str(key), "--witness", witness)
    assert call(None, *check).returncode == 4, "the newest checkpoint is not witnessed yet"
    assert call(server, "log", "witness", *words).returncode == 0
    assert call(server, "log", "prove", release, "-o", str(tmp_path / "proof")).returncode == 0
    assert call(None, *check).returncode == 0
    assert call(server, "log", "verify", "--from", str(folder / "release")).returncode == 0


def test_erased_text_is_told_and_the_log_stays_good(kept: tuple[Serving, Path]) -> None:
    server, _ = kept
    assert call(server, "log", "erase", "2", "--yes").returncode == 0
    with server.api() as api:
        eventually(
            lambda: api.get("/log/audit/entries", params={"limit": 1}).json()["items"][0]["kind"] == "log.erased"
        )
        shown = api.get("/log/audit/entries", params={"limit": 1000}).json()["items"]
        assert [one["index"] for one in shown if one["text"] is None] == [2]
    done = verified(kept, "audit")
    assert (done.returncode, "1 of them erased" in done.stdout) == (0, True), done.stdout + done.stderr
    assert call(server, "log", "erase", "2", "--yes").returncode == 1
