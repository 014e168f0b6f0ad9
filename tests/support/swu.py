"""Signed .swu files, as a firmware engineer builds them: sw-description, its CMS signature and the payload in a cpio."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

_DESCRIPTION = """software = {{
  version = "{version}";
  hardware-compatibility: [ "{hardware}" ];
  files: ( {{ filename = "payload.bin"; path = "{target}"; sha256 = "{sha256}"; }} );
}}
"""


@dataclass(frozen=True)
class Signer:
    """A key and its self-signed certificate, which is what SWUpdate is given to trust."""

    key: Path
    certificate: Path


def signer(folder: Path, name: str = "signer") -> Signer:
    """Make a signer. The key is of the kind that SWUpdate's default purpose (emailProtection) accepts."""
    made = Signer(folder / f"{name}.key.pem", folder / f"{name}.cert.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/O=Otaru tests/CN={name}",
         "-addext", "keyUsage=digitalSignature", "-addext", "extendedKeyUsage=emailProtection",
         "-keyout", made.key, "-out", made.certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


def build(
    folder: Path,
    by: Signer,
    *,
    version: str,
    payload: bytes,
    target: Path,
    hardware: str = "1.0",
    description: str = "",
) -> Path:
    """Build a .swu that writes `payload` to `target` on a device of this hardware revision, or what `description` says."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "payload.bin").write_bytes(payload)
    sha256 = hashlib.sha256(payload).hexdigest()
    description = description or _DESCRIPTION.format(version=version, hardware=hardware, target=target, sha256=sha256)
    (folder / "sw-description").write_text(description)
    subprocess.run(
        ["openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-signer", by.certificate,
         "-inkey", by.key, "-outform", "DER", "-nosmimecap", "-binary"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    archive = folder / f"app-{version}.swu"
    names = b"sw-description\nsw-description.sig\npayload.bin\n"  # the description comes first
    with archive.open("wb") as out:
        subprocess.run(
            ["cpio", "-o", "-H", "crc"], cwd=folder, input=names, stdout=out, stderr=subprocess.PIPE, check=True
        )
    return archive
