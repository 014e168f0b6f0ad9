"""Images as swugenerator, openssl and cpio make them."""

import hashlib
from pathlib import Path

import pytest

from otaru.images.facts import Format, Verdict
from otaru.images.keys import anchors
from tests.support import swu
from tests.support.images import look
from tests.support.tools import run

DESCRIPTION = """software = {
  version = "1.2.3";
  gateway = {
    hardware-compatibility: [ "1.0", "#RE:^2[.]" ];
    stable: { copy1: { images: ( { filename = "root.img"; device = "/dev/mmcblk0p2"; sha256 = "@root.img"; } ); }; };
  };
};
"""


def test_openssl_and_cpio(tmp_path: Path, signer: swu.Signer) -> None:
    archive = swu.build(tmp_path, signer, version="1.1.0", payload=b"payload", target=Path("/tmp/app"))
    found = look(archive.read_bytes(), {Format.SWU: anchors([signer.certificate.read_bytes()])})
    assert (found.version, found.hardware, found.verdict) == ("1.1.0", ("1.0",), Verdict.VALID)
    assert (found.payloads[0].name, found.payloads[0].verified) == ("payload.bin", True)


@pytest.mark.parametrize("way", ["CMS", "RSA"])
def test_swugenerator(tmp_path: Path, signer: swu.Signer, way: str) -> None:
    (tmp_path / "sw-description").write_text(DESCRIPTION)
    (tmp_path / "root.img").write_bytes(b"root file system")
    public = tmp_path / "public.pem"
    public.write_bytes(run("openssl", "pkey", "-in", signer.key, "-pubout"))
    sign = f"CMS,{signer.key},{signer.certificate}" if way == "CMS" else f"RSA,{signer.key}"
    run("swugenerator", "--sw-description", "sw-description", "--swu-file", "made.swu", "--artifactory", ".", "--sign", sign,
        "create", cwd=tmp_path)  # fmt: skip
    data = (tmp_path / "made.swu").read_bytes()
    anchor = signer.certificate if way == "CMS" else public
    found = look(data, {Format.SWU: anchors([anchor.read_bytes()])})
    assert (found.version, found.hardware) == ("1.2.3", ("gateway:1.0", "gateway:#RE:^2[.]"))
    assert found.verdict is Verdict.VALID, found.signatures
    (part,) = found.payloads
    assert (part.name, part.verified) == ("root.img", True)
    assert part.sha256 == hashlib.sha256(b"root file system").hexdigest()
    assert look(data).verdict is Verdict.UNKNOWN
