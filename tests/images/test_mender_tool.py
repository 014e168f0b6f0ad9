"""Artifacts as mender-artifact makes them."""

import hashlib
from pathlib import Path

import pytest

from otaru.images.facts import Format, Verdict
from otaru.images.keys import anchors
from tests.support.images import look
from tests.support.tools import run

PAYLOAD = bytes(range(256)) * 40
KEYS = {
    "rsa": ("genrsa", "-traditional", "-out", "key.pem", "3072"),
    "ecdsa": ("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"),
}


@pytest.mark.parametrize("key", list(KEYS))
@pytest.mark.parametrize("compression", ["gzip", "lzma", "none"])
def test_mender_artifact(tmp_path: Path, key: str, compression: str) -> None:
    run("openssl", *KEYS[key], cwd=tmp_path)
    public = run("openssl", "pkey", "-in", "key.pem", "-pubout", cwd=tmp_path)
    (tmp_path / "app.bin").write_bytes(PAYLOAD)
    run("mender-artifact", "write", "module-image", "-T", "single-file", "-n", "app-2.0", "-t", "gateway", "-t", "sensor",
        "-f", "app.bin", "-o", "app.mender", "-k", "key.pem", "--compression", compression, "--provides", "a.b:c",
        "--artifact-name-depends", "app-1.0", "--software-name", "app", cwd=tmp_path)  # fmt: skip
    data = (tmp_path / "app.mender").read_bytes()
    found = look(data, {Format.MENDER: anchors([public])})
    assert (found.format, found.version, found.hardware) == (Format.MENDER, "app-2.0", ("gateway", "sensor"))
    assert "a.b=c" in found.provides
    assert "artifact_name=app-1.0" in found.requires
    assert found.verdict is Verdict.VALID
    (part,) = found.payloads
    assert (part.name, part.kind, part.verified) == ("app.bin", "single-file", True)
    assert part.sha256 == hashlib.sha256(PAYLOAD).hexdigest()
    assert look(data).verdict is Verdict.UNKNOWN
