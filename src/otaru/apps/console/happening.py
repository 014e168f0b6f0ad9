"""What happened, in words: the one table from events to sentences, for every page that tells of them.

A sentence is "subject words about: reason", said by somebody: "gw-7 failed in rollout 3: not enough space". A page of
one device leaves the subject out. What an older program recorded may lack a fact: then the sentence is shorter.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from otaru.apps.console.status import Tone, look
from otaru.domain.delta import DeltaState
from otaru.domain.deployment import State
from otaru.domain.device import Lifecycle
from otaru.domain.enrollment import Approval
from otaru.domain.events import Happening, Kind
from otaru.domain.release import ReleaseState
from otaru.domain.rollout import Order, RolloutState
from otaru.ports.store import Recorded


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that has a name and, where it has one, a page."""

    words: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One event as a person reads it."""

    position: str
    at: datetime
    kind: Kind
    tone: Tone
    who: str
    """Who did it: a token's label, "the device", "the rollout's rule", "Otaru"."""
    subject: Thing
    words: str
    about: Thing | None = None
    """What the words lead to, where it is not the subject: the rollout of a device's step."""
    reason: str = ""
    """Why, as somebody or something gave it."""
    facts: tuple[str, ...] = ()
    """Numbers and names beside it."""

    @property
    def sentence(self) -> str:
        """All of it but who and when."""
        about = f" {self.about.words}" if self.about else ""
        reason = f": {self.reason}" if self.reason else ""
        facts = f" ({', '.join(self.facts)})" if self.facts else ""
        return f"{self.subject.words} {self.words}{about}{reason}{facts}"


GROUPS: Mapping[str, tuple[str, tuple[Kind, ...]]] = {
    "rollouts": ("Rollouts", tuple(k for k in Kind if k.startswith("rollout."))),
    "updates": ("Updates of devices", (Kind.DEPLOYMENT_MOVED,)),
    "devices": ("Devices", tuple(k for k in Kind if k.startswith("device."))),
    "groups": ("Groups", tuple(k for k in Kind if k.startswith("group."))),
    "enrollments": ("Enrollments", tuple(k for k in Kind if k.startswith("enrollment."))),
    "releases": ("Releases", tuple(k for k in Kind if k.startswith(("product.", "release.", "delta.")))),
    "keys": (
        "Keys and signatures",
        tuple(k for k in Kind if k.startswith(("metadata.", "key.", "anchor.", "authority."))),
    ),
    "access": ("Settings and access", tuple(k for k in Kind if k.startswith(("tenant.", "token.", "log.")))),
}
"""What a visitor may filter by: name in the address, words, and kinds. Every kind is in one group."""


@dataclass(frozen=True, slots=True)
class _Said:
    tone: Tone
    words: str
    about: Thing | None = None
    reason: str = ""
    facts: tuple[str, ...] = ()


def told(recorded: Recorded) -> Told:
    """An event in words."""
    what = recorded.what
    said = _WORDS[what.kind](what)
    return Told(
        position=str(recorded.at),
        at=what.at,
        kind=what.kind,
        tone=said.tone,
        who=_who(what),
        subject=_subject(what),
        words=said.words,
        about=said.about,
        reason=said.reason,
        facts=said.facts,
    )


def device_page(device: str) -> Thing:
    """A device and its page."""
    return Thing(device, f"/devices/{quote(device, safe='')}")


def rollout_page(rollout: object) -> Thing:
    """A rollout and its page."""
    return Thing(f"rollout {rollout}", f"/rollouts/{quote(str(rollout), safe='')}")


def _who(what: Happening) -> str:
    return "the device" if what.actor == f"device:{what.subject}" else actor(what.actor)


def actor(name: str) -> str:
    """Who did something, in words, by the name that the record has of them."""
    kind, _, rest = name.partition(":")
    if kind == "device":
        return rest
    if kind == "user":
        return _short(rest)
    return {"judge": "the rollout's rule", "system": "Otaru"}.get(name, name)


_ID = re.compile(r"\b([0-9a-f]{8})(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\Z")


def _short(name: str) -> str:
    """A token's holder with no more of its id than tells it from others."""
    return _ID.sub(r"\1", name)


def _subject(what: Happening) -> Thing:
    match what.kind.partition(".")[0]:
        case "device" | "deployment":
            return device_page(what.subject)
        case "group":
            return Thing(f"the group {what.subject}", f"/groups/{quote(what.subject, safe='')}")
        case "rollout":
            of = rollout_page(what.subject)
            return Thing(of.words.capitalize(), of.address)
        case "release" | "delta":
            product, _, version = what.subject.partition(":")
            address = f"/releases/{quote(product, safe='')}/{quote(version, safe='')}"
            return Thing(f"Release {product} {version}", address)
        case "product":
            return Thing(f"Product {what.subject}", f"/releases?product={quote(what.subject, safe='')}")
        case "token":
            label, token = _text(what, "label"), _text(what, "token")
            name = _quoted(label) if label or not token else f" of token {_short(token)}"
            return Thing(_TOKENS.get(_text(what, "kind"), "Token") + name)
        case "log":
            return Thing(f"Entry {what.subject} of the audit log")
        case kind:
            return _thing(kind, what)


def _thing(kind: str, what: Happening) -> Thing:
    """What has no page, or stands beside the fleet."""
    match kind:
        case "metadata":
            return Thing(f"Role {what.subject}")
        case "key":
            return Thing(f"Key {what.subject[:16]}")
        case "anchor":
            return Thing(f"Trust anchor {what.subject[:16]}")
        case "authority":
            return Thing(f"Authority {what.subject[:16]}")
        case "enrollment":
            return Thing(f"Claim{_quoted(_text(what, 'label'))}", f"/enrollments/{quote(what.subject, safe='')}")
        case _:
            return Thing("The tenant")


_TOKENS = {"api": "API token", "login": "Login link", "session": "Session"}


def _text(what: Happening, name: str) -> str:
    value: Any = what.data.get(name)
    return value if isinstance(value, str) else ""


def _texts(what: Happening, name: str) -> Sequence[str]:
    value: Any = what.data.get(name)
    return [v for v in value if isinstance(v, str)] if isinstance(value, list | tuple) else []


def _quoted(name: str) -> str:
    return f" “{name}”" if name else ""


def _plain(tone: Tone, words: str) -> Callable[[Happening], _Said]:
    return lambda _: _Said(tone, words)


def _listed(words: str, name: str) -> Callable[[Happening], _Said]:
    """Words and the names of what changed."""
    return lambda what: _Said(Tone.IDLE, words, facts=tuple(_texts(what, name)))


def _halted(what: Happening) -> _Said:
    return _Said(Tone.FAILED, "was halted", reason=_text(what, "reason"))


def _blackout(what: Happening) -> _Said:
    over = _text(what, "change") == "removed"
    when = _text(what, "when")
    words = "has a blackout less" if over else "has a blackout: nothing new is offered while it lasts"
    return _Said(Tone.IDLE if over else Tone.HELD, words, reason=_text(what, "reason"), facts=(when,) * bool(when))


def _token_made(what: Happening) -> _Said:
    role = _text(what, "role")
    return _Said(
        Tone.IDLE, "was opened" if _text(what, "kind") == "session" else "was made", facts=(role,) * bool(role)
    )


def _token_ended(what: Happening) -> _Said:
    words = {"session": "ended", "login": "was used"}.get(_text(what, "kind"), "was revoked")
    return _Said(Tone.IDLE, words)


def _device_added(what: Happening) -> _Said:
    itself = what.actor == f"device:{what.subject}"
    waits = _text(what, "lifecycle") == Lifecycle.PENDING
    claim = _text(what, "claim")
    words = f"enrolled by claim{_quoted(claim)}" if claim else "registered itself" if itself else "was added"
    words += " and waits to be accepted" if waits else ""
    hardware = _text(what, "hardware")
    return _Said(Tone.HELD if waits else Tone.IDLE, words, facts=(hardware,) * bool(hardware))


def _device_changed(what: Happening) -> _Said:
    if "auto_confirm" in what.data:
        yes = bool(what.data["auto_confirm"])
        return _Said(Tone.IDLE, "consents to every update from now on" if yes else "is asked for consent again")
    changed = tuple(_texts(what, "changed"))
    if changed == ("pins",) and isinstance(what.data.get("pins"), list):
        pins = ["everything" if pin == "*" else pin for pin in _texts(what, "pins")]
        words = f"was pinned: {', '.join(pins)} stays as it is" if pins else "is pinned no more"
        return _Said(Tone.IDLE, words, reason=_text(what, "reason"))
    return _Said(Tone.IDLE, "was changed", reason=_text(what, "reason"), facts=changed)


def _device_disputed(what: Happening) -> _Said:
    key = _text(what, "key")
    words = "was asked for with another key" if key else "was asked for again without a key"
    facts = (f"key {key[:16]}",) if key else ()
    return _Said(Tone.FAILED, f"{words}, which was refused", facts=facts)


def _device_doubled(what: Happening) -> _Said:
    places = what.data.get("addresses")
    facts = tuple(str(place) for place in places[:2]) if isinstance(places, list) else ()
    return _Said(Tone.HELD, "may be cloned: it was heard from two addresses at the same time", facts=facts)


def _enrollment_created(what: Happening) -> _Said:
    quota = what.data.get("quota")
    facts = [f"{quota:,} {'device' if quota == 1 else 'devices'}"] if isinstance(quota, int) else []
    facts += ["to be accepted by hand"] if _text(what, "approval") == Approval.MANUAL else []
    facts += ["listed serials only"] if what.data.get("listed") is True else []
    return _Said(Tone.IDLE, "was made", facts=tuple(facts))


def _enrollment_changed(what: Happening) -> _Said:
    added, serials = what.data.get("added"), what.data.get("serials")
    words = f"lists {added:,} more serials" if isinstance(added, int) else "was changed"
    return _Said(Tone.IDLE, words, facts=(f"{serials:,} in all",) if isinstance(serials, int) else ())


_LIFECYCLE = {
    "accept": "was accepted",
    "reject": "was rejected",
    "quarantine": "was quarantined",
    "release": "was released from quarantine",
    "decommission": "was decommissioned",
}


def _device_lifecycle(what: Happening) -> _Said:
    after = _text(what, "to")
    tone = look(Lifecycle(after)).tone if after in set(Lifecycle) else Tone.IDLE
    return _Said(tone, _LIFECYCLE.get(_text(what, "event"), f"is {after} now"))


def _device_permitted(what: Happening) -> _Said:
    facts = (f"counter {what.data.get('counter')}", f"until {_text(what, 'until')}")
    return _Said(Tone.HELD, f"may go below its security counter in {_text(what, 'component')}", facts=facts)


_STEPS: Mapping[State, str] = {
    State.SCHEDULED: "was put in line in",
    State.OFFERED: "was offered the release of",
    State.AWAITING_CONSENT: "waits for consent to",
    State.POSTPONED: "postponed the update of",
    State.DOWNLOADING: "began to download in",
    State.DOWNLOADED: "has downloaded in",
    State.INSTALLING: "began to install in",
    State.REBOOTING: "reboots in",
    State.ON_TRIAL: "runs the new release on trial in",
    State.CANCELLING: "was told to cancel its update in",
    State.SUCCEEDED: "succeeded in",
    State.FAILED: "failed in",
    State.REVERTED: "went back to the old release in",
    State.REJECTED: "rejected the update of",
    State.CANCELLED: "cancelled its update in",
    State.SKIPPED: "was skipped in",
    State.SILENT: "was given up as silent in",
}


def _deployment_moved(what: Happening) -> _Said:
    after, rollout = _text(what, "to"), what.data.get("rollout")
    about = rollout_page(rollout) if rollout is not None else Thing("a rollout")
    if after not in set(State):
        return _Said(Tone.IDLE, f"is {after or 'moved'} in", about)
    state = State(after)
    attempt = what.data.get("attempt")
    facts = (f"attempt {attempt}",) if isinstance(attempt, int) and attempt > 1 else ()
    words = "cannot begin yet with the update of" if _text(what, "from") == after else _STEPS[state]
    return _Said(look(state).tone, words, about, _text(what, "reason"), facts)


def _release_created(what: Happening) -> _Said:
    number = len(set(_texts(what, "artifacts")))
    return _Said(Tone.IDLE, "was created", facts=(f"{number} {'file' if number == 1 else 'files'}",) if number else ())


def _release_moved(what: Happening) -> _Said:
    after = _text(what, "to")
    tone = look(ReleaseState(after)).tone if after in set(ReleaseState) else Tone.IDLE
    return _Said(tone, f"was {after or 'changed'}")


def _delta_ordered(what: Happening) -> _Said:
    number = what.data.get("deltas")
    words = "a delta was ordered" if number == 1 else f"{number} deltas were ordered"
    return _Said(Tone.IDLE, words, facts=_from(what))


def _delta_ended(what: Happening) -> _Said:
    state, codec = _text(what, "state"), _text(what, "codec")
    reason = _text(what, "reason")
    tone, words = Tone.IDLE, "no delta helps"
    if state == DeltaState.MADE:
        tone, words = Tone.DONE, "a delta was made"
    elif state == DeltaState.FAILED:
        tone, words = Tone.HELD, "a delta could not be made"
    return _Said(tone, words, reason=reason, facts=(*_from(what), codec))


def _from(what: Happening) -> tuple[str, ...]:
    return (f"from {_text(what, 'from')}",)


def _rollout_created(what: Happening) -> _Said:
    product, version, size = _text(what, "product"), _text(what, "version"), what.data.get("size")
    facts = [f"{size:,} {'device' if size == 1 else 'devices'}"] if isinstance(size, int) else []
    facts += [target] if (target := _text(what, "target")) else []
    return _Said(Tone.IDLE, f"was planned for {product} {version}".rstrip(), facts=tuple(facts))


_ROLLOUT: Mapping[RolloutState, str] = {
    RolloutState.DRAFT: "is a draft",
    RolloutState.PLANNED: "was planned",
    RolloutState.AWAITING_APPROVAL: "waits for approval",
    RolloutState.SCHEDULED: "was scheduled",
    RolloutState.RUNNING: "started",
    RolloutState.PAUSED: "paused",
    RolloutState.STOPPING: "is being stopped",
    RolloutState.STOPPED: "stopped",
    RolloutState.FINISHED: "finished",
}

_MOVED = {
    Order.CANCEL_OPEN: "told to cancel",
    Order.CANCEL_SCHEDULED: "cancelled",
    Order.SKIP_SCHEDULED: "skipped",
    Order.SILENCE_OPEN: "given up",
    Order.SKIP_HELD: "skipped that had only downloaded",
}


def _rollout_moved(what: Happening) -> _Said:
    before, after = _text(what, "from"), _text(what, "to")
    if (newer := what.data.get("superseded_by")) is not None:
        return _Said(Tone.IDLE, "was superseded by", rollout_page(newer), facts=_moved(what))
    if after not in set(RolloutState) or before == after:
        return _rollout_wave(what)
    state = RolloutState(after)
    words = "resumed" if (before, after) == (RolloutState.PAUSED, RolloutState.RUNNING) else _ROLLOUT[state]
    return _Said(look(state).tone, words, reason=_text(what, "reason"), facts=_moved(what))


def _moved(what: Happening) -> tuple[str, ...]:
    """How many members were moved, and how."""
    moved: Any = what.data.get("moved")
    counts = moved if isinstance(moved, dict) else {}
    return tuple(f"{counts[o]:,} {word}" for o, word in _MOVED.items() if isinstance(counts.get(o), int))


def _rollout_wave(what: Happening) -> _Said:
    return _Said(Tone.BUSY, "went on", reason="; ".join(_texts(what, "notes")))


def _rollout_install(what: Happening) -> _Said:
    ordered = what.data.get("at") is not None
    words = "was ordered to install" if ordered else "was told not to install yet"
    facts = tuple(_texts(what, "notes"))
    return _Said(Tone.BUSY if ordered else Tone.HELD, words, reason=_text(what, "reason"), facts=facts)


def _rollout_segment(what: Happening) -> _Said:
    held, index, name = what.data.get("held") is True, what.data.get("segment"), _text(what, "name")
    number = f" {index + 1}" if isinstance(index, int) else ""
    words = f"{'holds' if held else 'released'} its segment{number}"
    return _Said(Tone.HELD if held else Tone.BUSY, words, reason=_text(what, "reason"), facts=(name,) if name else ())


def _rollout_retried(what: Happening) -> _Said:
    members, states = what.data.get("members"), _texts(what, "states")
    number = f"{members:,} " if isinstance(members, int) else ""
    devices = "device" if members == 1 else "devices"
    which = f" that ended {' or '.join(states)}" if states else ""
    return _Said(Tone.BUSY, f"tries {number}{devices} again{which}", reason=_text(what, "reason"))


def _rollout_joined(what: Happening) -> _Said:
    members = what.data.get("members")
    number = f"{members:,} {'device' if members == 1 else 'devices'}" if isinstance(members, int) else "devices"
    return _Said(Tone.BUSY, f"was joined by {number}")


def _rollout_back(what: Happening) -> _Said:
    members, left_out = what.data.get("members"), what.data.get("left_out")
    number = f"{members:,} {'device' if members == 1 else 'devices'}" if isinstance(members, int) else "devices"
    made: Any = what.data.get("rollouts")
    by = [f"rollout {rollout}" for rollout in made if isinstance(rollout, int)] if isinstance(made, list) else []
    out = [f"{n:,} left out: {why}" for why, n in left_out.items()] if isinstance(left_out, dict) else []
    words = f"brings {number} back" if by else "brings nobody back"
    return _Said(Tone.HELD, words, reason=_text(what, "reason"), facts=(*by, *out))


def _metadata_signed(what: Happening) -> _Said:
    version, keys = what.data.get("version"), _texts(what, "keys")
    words = f"was signed: version {version}" if isinstance(version, int) else "was signed"
    return _Said(Tone.DONE, words, facts=tuple(f"key {key[:16]}" for key in keys))


def _key_added(what: Happening) -> _Said:
    facts = (_text(what, "place"), "development" if what.data.get("development") is True else "")
    of = _text(what, "role")
    return _Said(Tone.IDLE, f"was added for {of}" if of else "was made", facts=tuple(filter(None, facts)))


def _anchored(what: Happening) -> tuple[str, ...]:
    return tuple(filter(None, (_text(what, "format"), _text(what, "name"))))


_CHANGED = {
    "added": (Tone.IDLE, "got another credential"),
    "issued": (Tone.IDLE, "was issued a certificate"),
    "revoked": (Tone.HELD, "lost a credential: it was revoked"),
}


def _device_credential(what: Happening) -> _Said:
    tone, words = _CHANGED.get(_text(what, "change"), (Tone.IDLE, "was given a new token"))
    facts = (_text(what, "kind"), _text(what, "label"))
    return _Said(tone, words, facts=tuple(filter(None, facts)))


def _authority_added(what: Happening) -> _Said:
    asks = what.data.get("certificate") is False
    own = what.data.get("own") is True
    words = (
        "asks for its certificate" if asks else "signs for devices" if own else "is known as some devices' authority"
    )
    return _Said(Tone.IDLE, words)


def _group_changed(what: Happening) -> _Said:
    for word in ("entered", "left"):
        if word in what.data:
            number = what.data[word]
            return _Said(Tone.IDLE, f"{number} {'device' if number == 1 else 'devices'} {word} it")
    return _Said(Tone.IDLE, "was changed", facts=_query(what))


def _stream(what: Happening) -> str:
    return f"{_text(what, 'product')} {_text(what, 'channel')}".strip()


def _group_waits(what: Happening) -> _Said:
    tone = Tone.FAILED if what.data.get("stuck") is True else Tone.IDLE
    return _Said(tone, f"waits with {_stream(what)}", reason=_text(what, "reason"))


def _query(what: Happening) -> tuple[str, ...]:
    query = _text(what, "query")
    return (query,) if query else ()


_WORDS: Mapping[Kind, Callable[[Happening], _Said]] = {
    Kind.TENANT_CREATED: _plain(Tone.IDLE, "was made"),
    Kind.TENANT_CHANGED: _listed("was changed", "settings"),
    Kind.TENANT_HALTED: _halted,
    Kind.TENANT_LIFTED: _plain(Tone.DONE, "goes on: the halt was lifted"),
    Kind.TENANT_BLACKOUT: _blackout,
    Kind.TOKEN_CREATED: _token_made,
    Kind.TOKEN_REVOKED: _token_ended,
    Kind.DEVICE_ADDED: _device_added,
    Kind.DEVICE_CHANGED: _device_changed,
    Kind.DEVICE_CREDENTIAL: _device_credential,
    Kind.DEVICE_LIFECYCLE: _device_lifecycle,
    Kind.DEVICE_PERMITTED: _device_permitted,
    Kind.DEVICE_ATTRIBUTES: _listed("reported other attributes", "changed"),
    Kind.DEVICE_DISPUTED: _device_disputed,
    Kind.DEVICE_DOUBLED: _device_doubled,
    Kind.GROUP_CREATED: lambda what: _Said(Tone.IDLE, "was made", facts=_query(what)),
    Kind.GROUP_CHANGED: _group_changed,
    Kind.GROUP_DELETED: _plain(Tone.HELD, "was deleted"),
    Kind.GROUP_FOLLOWED: lambda what: _Said(Tone.IDLE, f"follows {_stream(what)}", reason=_text(what, "reason")),
    Kind.GROUP_UNFOLLOWED: lambda what: _Said(Tone.HELD, f"follows {_stream(what)} no longer"),
    Kind.GROUP_WAITS: _group_waits,
    Kind.DEPLOYMENT_MOVED: _deployment_moved,
    Kind.PRODUCT_CHANGED: lambda what: _Said(Tone.IDLE, f"follows the {_text(what, 'order')} order"),
    Kind.RELEASE_CREATED: _release_created,
    Kind.RELEASE_MOVED: _release_moved,
    Kind.DELTA_ORDERED: _delta_ordered,
    Kind.DELTA_ENDED: _delta_ended,
    Kind.ROLLOUT_CREATED: _rollout_created,
    Kind.ROLLOUT_MOVED: _rollout_moved,
    Kind.ROLLOUT_WAVE: _rollout_wave,
    Kind.ROLLOUT_INSTALL: _rollout_install,
    Kind.ROLLOUT_SEGMENT: _rollout_segment,
    Kind.ROLLOUT_RETRIED: _rollout_retried,
    Kind.ROLLOUT_JOINED: _rollout_joined,
    Kind.ROLLOUT_BACK: _rollout_back,
    Kind.AUTHORITY_ADDED: _authority_added,
    Kind.AUTHORITY_RETIRED: _plain(Tone.HELD, "was retired: it signs nothing new"),
    Kind.LOG_ERASED: _plain(Tone.IDLE, "lost its text: it was erased"),
    Kind.LOG_SPLIT: _plain(Tone.FAILED, "was signed and is not in the log: somebody was shown another history"),
    Kind.METADATA_SIGNED: _metadata_signed,
    Kind.KEY_ADDED: _key_added,
    Kind.KEY_REVOKED: _plain(Tone.HELD, "was revoked: no role has it any more"),
    Kind.ANCHOR_ADDED: lambda what: _Said(Tone.IDLE, "was added", facts=_anchored(what)),
    Kind.ANCHOR_REMOVED: lambda what: _Said(Tone.HELD, "was removed", facts=_anchored(what)),
    Kind.ENROLLMENT_CREATED: _enrollment_created,
    Kind.ENROLLMENT_CHANGED: _enrollment_changed,
    Kind.ENROLLMENT_REVOKED: _plain(Tone.HELD, "was revoked: no device comes by it any more"),
}
