"""How a device comes to its server: a key of its own, a claim, and the roots of both repositories."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.journal import FileVault
from otaru.adapters.clock import SystemClock
from otaru.adapters.links.admission import Admission
from otaru.apps.agent import identity
from otaru.apps.agent.identity import FileKey, Identity
from otaru.apps.agent.keys import token_key
from otaru.apps.agent.wiring import BUILT, alone, trusted
from otaru.domain.device import hardware
from otaru.domain.ids import DeviceId, TenantId
from otaru.trust.tuf.metadata import as_root, check_signatures, read
from otaru.trust.tuf.names import ROOT
from otaru.trust.verify.refusals import StateError
from otaru.trust.verify.state import provisioned


@dataclass(frozen=True, slots=True)
class Roots:
    """What the device trusts from the beginning; None: what the server shows now."""

    director: bytes | None = None
    image: bytes | None = None


def enroll(data: Path, me: Identity, secret: str, roots: Roots) -> Mapping[str, Any]:
    """Make this device one of the server's; what it is then. The same again changes nothing but who is asked.

    `secret` is a claim, or the device's own token (`Identity.by_token`). What a device trusts already stays: who wants other
    roots provisions a new device.

    Raises:
        OtaruError: the server refuses, or does not answer; or a root is none.
        DataFolderError: the folder cannot be used.
    """
    hardware(me.hardware)
    identity.open_folder(data)
    with alone(data):
        admission = Admission(me.server, SystemClock(), trusted(me.ca))
        try:
            state = "active"
            if me.by_token:
                identity.keep_token(data, secret)
            else:
                tenant, device = TenantId(me.tenant), DeviceId(me.device)
                made = token_key(me.key, make=True) if me.key else FileKey(data)
                told = admission.enroll(secret, device, tenant, me.hardware, made, {})
                state = str(told.get("state", state))
            shown = _provision(data, me, admission, roots)
        finally:
            admission.close()
        identity.keep(data, me)
    return {"device": me.device, "tenant": me.tenant, "server": me.server, "state": state, **shown}


def _provision(data: Path, me: Identity, admission: Admission, roots: Roots) -> dict[str, str]:
    """Keep the roots where none are kept; the digests of what is trusted."""
    vault = FileVault(LocalDisk(), str(data / "trust"))
    try:
        state = vault.load()
    except StateError:
        tenant = TenantId(me.tenant)
        director = roots.director or admission.root(tenant, "director")
        image = roots.image or admission.root(tenant, "image")
        for root in (director, image):
            found = as_root(read(ROOT, root))
            check_signatures(found.signed, ROOT, found)
        state = provisioned(director, image, BUILT)
        vault.put(state)
    return {
        "director_root": sha256(state.director.root).hexdigest(),
        "image_root": sha256(state.image.root).hexdigest(),
    }
