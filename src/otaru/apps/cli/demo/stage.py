"""What the demo puts on the server: releases of real firmware, and a rollout of one of them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from otaru.apps.cli.demo.firmware import MODEL, PRODUCT, REVISIONS, Image
from otaru.errors import NotFoundError, UnauthenticatedError

if TYPE_CHECKING:
    from otaru.apps.simulator.api import Api

TAG = "demo"
POLLING_S = 60
"""In virtual time, as all that the devices do."""
WAVES = ("2", "10", "100%")
SUCCESS, ERROR = 0.8, 0.2
"""A wave passes when 80% of it succeeded, and fails when more than 20% of it failed."""
EXPIRES_S = 3600
GOING_ON = frozenset({"planned", "scheduled", "running", "paused", "stopping"})


async def good(api: "Api") -> bool:
    """Whether the server takes the token that `api` has."""
    try:
        await api.call("GET", "/tenant")
    except UnauthenticatedError:
        return False
    return True


async def publish(api: "Api", images: Sequence[Image]) -> list[str]:
    """Publish what is not published yet, for the three hardware revisions; what was done, in words."""
    await api.call("PATCH", "/tenant", {"settings": {"polling_s": POLLING_S}})
    done = []
    for image in images:
        try:
            await api.call("GET", f"/releases/{PRODUCT}/{image.version}")
        except NotFoundError:
            pass
        else:
            continue
        name, digest = f"{PRODUCT}-{image.version}.bin", hashlib.sha256(image.content).hexdigest()
        await api.upload("/artifacts", image.content, filename=name, sha256=digest)
        hardware = [f"{MODEL}:{revision}" for revision in REVISIONS]
        artifact = {"sha256": digest, "filename": name, "hardware": hardware}
        body = {"product": PRODUCT, "version": image.version, "artifacts": [artifact]}
        await api.call("POST", "/releases", body)
        done.append(f"Published {PRODUCT} {image.version} ({len(image.content)} bytes, {', '.join(hardware)}).")
    return done


async def current(api: "Api") -> Any | None:
    """The demo's newest rollout, if it is still going on."""
    page = await api.call("GET", "/rollouts", limit=1)
    newest = next(iter(page["items"]), None)
    return newest if newest is not None and newest["state"] in GOING_ON else None


async def begin(api: "Api", versions: Sequence[str]) -> Any:
    """Start a rollout of the version that fewer devices have: forward first, and back when that is done."""
    found = Counter(dict.fromkeys(versions, 0))
    async for device in api.every("/devices", q=f"tag=={TAG}"):
        found.update(i["version"] for i in device["installed"] if i["component"] == PRODUCT)
    version = min(reversed(versions), key=lambda v: found[v])
    body = {
        "release": f"{PRODUCT}:{version}",
        "target": f"tag=={TAG}",
        "name": f"demo: {PRODUCT} {version}",
        "waves": list(WAVES),
        "success": SUCCESS,
        "error": ERROR,
        "expires_in_s": EXPIRES_S,
        "start": True,
    }
    return await api.call("POST", "/rollouts", body)
