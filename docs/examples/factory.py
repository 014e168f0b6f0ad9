"""A factory line in small: makes devices with keys, enrolls them with one claim, many at once, and has each poll.

    pip install aiohttp cryptography
    python factory.py --server https://ota.example --claim otaru-claim-… --devices 1000 --hardware rpi4

Every second device asks for a target token; the others register their key, and buy a token for an hour with it. What is
printed at the end is counted from the server's answers. Exit code 0: all enrolled and polled; 1: some did not.
"""

import argparse
import asyncio
import json
import sys
import time
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Device:
    """One device: a serial, and a key that it makes itself."""

    def __init__(self, serial: str, tenant: str) -> None:
        self.serial, self.tenant = serial, tenant
        self._key = Ed25519PrivateKey.generate()
        public = self._key.public_key()
        self.pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self.digest = sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def proof(self, purpose: str, *more: str) -> dict[str, Any]:
        """What shows that it has the key: a signature of this moment."""
        now = int(time.time())
        text = "\n".join((purpose, self.tenant, self.serial, str(now), *more, self.digest))
        return {"time": now, "signature": b64encode(self._key.sign(text.encode())).decode()}


class Line:
    """The factory line."""

    def __init__(self, http: aiohttp.ClientSession, asked: argparse.Namespace) -> None:
        self._http, self._asked = http, asked
        self._claim_digest = sha256(asked.claim.encode()).hexdigest()
        self.told: Counter[str] = Counter()
        self.polled = 0

    async def make(self, number: int) -> None:
        """Make one device, enroll it, and have it poll."""
        device = Device(f"{self._asked.prefix}{number}", self._asked.tenant)
        want = "token" if number % 2 else "key"
        body = {
            "id": device.serial,
            "hardware": self._asked.hardware,
            "want": want,
            "public_key": device.pem,
            "proof": device.proof("otaru-enroll-v1", self._claim_digest),
        }
        status, told = await self._post("/device/v1/enroll", body, f"Bearer {self._asked.claim}")
        self.told[str(status) if status < 300 else f"{status} {told.get('code')}"] += 1
        if status != 201:
            return
        await self._poll(device, f"TargetToken {told['token']}" if want == "token" else await self._grant(device))

    async def _grant(self, device: Device) -> str:
        """A token for an hour, bought with the key."""
        body = {
            "tenant": device.tenant,
            "id": device.serial,
            "public_key": device.pem,
            "proof": device.proof("otaru-token-v1"),
        }
        status, told = await self._post("/device/v1/token", body)
        return f"Bearer {told['token']}" if status == 201 else "none"

    async def _poll(self, device: Device, authorization: str) -> None:
        url = f"{self._asked.server}/{device.tenant}/controller/v1/{device.serial}"
        async with self._http.get(url, headers={"Authorization": authorization}) as answer:
            self.polled += answer.status == 200

    async def _post(self, path: str, body: dict[str, Any], authorization: str = "") -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": authorization} if authorization else {}
        async with self._http.post(self._asked.server + path, data=json.dumps(body), headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


async def run(asked: argparse.Namespace) -> int:
    """Make all devices; the exit code."""
    begun = time.monotonic()
    places = asyncio.Semaphore(asked.parallel)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=asked.parallel)) as http:
        line = Line(http, asked)

        async def work(number: int) -> None:
            async with places:
                await line.make(number)

        await asyncio.gather(*(work(number) for number in range(1, asked.devices + 1)))
    took = time.monotonic() - begun
    facts = {"devices": asked.devices, "told": dict(line.told), "polled": line.polled, "took_s": round(took, 2)}
    print(json.dumps(facts))
    return 0 if line.polled == asked.devices else 1


def main() -> int:
    """Read the command line, and run."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--server", required=True)
    words.add_argument("--claim", required=True)
    words.add_argument("--tenant", default="DEFAULT")
    words.add_argument("--devices", type=int, default=100)
    words.add_argument("--hardware", default="rpi4")
    words.add_argument("--prefix", default="sn-")
    words.add_argument("--parallel", type=int, default=50)
    return asyncio.run(run(words.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
