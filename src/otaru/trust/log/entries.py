"""What becomes an entry of a tenant's logs, and in which words. `RULES` is the one table of it.

The *release log* is public: what exists, what was withdrawn, what was rolled out and how it was judged. It names no person,
no device and no target. The *audit log* is not: it says who did what, when. Its entries hold the time, the kind and a
commitment to the rest, HMAC-SHA256 under a random salt of each entry. Whoever has salt and text can check them; once both
are erased nobody can guess the text from the entry, and the tree stays as it is.

What devices say about themselves is no privileged action and becomes no entry; how an errand went is one.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac
from typing import Any

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import TenantId
from otaru.trust.log.canonical import canonical, harmless

MAX_ENTRY = 0xFFFF
SALT_SIZE = 32


class Log(StrEnum):
    """A tenant's logs."""

    RELEASE = "release"
    AUDIT = "audit"


class Audited(StrEnum):
    """Whose actions of a kind are audited."""

    ALL = "all"
    PEOPLE = "people"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Rule:
    """What of a kind is logged: `public` are the facts that the release log shows; None: it has no such entries."""

    audited: Audited
    public: tuple[str, ...] | None = None


_ROLLOUT = ("from", "to", "notes")

RULES: Mapping[Kind, Rule] = {
    Kind.TENANT_CREATED: Rule(Audited.ALL),
    Kind.TENANT_CHANGED: Rule(Audited.ALL),
    Kind.TENANT_HALTED: Rule(Audited.ALL),
    Kind.TENANT_LIFTED: Rule(Audited.ALL),
    Kind.TENANT_BLACKOUT: Rule(Audited.ALL),
    Kind.TOKEN_CREATED: Rule(Audited.ALL),
    Kind.TOKEN_REVOKED: Rule(Audited.ALL),
    Kind.DEVICE_ADDED: Rule(Audited.PEOPLE),
    Kind.DEVICE_CHANGED: Rule(Audited.PEOPLE),
    Kind.DEVICE_CREDENTIAL: Rule(Audited.PEOPLE),
    Kind.DEVICE_LIFECYCLE: Rule(Audited.PEOPLE),
    Kind.DEVICE_PERMITTED: Rule(Audited.ALL),
    Kind.DEVICE_RECEIPT: Rule(Audited.PEOPLE),
    Kind.DEVICE_ATTRIBUTES: Rule(Audited.NONE),
    Kind.DEVICE_DISPUTED: Rule(Audited.NONE),
    Kind.DEVICE_DOUBLED: Rule(Audited.NONE),
    # What a device did of what people asked of it belongs to that: an exception from what is said above.
    Kind.DEVICE_ERRAND: Rule(Audited.ALL),
    # Data of a device came to be here: who reads of them later asks when, and what became of them.
    Kind.DEVICE_BACKUP: Rule(Audited.ALL),
    Kind.ALERT_ADDED: Rule(Audited.ALL),
    Kind.ALERT_REMOVED: Rule(Audited.ALL),
    Kind.ALERT_RAISED: Rule(Audited.NONE),
    Kind.ALERT_CLOSED: Rule(Audited.NONE),
    Kind.GROUP_CREATED: Rule(Audited.ALL),
    Kind.GROUP_CHANGED: Rule(Audited.ALL),
    Kind.GROUP_DELETED: Rule(Audited.ALL),
    Kind.GROUP_FOLLOWED: Rule(Audited.ALL),
    Kind.GROUP_UNFOLLOWED: Rule(Audited.ALL),
    Kind.GROUP_WAITS: Rule(Audited.NONE),
    Kind.DEPLOYMENT_MOVED: Rule(Audited.PEOPLE),
    Kind.PRODUCT_CHANGED: Rule(Audited.PEOPLE, ("order",)),
    Kind.RELEASE_CREATED: Rule(Audited.PEOPLE),
    Kind.RELEASE_MOVED: Rule(Audited.PEOPLE, ("from", "to", "artifacts")),
    Kind.DELTA_ORDERED: Rule(Audited.PEOPLE, ("from", "deltas")),
    Kind.DELTA_ENDED: Rule(Audited.NONE),
    Kind.ROLLOUT_CREATED: Rule(Audited.PEOPLE, ("product", "version", "size")),
    Kind.ROLLOUT_MOVED: Rule(Audited.PEOPLE, _ROLLOUT),
    Kind.ROLLOUT_WAVE: Rule(Audited.PEOPLE, _ROLLOUT),
    Kind.ROLLOUT_INSTALL: Rule(Audited.PEOPLE, ("at", "in_window")),
    Kind.ROLLOUT_SEGMENT: Rule(Audited.PEOPLE, ("segment", "held")),
    Kind.ROLLOUT_RETRIED: Rule(Audited.PEOPLE, ()),
    Kind.ROLLOUT_EXPORTED: Rule(Audited.PEOPLE, ("bundle", "devices", "until", "sha256")),
    Kind.ROLLOUT_JOINED: Rule(Audited.NONE),
    Kind.ROLLOUT_BACK: Rule(Audited.PEOPLE, ("rollouts", "members")),
    Kind.METADATA_SIGNED: Rule(Audited.ALL, ("version", "keys", "sha256")),
    Kind.KEY_ADDED: Rule(Audited.ALL, ("role", "development")),
    Kind.KEY_REVOKED: Rule(Audited.ALL, ()),
    Kind.ANCHOR_ADDED: Rule(Audited.ALL),
    Kind.ANCHOR_REMOVED: Rule(Audited.ALL),
    Kind.AUTHORITY_ADDED: Rule(Audited.ALL),
    Kind.AUTHORITY_RETIRED: Rule(Audited.ALL),
    Kind.LOG_ERASED: Rule(Audited.ALL),
    Kind.LOG_SPLIT: Rule(Audited.ALL),
    Kind.ENROLLMENT_CREATED: Rule(Audited.ALL),
    Kind.ENROLLMENT_CHANGED: Rule(Audited.ALL),
    Kind.ENROLLMENT_REVOKED: Rule(Audited.ALL),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that has no place in its log yet."""

    tenant: TenantId
    log: Log
    at: datetime
    kind: Kind
    entry: bytes
    """What is hashed into the tree, and served."""
    subject: str = ""
    """What it is found by; empty in the audit log, which is found by nothing that it hides."""
    salt: bytes | None = None
    text: bytes | None = None
    """What an audit entry commits to; None once it is erased."""


def is_logged(what: Happening) -> bool:
    """Whether a happening becomes an entry of any log."""
    return RULES[what.kind].public is not None or _is_audited(what)


def drafts(happenings: Iterable[Happening], salt: Callable[[], bytes]) -> list[Draft]:
    """The entries that happenings of one transaction become. `salt` gives `SALT_SIZE` random bytes, anew each time.

    Their data is JSON that was decoded. What somebody did at once to many things is one audit entry.
    """
    public: list[Draft] = []
    acts: dict[tuple[TenantId, datetime, str, Kind], list[Happening]] = {}
    for what in happenings:
        if (names := RULES[what.kind].public) is not None:
            public.append(_public(what, names))
        if _is_audited(what):
            acts.setdefault((what.tenant, what.at, what.actor, what.kind), []).append(what)
    return [*public, *(_private(done, salt()) for done in acts.values())]


def commitment(salt: bytes, text: bytes) -> str:
    """What an audit entry shows in place of the text."""
    return hmac(salt, text, "sha256").hex()


def opens(entry: bytes, salt: bytes, text: bytes) -> bool:
    """Whether a salt and a text are those that an audit entry commits to."""
    expected = canonical({**_told(text), "commitment": commitment(salt, text)})
    return len(salt) == SALT_SIZE and compare_digest(entry, expected)


def _told(text: bytes) -> dict[str, Any]:
    """What an audit entry shows of its text."""
    try:
        whole = json.loads(text)
        return {name: str(whole[name]) for name in ("at", "kind")}
    except (ValueError, KeyError, TypeError):
        return {}


def _is_audited(what: Happening) -> bool:
    match RULES[what.kind].audited:
        case Audited.ALL:
            return True
        case Audited.PEOPLE:
            return what.actor.startswith("user:")
        case Audited.NONE:
            return False


def _public(what: Happening, names: Sequence[str]) -> Draft:
    facts = harmless({name: what.data[name] for name in names if name in what.data})
    shown = {"at": _time(what.at), "by": _role(what.actor), "data": facts, "kind": what.kind, "subject": what.subject}
    entry = canonical(shown)
    if len(entry) > MAX_ENTRY:
        # Too many artifacts to name each: their list is committed to as a whole.
        entry = canonical({**shown, "data": {"sha256": sha256(canonical(facts)).hexdigest()}})
    return Draft(what.tenant, Log.RELEASE, what.at, what.kind, entry, what.subject)


def _private(done: Sequence[Happening], salt: bytes) -> Draft:
    first = done[0]
    shown = {"at": _time(first.at), "kind": str(first.kind)}
    things = [{"data": harmless(what.data), "subject": what.subject} for what in done]
    text = canonical({**shown, "actor": first.actor, "things": things})
    entry = canonical({**shown, "commitment": commitment(salt, text)})
    return Draft(first.tenant, Log.AUDIT, first.at, first.kind, entry, salt=salt, text=text)


def _role(actor: str) -> str:
    """Who did it without their name: `user`, `device`, `judge`, `system`."""
    return actor.partition(":")[0]


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
