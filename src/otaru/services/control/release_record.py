"""Who made a release what it is: who brought and published it, whose keys have signed it, where the log has it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from otaru.domain.events import START, Kind
from otaru.domain.ids import TenantId
from otaru.domain.release import Release, ReleaseState
from otaru.ports.store import Recorded, Tx
from otaru.services.control import signing
from otaru.trust.log.entries import Log

_MOVES = 20
"""Events and entries of one release that are looked at; it cannot have as many."""
_SIGNED = frozenset({ReleaseState.PUBLISHED, ReleaseState.DEPRECATED})


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a release's making. What is older than the record of events has no name any more."""

    role: str
    """The role that signs it."""
    created_by: str | None
    published_by: str | None
    signed_version: int | None
    """The newest version of the role's metadata, which lists it as long as it is out."""
    signed_by: Sequence[str]
    """The ids of the keys that have signed that."""
    log_index: int | None
    """Its publication's place in the release log; None for about a second after it, and before."""


def record(tx: Tx, tenant: TenantId, release: Release) -> Record:
    """What is known of a release's making, within a transaction."""
    role, name = signing.role_for(release), f"{release.product}:{release.version}"
    kinds = {Kind.RELEASE_CREATED, Kind.RELEASE_MOVED}
    told = tx.events.page(tenant, START, _MOVES, name, newest_first=True, kinds=kinds)
    made = next((one.what.actor for one in told if one.what.kind is Kind.RELEASE_CREATED), None)
    published = next((one.what.actor for one in told if one.what.data.get("to") == ReleaseState.PUBLISHED), None)
    signed: Sequence[Recorded] = ()
    if release.state in _SIGNED:
        signed = tx.events.page(tenant, START, 1, role, newest_first=True, kinds={Kind.METADATA_SIGNED})
    facts = signed[0].what.data if signed else {}
    version, keys = facts.get("version"), facts.get("keys", [])
    return Record(role, made, published, version, keys, _place(tx, tenant, name))


def _place(tx: Tx, tenant: TenantId, name: str) -> int | None:
    for place, draft in tx.logs.found(tenant, Log.RELEASE, name, None, _MOVES):
        told = json.loads(draft.entry)
        if told["kind"] == Kind.RELEASE_MOVED and told["data"].get("to") == ReleaseState.PUBLISHED:
            return place
    return None
