"""The ceremony, a release, a drill and a rotation, as docs/trust.md has them; and what the command line refuses."""

import json
import os
import re
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from tests.support.command import call
from tests.support.ddi import eventually
from tests.support.kms import kms
from tests.support.kms import make as new_kms_key
from tests.support.lying import lying
from tests.support.server import OTARU, Serving, environment, otaru, serving
from tests.support.softhsm import PIN, address, make_token
from tests.support.tuf import Client

ROOT = Path(__file__).parents[2]
PASSPHRASE = "correct horse"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.chdir(tmp_path)
    for version in ("1.0.1", "1.1.0", "1.2.0", "1.3.0"):
        (tmp_path / f"app-{version}.swu").write_bytes(os.urandom(10_000))
    (tmp_path / "bom.json").write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6"}))
    with serving(tmp_path / "data", "--production") as server:
        yield server


def run(server: Serving, line: str, code: int = 0, **env: str) -> str:
    done = call(server, *shlex.split(line), **{"OTARU_PASSPHRASE": PASSPHRASE, **env})
    assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


RELEASED = {
    "otaru keys import release.json": "app/stable/1.1.0/app-1.1.0.swu",
    "--version 1.2.0": "app/stable/1.2.0/app-1.2.0.swu",
    "--version 1.0.1": "app/lts/1.0.1/app-1.0.1.swu",
    "--version 1.3.0": "app/stable/1.3.0/app-1.3.0.swu",
}
"""What is listed from a command on."""


def followed(client: Client, said: Mapping[str, str]) -> None:
    """The stranger who knows nothing but the first root: it goes along with everything that is signed."""
    if not client.root:
        return
    done = "\n".join(said)
    updater = client.updater()
    updater.refresh()
    for path in (path for command, path in RELEASED.items() if command in done):
        info = updater.get_targetinfo(path)
        withdrawn = "1.2.0" in path and "release withdraw" in done
        unlisted = withdrawn and "keys import drill.json" in done
        assert (info is None) == unlisted, f"{path} after {list(said)[-1]}"
        if info is not None and not withdrawn and updater.find_cached_target(info) is None:
            name = path.rpartition("/")[2]
            assert Path(updater.download_target(info)).read_bytes() == Path(name).read_bytes()


def test_the_page_works_as_written(server: Serving, tmp_path: Path) -> None:
    blocks = re.findall(r"^```(?:toml)?\n(.*?)^```", (ROOT / "docs/trust.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("otaru ")]
    assert len(lines) == 69
    run(server, "device add dev-1 --hardware rpi4")
    said: dict[str, str] = {}
    client = Client(tmp_path, server.url, b"", f"Bearer {server.token}")
    for line in lines:
        alone = "release add" in line and "--sign-with" not in line
        said[line] = run(server, line.removeprefix("otaru "), 5 if alone else 0)
        if "keys init" in line:
            client.root = Path("ceremony/1.root.json").read_bytes()
        followed(client, said)
    (added,) = (words for line, words in said.items() if "release add" in line and "--sign-with" not in line)
    assert "is draft" in added
    assert "otaru keys request product.app.stable --release app:1.1.0" in added
    assert "published" in said["otaru release show app:1.1.0"]
    signed = said["otaru keys sign release.json --key alice.pem"]
    assert "app/stable/1.1.0/app-1.1.0.swu" in signed
    assert "down to counter 0" in said["otaru keys sign permit.json --key ceremony/targets-2.pem"]
    assert "2035-01-31" in said["otaru keys permits dev-1"]
    found = json.loads(run(server, "keys status --json"))
    assert not found["development"]
    assert {"root": 2}.items() <= {r["name"]: r["version"] for r in found["director"]}.items()
    assert {r["name"]: r["version"] for r in found["roles"] if r["name"] in {"root", "targets"}} == {
        "root": 5,
        "targets": 6,
    }
    pinned = httpx.get(f"{server.url}/tuf/DEFAULT/image/metadata/1.root.json").content
    assert Path("ceremony/1.root.json").read_bytes() == pinned
    directing = httpx.get(f"{server.url}/tuf/DEFAULT/director/metadata/1.root.json").content
    assert Path("ceremony/1.director-root.json").read_bytes() == directing
    for key in Path("ceremony").glob("*.pem"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert b"ENCRYPTED" in key.read_bytes()
    server.stop()
    for folder, repository, many in (("keys", "image", 2), ("director", "director", 2)):
        held = {path.stem for path in (server.data / folder).rglob("*") if path.is_file()}
        # Its own, and the one that took its place: the server has never seen another.
        own = [key["id"] for key in found["keys"] if key["place"] == "server" and key["repository"] == repository]
        assert held == set(own)
        assert len(held) == many


def test_in_production_a_release_waits_for_keys(server: Serving) -> None:
    told = run(server, "release add app-1.1.0.swu --name app --version 1.1.0 --hardware pi", 5)
    assert "otaru keys init" in told
    one = "--root 1 --root-threshold 1 --targets 1 --targets-threshold 1 --director 1 --director-threshold 1"
    run(server, f"keys init --offline here {one}")
    told = run(server, "release add app-1.1.0.swu --name app --version 1.1.0 --hardware pi", 5)
    assert "otaru keys delegate product.app.stable" in told
    assert "has keys already" in run(server, "keys init --offline there", 1)
    assert not Path("there").exists()


def test_the_server_s_own_keys_lie_in_a_token_and_in_the_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ceremony, a release, what devices fetch, and another key in the token's place."""
    pytest.importorskip("pkcs11")
    monkeypatch.chdir(tmp_path)
    Path("app.swu").write_bytes(b"app")
    token = make_token(tmp_path / "hsm", "ota", "DEFAULT-1", "DEFAULT-2")
    online = {number: address(token, f"{{tenant}}-{number}") for number in (1, 2)}
    init = "keys init --offline here --root 1 --root-threshold 1 --targets 1 --targets-threshold 1"
    with kms() as (cloud, env):
        new_kms_key(cloud, alias="ota-DEFAULT")

        def served(number: int) -> AbstractContextManager[Serving]:
            lines = (f'online_key = "{online[number]}"', 'director_key = "awskms:alias/ota-{tenant}"')
            Path("otaru.toml").write_text("\n".join(lines))
            return serving(tmp_path / "data", "--production", "--config", "otaru.toml", OTARU_PIN=PIN, **env)

        with served(1) as server:
            run(server, f"{init} --director 1 --director-threshold 1")
            run(server, "keys make alice.pem")
            run(server, "keys delegate product.app.stable --key alice.pem.pub -o r.json")
            run(server, "keys sign r.json --key here/targets-1.pem")
            run(server, "keys import r.json")
            run(server, "release add app.swu --name app --version 1 --hardware x --sign-with alice.pem")
            client = Client(tmp_path, server.url, Path("here/1.root.json").read_bytes(), f"Bearer {server.token}")
            assert client.update("app/stable/1/app.swu") == b"app"
            device = json.loads(run(server, "device add dev-1 --hardware x --json"))
            told = httpx.get(
                f"{server.url}/tuf/DEFAULT/director/dev-1/metadata/timestamp.json",
                headers={"Authorization": f"TargetToken {device['token']}"},
            ).json()
            status = json.loads(run(server, "keys status --json"))
            own = {key["repository"]: key["id"] for key in status["keys"] if key["place"] == "server"}
            assert [one["keyid"] for one in told["signatures"]] == [own["director"]]
            assert "this very key" in run(server, "keys rotate timestamp", 3)
            assert "this very key" in run(server, "keys rotate director:timestamp", 3)
        for folder, repository in (("keys", "image"), ("director", "director")):
            held = [path.name for path in (tmp_path / "data" / folder).rglob("*") if path.is_file()]
            assert held == [f"{own[repository]}.uri"]
        with served(2) as server:
            run(server, "keys rotate timestamp -o other.json")
            run(server, "keys sign other.json --key here/root-1.pem")
            run(server, "keys import other.json")
            keys = {role["name"]: role["keys"] for role in json.loads(run(server, "keys status --json"))["roles"]}
            assert keys["timestamp"] == keys["snapshot"] != [own["image"]]
            assert (
                Client(tmp_path, server.url, client.root, client.authorization).update("app/stable/1/app.swu") == b"app"
            )


def test_what_the_commands_refuse(server: Serving) -> None:
    run(server, "keys init --offline here --root 1 --root-threshold 2", 4)
    assert not Path("here").exists()
    (made := Path("mine")).mkdir()
    (made / "diary.txt").write_text("mine")
    assert "not empty" in run(server, "keys init --offline mine", 2)
    run(server, "keys init --offline here2 --root 1 --root-threshold 1 --targets 1 --targets-threshold 1")
    run(server, "keys make alice.pem")
    assert "never overwritten" in run(server, "keys make alice.pem", 2)
    assert "private key" in run(server, "keys delegate product.app.stable --key alice.pem", 2)
    run(server, "keys delegate product.app/x.stable --key alice.pem.pub", 2)
    run(server, "keys delegate product.app.stable --key alice.pem.pub --threshold 2", 4)
    run(server, "keys delegate product.app.stable --key alice.pem.pub -o r.json")
    assert "already" in run(server, "keys delegate product.app.stable --key alice.pem.pub -o r.json", 2)
    assert "no signature" in run(server, "keys import r.json", 4)
    run(server, "keys sign r.json --key alice.pem", 3)
    run(server, "keys sign r.json --key here2/targets-1.pem", 2, OTARU_PASSPHRASE="wrong")
    run(server, "keys sign r.json --key nothing.pem", 2)
    run(server, "keys sign alice.pem --key alice.pem", 2)
    run(server, "keys sign r.json --key here2/targets-1.pem")
    assert "has signed the request already" in run(server, "keys sign r.json --key here2/targets-1.pem", 3)
    assert "needs some of" in run(server, "keys sign r.json --key here2/director-1.pem", 3)
    run(server, "keys rotate 0000", 2)
    assert run(server, "keys request root -o root.json").count("root: 1 more of") == 1  # by the old one and the new one
    run(server, "keys rotate here2/targets-1.pem.pub -o q.json", 2)
    run(server, "device add dev-1 --hardware pi")
    permit = "keys permit-downgrade -o permit.json --component"
    assert "no device" in run(server, f"{permit} app dev-2 --counter 0 --until 2035-01-31", 1)
    assert "is over" in run(server, f"{permit} app dev-1 --counter 0 --until 2020-01-31", 2)
    assert "'a b' is not a name" in run(server, f"{permit} 'a b' dev-1 --counter 0 --until 2035-01-31", 4)
    run(server, f"{permit} app dev-1 --counter 99999999999 --until 2035-01-31", 2)
    assert not Path("permit.json").exists()
    run(server, "keys import r.json")
    assert "brought before" in run(server, "keys import r.json", 3)
    assert (
        "keyid" not in (server.data.parent / "data.log").read_text()
    )  # a library's word on each signature that is missing


def test_a_ceremony_that_was_killed_goes_on(server: Serving) -> None:
    env = environment(**server.env, OTARU_PASSPHRASE=PASSPHRASE)
    with subprocess.Popen([*OTARU, "keys", "init", "--offline", "here"], env=env) as process:
        eventually(lambda: Path("here/root-2.pem.pub").exists() or None)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    first = Path("here/root-1.pem").read_bytes()
    Path("here/targets-2.pem").touch()  # a power cut between the file and what is written into it
    assert "otherwise" in run(server, "keys init --offline here --root-threshold 3", 2)
    run(server, "keys init --offline here", 2, OTARU_PASSPHRASE="another")
    assert "here/director-3.pem" in run(server, "keys init --offline here")
    assert Path("here/root-1.pem").read_bytes() == first
    assert not Path("here/unfinished").exists()
    run(server, "keys make a.pem")
    run(server, "keys delegate product.app.stable --key a.pem.pub -o a.json")
    for number in (1, 2):
        run(server, f"keys sign a.json --key here/targets-{number}.pem")
    run(server, "keys import a.json")


def test_a_ceremony_whose_answer_was_lost_goes_on(server: Serving) -> None:
    def lose(told: dict[str, list[str]]) -> None:
        if told["roles"] == ["root"]:  # the director's
            raise ConnectionError

    with lying(server.url, "/api/v1/keys/metadata", lose) as address:
        one = "keys init --offline here --root 1 --root-threshold 1 --director 1 --director-threshold 1"
        run(server, one, 1, OTARU_SERVER=address)
        assert "here/director-1.pem" in run(server, one, OTARU_SERVER=address)
        assert "has keys already" in run(server, one, 1, OTARU_SERVER=address)
    pinned = httpx.get(f"{server.url}/tuf/DEFAULT/image/metadata/1.root.json").content
    assert Path("here/1.root.json").read_bytes() == pinned
    directing = httpx.get(f"{server.url}/tuf/DEFAULT/director/metadata/1.root.json").content
    assert Path("here/1.director-root.json").read_bytes() == directing


def test_of_two_ceremonies_one_leaves_no_trace(server: Serving) -> None:
    def other(_: object) -> None:  # between what this one asks and what it brings
        if not Path("there").exists():
            run(server, "keys init --offline there --targets 1 --targets-threshold 1")

    with lying(server.url, "/api/v1/tenant", other) as address:
        assert "has keys already" in run(server, "keys init --offline here", 1, OTARU_SERVER=address)
    assert not Path("here").exists()
    assert len(list(Path("there").glob("*.pem"))) == 7


def test_a_server_with_development_keys_does_not_start_for_production(tmp_path: Path) -> None:
    (tmp_path / "a.swu").write_bytes(b"a")
    with serving(tmp_path / "data") as server:
        server.otaru("release", "add", str(tmp_path / "a.swu"), "--name", "app", "--version", "1", "--hardware", "pi")
    with serving(tmp_path / "data"):
        assert "development keys sign the releases of DEFAULT" in (tmp_path / "data.log").read_text()
    started = otaru(
        "serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", check=False, OTARU_PRODUCTION="true"
    )
    assert started.returncode == 4
    assert "development keys" in started.stderr


def test_a_ceremony_with_a_hardware_token(server: Serving, tmp_path: Path) -> None:
    pytest.importorskip("pkcs11")
    token = make_token(tmp_path / "hsm", "ceremony", "root-1", "root-2", "targets-1", "director-1", "alice")
    keys = {label: address(token, label) for label in ("root-1", "root-2", "targets-1", "director-1")}
    own = f"--root-key {keys['root-1']} --root-key {keys['root-2']} --targets-key {keys['targets-1']}"
    own += f" --director-key {keys['director-1']} --director-threshold 1"
    run(server, f"keys init --offline dir {own} --targets-threshold 1", OTARU_PIN=PIN)
    assert sorted(path.name for path in Path("dir").iterdir()) == ["1.director-root.json", "1.root.json"]
    run(server, "keys make alice.pem")
    run(server, "keys delegate product.app.stable --key alice.pem.pub -o r.json")
    run(server, f"keys sign r.json --key {keys['targets-1']}", 2, OTARU_PIN="000000")
    run(server, f"keys sign r.json --key {keys['targets-1']}", OTARU_PIN=PIN)
    run(server, "keys import r.json")
