"""AWS's Key Management Service as moto plays it, in a process of its own on the loopback.

moto 5.2 hashes what it is given once more where it is a digest already (`MessageType=DIGEST`), which AWS does not
(API_Sign.html; https://github.com/getmoto/moto/pull/10202). The program below takes that right; nothing of ours is changed.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

PROGRAM = """
import sys
import threading
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey
from moto.server import ThreadedMotoServer

asked, answer, sign = threading.local(), KmsResponse.sign, ECDSAPrivateKey.sign

def answered(self):
    asked.digest = self._get_param("MessageType") == "DIGEST"
    return answer(self)

def signed(self, message, algorithm):
    if not asked.digest:
        return sign(self, message, algorithm)
    kind = SHA384() if algorithm.endswith("384") else SHA256()
    return self.private_key.sign(message, ECDSA(Prehashed(kind)))  # a message of another length is refused

KmsResponse.sign, ECDSAPrivateKey.sign = answered, signed
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def kms() -> Iterator[tuple[Any, Mapping[str, str]]]:
    """A client of a service that has no keys yet, and the environment of those that are to find it."""
    for needed in ("boto3", "moto"):
        pytest.importorskip(needed, reason=f"{needed} is not installed: signing in the cloud is NOT tested")
    import boto3

    outer = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=outer | {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        env = {
            "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{int(server.stdout.readline())}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            yield boto3.client("kms"), env
        server.stdin.close()


def make(client: Any, spec: str = "ECC_NIST_P256", alias: str = "") -> str:
    """The id of a new key."""
    use = "ENCRYPT_DECRYPT" if spec == "SYMMETRIC_DEFAULT" else "SIGN_VERIFY"
    name: str = client.create_key(KeySpec=spec, KeyUsage=use)["KeyMetadata"]["KeyId"]
    if alias:
        client.create_alias(AliasName=f"alias/{alias}", TargetKeyId=name)
    return name
