"""Products, and their releases: of all products those made last first, of one its newest versions first."""

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.domain import ids
from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, Version
from otaru.domain.release import Artifact, Blob, Release
from otaru.errors import InvalidInputError
from otaru.services.control import releases

PRODUCTS = 10
RELEASES = 50


@dataclass(frozen=True, slots=True)
class File:
    """One file of a release, with all the hardware that it is for."""

    artifact: Artifact
    hardware: tuple[Hardware, ...]

    @property
    def blob(self) -> Blob:
        """Its bytes."""
        return self.artifact.blob


def files_of(release: Release) -> list[File]:
    """The files of a release: each once, whatever the number of hardware models that it is for."""
    found: dict[tuple[str, str, str], list[Artifact]] = {}
    for artifact in release.artifacts:
        found.setdefault((artifact.filename, artifact.blob.sha256, artifact.component), []).append(artifact)
    return [File(same[0], tuple(artifact.hardware for artifact in same)) for same in found.values()]


async def show(call: Call) -> Response:
    """Products by name and releases, of all products or of one."""
    product = ids.product_name(name) if (name := call.asked("product")) else None
    after = _release_name(call.asked("after"))
    listed = releases.latest if product is None else releases.ranked
    found = await listed(call.world, call.tenant, product, after, RELEASES + 1)
    shown = found[:RELEASES]
    facts: dict[str, Any] = {
        "product": product,
        "paged": after is not None,
        "releases": [(release, files_of(release)) for release in shown],
        "following": f"{shown[-1].product}:{shown[-1].version}" if len(found) > RELEASES else None,
    }
    return await call.show("releases.html", **facts, **await _products(call, product))


async def _products(call: Call, chosen: ProductName | None) -> dict[str, Any]:
    """The table of products, which is left out where one is chosen."""
    after = ids.product_name(name) if (name := call.asked("products")) else None
    if chosen is not None:
        return {"lines": [], "next_product": None, "products_paged": False}
    found = await releases.lines(call.world, call.tenant, after, PRODUCTS + 1)
    following = found[PRODUCTS - 1][0] if len(found) > PRODUCTS else None
    return {"lines": found[:PRODUCTS], "next_product": following, "products_paged": after is not None}


def _release_name(text: str) -> tuple[ProductName, Version] | None:
    """`product:version`, after which a page begins.

    Raises:
        InvalidInputError: it is not.
    """
    if not text:
        return None
    product, colon, version = text.partition(":")
    if not colon:
        raise InvalidInputError(f"{text!r} names no release", hint="Open the list from its first page.")
    return ids.product_name(product), ids.version(version)
