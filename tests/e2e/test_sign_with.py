"""`otaru release add --sign-with`: one command requests, signs and publishes; what it refuses to sign, and documents."""

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from otaru.adapters.signers.file import FileSigner, generate, write_key
from otaru.trust.tuf.keys import as_pem
from tests.support.command import call
from tests.support.kms import kms, make
from tests.support.lying import lying
from tests.support.server import Serving, serving
from tests.support.softhsm import PIN, address, make_token

PASSPHRASE = "correct horse"
ADD = "release add app.swu --name app --version {} --hardware pi"
SBOM = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"type": "library", "name": "zlib"}]}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """Production, after a ceremony; alice and bob sign `product.app.stable`, either of them."""
    monkeypatch.chdir(tmp_path)
    Path("app.swu").write_bytes(os.urandom(5000))
    with serving(tmp_path / "data", "--production") as server:
        for name in ("root", "targets", "alice", "bob", "carol"):
            plain(name)
        own = "--root-key root.pem --root-threshold 1 --targets-key targets.pem --targets-threshold 1"
        run(server, f"keys init --offline here {own}")
        delegate(server, "--key alice.pem.pub --key bob.pem.pub")
        yield server


def plain(name: str) -> None:
    """A key without a passphrase, which would cost a test more time than all the rest."""
    write_key(Path(f"{name}.pem"), private := generate(), None)
    Path(f"{name}.pem.pub").write_text(as_pem(FileSigner(private).key))


def run(server: Serving, line: str, code: int = 0, **env: str) -> str:
    done = call(server, *shlex.split(line), **{"OTARU_PASSPHRASE": PASSPHRASE, **env})
    assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def delegate(server: Serving, keys: str, role: str = "product.app.stable", **env: str) -> None:
    run(server, f"keys delegate {role} {keys} -o d.json", 0, **env)
    run(server, "keys sign d.json --key targets.pem")
    run(server, "keys import d.json")
    Path("d.json").unlink()


def targets(server: Serving, version: int, role: str = "product.app.stable") -> dict[str, Any]:
    told = httpx.get(f"{server.url}/tuf/DEFAULT/image/metadata/{version}.{role}.json").json()
    found: dict[str, Any] = told["signed"]["targets"]
    return found


def state(server: Serving, name: str) -> str:
    found: str = json.loads(run(server, f"release show {name} --json"))["state"]
    return found


def test_one_command_publishes(server: Serving) -> None:
    assert "app:1 is published." in run(server, f"{ADD.format(1)} --sign-with alice.pem")
    assert "app:2 is published." in run(server, f"{ADD.format(2)} --sign-with alice.pem --hardware pi:2")
    told = run(server, f"{ADD.format(3)} --sign-with bob.pem")
    assert "2 files more, which none of these keys has signed before" in told
    assert list(targets(server, 3)) == ["app/stable/1/app.swu", "app/stable/2/app.swu", "app/stable/3/app.swu"]
    shown = run(server, "release show app:2")
    assert "as product.app.stable 3 by" in shown
    assert "by user:" in shown
    assert "app:3 is published." in run(server, f"{ADD.format(3)} --sign-with alice.pem")  # again: nothing to sign


def test_a_channel_has_its_own_signers(server: Serving) -> None:
    told = run(server, f"{ADD.format(1)} --channel lts --sign-with alice.pem", 4)
    assert "otaru keys delegate product.app.lts" in told
    delegate(server, "--key carol.pem.pub", "product.app.lts")
    told = run(server, f"{ADD.format(1)} --channel lts --sign-with alice.pem", 4)
    assert "may not sign product.app.lts" in told
    assert "no release" in run(server, "release show app:1", 1)
    run(server, f"{ADD.format(1)} --channel lts --security-floor 3 --sign-with carol.pem")
    (file,) = targets(server, 1, "product.app.lts").values()
    assert file["custom"]["releaseCounter"] == 3
    assert "as product.app.lts 1 by" in run(server, "release show app:1")


def test_devices_that_run_what_is_withdrawn_are_listed(server: Serving) -> None:
    run(server, f"{ADD.format(1)} --sign-with alice.pem")
    for name in ("d-1", "d-2", "d-3"):
        run(server, f"device add {name} --hardware pi --installed app={'2' if name == 'd-3' else '1'}")
    run(server, "release withdraw app:1")
    shown = run(server, "release show app:1")
    query = "installed.app=='1'"
    assert f'2 devices: otaru device list -q "{query}"' in shown
    assert [d["id"] for d in json.loads(run(server, f'device list --query "{query}" --json'))["items"]] == [
        "d-1",
        "d-2",
    ]


def test_what_one_key_cannot_do_is_left_to_the_others(server: Serving) -> None:
    delegate(server, "--key alice.pem.pub --key bob.pem.pub --threshold 2")
    assert "keys sign keys-request.json" in run(server, f"{ADD.format(1)} --sign-with alice.pem", 5)
    assert state(server, "app:1") == "draft"
    assert "already" in run(server, f"{ADD.format(2)} --sign-with alice.pem", 2)
    assert "app:2" not in run(server, "release list")
    run(server, "keys sign keys-request.json --key bob.pem")
    run(server, "keys import keys-request.json")
    assert state(server, "app:1") == "published"
    run(server, f"{ADD.format(2)} --sign-with alice.pem --sign-with bob.pem --sign-with bob.pem")
    assert len(json.loads(run(server, "release show app:2 --json"))["signed_by"]) == 2


def test_what_it_refuses_before_anything_is_uploaded(server: Serving) -> None:
    run(server, f"{ADD.format(1)} --sign-with nothing.pem", 2)
    run(server, "keys make dora.pem")
    run(server, f"{ADD.format(1)} --sign-with dora.pem", 2, OTARU_PASSPHRASE="wrong")
    run(server, f"{ADD.format(1)} --sign-with alice.pem --draft", 2)
    run(server, f"{ADD.format(1)} --sign-with carol.pem", 4)
    run(server, "release add app.swu --name os --version 1 --hardware pi --sign-with alice.pem", 4)
    for wrong, says in (
        ("--channel Stable", "'Stable' is not a channel"),
        ("--floor ../1", "'../1' is not a version"),
        ("--security-floor 0", "greater than"),
        ("--component a/b", "'a/b' is not a name"),
        ("--filename a/b", "'a/b' is not a file name"),
        ("--artifact app.swu=pi:", "is not a hardware"),
        ("--artifact nothing.swu=pi", "nothing.swu cannot be read"),
        ("--sbom nothing.json", "nothing.json cannot be read"),
    ):
        assert says in run(server, f"{ADD.format(1)} {wrong}", 2)
    assert json.loads(run(server, "artifact list --json"))["items"] == []


def test_a_server_that_slips_something_in_gets_no_signature(server: Serving) -> None:
    run(server, f"{ADD.format(1)} --sign-with alice.pem")
    evil = {"length": 4, "hashes": {"sha256": "e" * 64}, "custom": {"version": "1"}}
    lies: tuple[tuple[Callable[[Any], object], str], ...] = (
        (lambda files: files.update({"app/stable/9/evil.swu": evil}), "nobody gave here: app/stable/9/evil.swu"),
        (lambda files: files["app/stable/1/app.swu"].update(length=4), "nobody gave here: app/stable/1/app.swu"),
        (lambda files: files["app/stable/2/app.swu"]["hashes"].update(sha256="e" * 64), "other files signed as app 2"),
        (
            lambda files: files["app/stable/2/app.swu"]["custom"].update(hardwareIds=["x"]),
            "other files signed as app 2",
        ),
        (lambda files: files.update({"app/stable/2/evil.swu": evil}), "other files signed as app 2"),
        (lambda files: files.pop("app/stable/2/app.swu"), "other files signed as app 2"),
    )
    for change, told in lies:

        def lie(outcome: Any, change: Callable[[Any], object] = change) -> None:
            change(outcome["metadata"]["product.app.stable"]["signed"]["targets"])

        with lying(server.url, "/api/v1/keys/requests", lie) as between:
            assert told in run(server, f"{ADD.format(2)} --sign-with alice.pem", 4, OTARU_SERVER=between)
        assert state(server, "app:2") == "draft"
    run(server, f"{ADD.format(2)} --sign-with alice.pem")


def test_documents(server: Serving) -> None:
    Path("bom.json").write_text(json.dumps(SBOM))
    digest = hashlib.sha256(Path("app.swu").read_bytes()).hexdigest()
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app.swu", "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
    }
    Path("built.json").write_text(json.dumps(statement))
    said = "--sbom bom.json --provenance built.json --sign-with alice.pem"
    assert "no software bill" in run(server, f"{ADD.format(1)} --sbom built.json --sign-with alice.pem", 2)
    assert "no release" in run(server, "release show app:1", 1)
    run(server, f"{ADD.format(1)} {said}")
    shown = run(server, "release show app:1")
    assert "CycloneDX 1.6: otaru artifact fetch" in shown
    assert "in-toto: https://slsa.dev/provenance/v1" in shown
    sbom = hashlib.sha256(Path("bom.json").read_bytes()).hexdigest()
    (file,) = targets(server, 1).values()
    assert file["custom"]["sbom"] == sbom
    run(server, f"artifact fetch {sbom} -o got.json")
    assert json.loads(Path("got.json").read_text()) == SBOM
    assert "stands in a release" in run(server, f"artifact remove {sbom}", 1)
    with server.api() as api:
        kinds = [(d["kind"], d["form"]) for d in api.get("/releases/app/1").json()["documents"]]
    assert kinds == [("provenance", "in-toto: https://slsa.dev/provenance/v1"), ("sbom", "CycloneDX 1.6")]


def test_a_key_in_a_token(server: Serving, tmp_path: Path) -> None:
    pytest.importorskip("pkcs11")
    key = address(make_token(tmp_path / "hsm", "release", "alice"), "alice")
    delegate(server, f"--key {key}", OTARU_PIN=PIN)
    run(server, f"{ADD.format(1)} --sign-with {key}", OTARU_PIN=PIN)
    assert state(server, "app:1") == "published"


def test_a_key_in_the_cloud(server: Serving) -> None:
    with kms() as (client, env):
        make(client, alias="release")
        delegate(server, "--key awskms:alias/release", **env)
        run(server, f"{ADD.format(1)} --sign-with awskms:alias/release", 0, **env)
    assert state(server, "app:1") == "published"
