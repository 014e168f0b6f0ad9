"""Images come up to a real server, made by the formats' own tools: read, judged, refused, and shown everywhere."""

import json
import os
import random
import re
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import images, swu
from tests.support.api import problem
from tests.support.server import Serving, serving
from tests.support.swu import Signer
from tests.support.tools import run

MIB = 1 << 20
RAUC = """[update]
compatible={compatible}
version={version}

[bundle]
format={form}

[image.rootfs]
filename=rootfs.img
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("images") / "data") as running:
        yield running


@pytest.fixture
def api(server: Serving) -> Iterator[httpx.Client]:
    with server.api(follow_redirects=False) as client:
        client.timeout = httpx.Timeout(200)
        yield client


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return swu.signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return swu.signer(tmp_path_factory.mktemp("stranger"), "stranger")


def asked(api: httpx.Client, data: bytes, product: str, version: str, **more: Any) -> dict[str, Any]:
    """The request for a release of an uploaded file."""
    filename = more.pop("filename", "app.bin")
    answer = api.post("/artifacts", params={"filename": filename}, content=data)
    assert answer.status_code in {200, 201}, answer.text
    file = {"sha256": answer.json()["sha256"], "filename": filename, "hardware": [more.pop("hardware", "rpi4")]}
    return {"product": product, "version": version, "artifacts": [file], **more}


def released(api: httpx.Client, data: bytes, product: str, version: str, **more: Any) -> httpx.Response:
    return api.post("/releases", json=asked(api, data, product, version, **more))


def image(answer: httpx.Response) -> dict[str, Any]:
    """What the one file of a release says."""
    assert answer.status_code in {200, 201}, answer.text
    found: dict[str, Any] = answer.json()["artifacts"][0]["image"]
    return found


def eventually(api: httpx.Client, sha256: str, verdict: str) -> dict[str, Any]:
    """An artifact, once its image has this verdict."""
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, Any] = api.get(f"/artifacts/{sha256}").json()
        if found["image"]["verdict"] == verdict and not found["image"]["pending"]:
            return found
        assert time.monotonic() < deadline, found["image"]
        time.sleep(0.1)


def resident(server: Serving) -> int:
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def bundle(
    folder: Path, by: Signer, form: str = "verity", *, compatible: str = "gateway", version: str = "2026.11-1"
) -> bytes:
    content = folder / f"{form}-{compatible}"
    content.mkdir()
    (content / "rootfs.img").write_bytes(random.Random(1).randbytes(130_000))
    (content / "manifest.raucm").write_text(RAUC.format(form=form, compatible=compatible, version=version))
    made = folder / f"{content.name}.raucb"
    run("rauc", "bundle", "--cert", by.certificate, "--key", by.key, content, made)
    return made.read_bytes()


def gzip_bomb(size: int) -> bytes:
    """A gzip stream of zeros that holds a tar member of `size` bytes and is a thousandth of it."""
    head = images.tar(("rootfs.ext4", b""))[:512]
    length = f"{size:012o}".encode()
    head = head[:124] + length + head[136:]
    total = sum(head[:148]) + 8 * 32 + sum(head[156:])
    head = head[:148] + f"{total:06o}\0 ".encode() + head[156:]
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = stream.compress(head) + stream.flush(zlib.Z_FULL_FLUSH)
    zeros = stream.compress(bytes(MIB)) + stream.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(6) + b"\x03" + first + zeros * (size // MIB) + struct.pack("<II", 0, 0)


def test_swupdates_images_are_judged_by_the_tenants_anchors(
    server: Serving, api: httpx.Client, tmp_path: Path, signer: Signer
) -> None:
    """From the upload to every place that shows it, by the command line."""
    made = swu.build(tmp_path, signer, version="1.1.0", payload=b"payload", target=Path("/tmp/app"), hardware="2.0")
    words = ("release", "add", str(made), "--name", "gateway", "--version", "1.1.0", "--hardware", "rpi4")
    told = json.loads(server.otaru(*words, "--json").stdout)
    (file,) = told["artifacts"]
    assert file["installer"] == "swupdate"
    assert (file["image"]["format"], file["image"]["version"]) == ("swu", "1.1.0")
    assert (file["image"]["hardware"], file["image"]["verdict"]) == (["2.0"], "unknown signer")

    added = server.otaru("keys", "anchor", "add", "swu", str(signer.certificate))
    assert "CN=signer,O=Otaru tests is trusted to sign swu" in added.stdout
    assert "CN=signer" in server.otaru("keys", "anchor", "list").stdout
    found = eventually(api, file["sha256"], "valid")
    assert found["image"]["signatures"][0]["signer"] == "CN=signer,O=Otaru tests"
    assert found["image"]["payloads"][0]["verified"]

    for line in (("release", "show", "gateway:1.1.0"), ("artifact", "show", file["sha256"]), ("artifact", "list")):
        shown = server.otaru(*line).stdout
        assert re.search(r"\bswu\b", shown), shown
        assert "valid" in shown
    with httpx.Client(base_url=server.url, headers={"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}) as visitor:
        visitor.post("/login", data={"token": server.token})
        page = visitor.get("/releases/gateway/1.1.0").text
        assert "signature valid" in page
        assert "CN=signer,O=Otaru tests" in page
        assert "Trust anchor" in visitor.get("/events").text

    changed = bytearray(made.read_bytes())
    changed[changed.index(b"payload.bin\0") - 1] ^= 1
    forged = tmp_path / "forged.swu"
    forged.write_bytes(changed)
    refused = server.otaru("release", "add", str(forged), *words[3:6], "1.2.0", *words[7:], check=False)
    assert refused.returncode == 4, refused.stderr
    assert "no whole image" in refused.stderr

    refused = server.otaru(*words[:6], "2.0.0", *words[7:], check=False)
    assert refused.returncode == 4, refused.stderr
    assert "says it is version 1.1.0, the release is 2.0.0" in refused.stderr
    assert "--accept-mismatch version" in refused.stderr
    server.otaru(*words[:6], "2.0.0", *words[7:], "--accept-mismatch", "version")

    server.otaru("keys", "anchor", "remove", "swu", str(signer.certificate))
    eventually(api, file["sha256"], "unknown signer")


def test_raucs_bundles_say_their_own_version_and_hardware(api: httpx.Client, tmp_path: Path, signer: Signer) -> None:
    made = bundle(tmp_path, signer)
    told = problem(released(api, made, "rootfs", "2026.11-2"), 422, "image_mismatch")
    assert [(one["aspect"], one["found"], one["typed"]) for one in told["mismatches"]] == [
        ("version", "2026.11-1", "2026.11-2")
    ]
    assert api.get("/releases/rootfs/2026.11-2").status_code == 404
    found = image(released(api, made, "rootfs", "2026.11-1", filename="rootfs.raucb"))
    assert (found["format_version"], found["hardware"]) == ("verity", ["gateway"])
    foreign = bundle(tmp_path, signer, compatible="toaster", version="2026.12-1")
    told = problem(released(api, foreign, "rootfs", "2026.12-1"), 422, "image_mismatch")
    assert [one["aspect"] for one in told["mismatches"]] == ["hardware"]
    assert "toaster" in told["detail"]
    assert "gateway" in told["detail"]
    accepted = released(api, foreign, "rootfs", "2026.12-1", accept_mismatch=["hardware"])
    assert image(accepted)["hardware"] == ["toaster"]
    problem(released(api, foreign, "rootfs", "2026.13", accept_mismatch=["hardware"]), 422, "image_mismatch")


def test_a_signature_that_does_not_hold_is_refused(api: httpx.Client) -> None:
    made = images.mcuboot(by=images.signer())
    assert api.post("/trust-anchors", json={"format": "mcuboot", "pem": images.anchor()}).status_code == 201
    forged = made[:-1] + bytes([made[-1] ^ 1])
    told = problem(released(api, forged, "mcu", "1.2.3"), 422, "image_signature")
    assert told["verdict"] == "broken"
    found = image(released(api, made, "mcu", "1.2.3", filename="app.bin"))
    assert found["verdict"] == "valid"


def test_the_metadata_names_what_installs_it(server: Serving, api: httpx.Client) -> None:
    for version, data, filename in (
        ("1.2.3", images.mcuboot(by=images.signer()), "app.swu"),
        ("2.0", b"no image", "app.swu"),
    ):
        image(released(api, data, "named", version, filename=filename))
    root = httpx.get(f"{server.url}/tuf/DEFAULT/image/metadata/timestamp.json").json()
    number = root["signed"]["meta"]["snapshot.json"]["version"]
    snapshot = httpx.get(f"{server.url}/tuf/DEFAULT/image/metadata/{number}.snapshot.json").json()
    number = snapshot["signed"]["meta"]["product.named.stable.json"]["version"]
    targets = httpx.get(f"{server.url}/tuf/DEFAULT/image/metadata/{number}.product.named.stable.json").json()
    found = {path.split("/")[2]: file["custom"]["installer"] for path, file in targets["signed"]["targets"].items()}
    assert found == {"1.2.3": "mcuboot", "2.0": "swupdate"}


def test_a_request_that_is_sent_twice_makes_one_release(api: httpx.Client) -> None:
    body = asked(api, images.swu(), "twice", "1.1.0")
    answers = [api.post("/releases", json=body, headers={"Idempotency-Key": "twice"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert image(answers[0])["format"] == "swu"


def test_anchors_that_are_none_are_refused(api: httpx.Client) -> None:
    problem(api.post("/trust-anchors", json={"format": "swu", "pem": "nonsense"}), 400, "invalid_input")
    problem(api.post("/trust-anchors", json={"format": "uf2", "pem": images.anchor()}), 400, "invalid_input")
    problem(api.post("/trust-anchors", json={"format": "tape", "pem": images.anchor()}), 400, "invalid_input")
    problem(api.delete(f"/trust-anchors/swu/{'0' * 64}"), 404, "not_found")


def test_in_production_signatures_count(tmp_path: Path, signer: Signer, stranger: Signer) -> None:
    with serving(tmp_path / "data", OTARU_PRODUCTION="true") as server, server.api() as api:
        plain, verity = bundle(tmp_path, signer, "plain"), bundle(tmp_path, signer)
        problem(released(api, plain, "rootfs", "2026.11-1"), 422, "image_form")
        pem = stranger.certificate.read_text()
        theirs = api.post("/trust-anchors", json={"format": "rauc", "pem": pem}).json()["id"]
        told = problem(released(api, verity, "rootfs", "2026.11-1"), 422, "image_signature")
        assert told["verdict"] == "unknown signer"
        assert (
            api.post("/trust-anchors", json={"format": "rauc", "pem": signer.certificate.read_text()}).status_code
            == 201
        )
        assert api.delete(f"/trust-anchors/rauc/{theirs}").status_code == 204
        answer = released(api, verity, "rootfs", "2026.11-1")
        assert image(answer)["verdict"] == "valid"
        assert answer.json()["state"] == "draft"  # production makes no keys of its own
        assert server.stop() == 0


REASONS = {"nested": "nests deeper", "gzip": "grows beyond"}


@pytest.mark.parametrize("kind", ["nested", pytest.param("gzip", marks=pytest.mark.slow)])
def test_a_bomb_leaves_the_server_healthy(server: Serving, api: httpx.Client, kind: str) -> None:
    if kind == "nested":
        data = images.cpio(("sw-description", b"software = " + b"{a=" * 300_000))
    else:
        data = images.mender(data=gzip_bomb(9 << 30))
        assert len(data) < 16 * MIB
    body = asked(api, data, f"bomb-{kind}", "1")
    before = resident(server)
    told = problem(api.post("/releases", json=body), 422, "image_broken")
    assert REASONS[kind] in told["reason"]
    assert server.process.poll() is None
    assert httpx.get(f"{server.url}/healthz").text == "ok\n"
    assert resident(server) - before < 64 * MIB
    assert image(released(api, images.swu(), f"after-{kind}", "1.1.0"))["format"] == "swu"
