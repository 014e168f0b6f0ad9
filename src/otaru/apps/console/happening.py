"""What happened, in words: the one table from events to sentences, for every page that tells of them.

A sentence is "subject words about: reason", said by somebody: "gw-7 failed in rollout 3: not enough space". A page of
one device leaves the subject out. What an older program recorded may lack a fact: then the sentence is shorter.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from otaru.apps.console.status import Tone
from otaru.apps.console.telling import access, devices, rollouts
from otaru.apps.console.telling.sentence import Said, Thing, device_page, quoted, rollout_page, text
from otaru.domain.events import Happening, Kind
from otaru.ports.store import Recorded


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
    "alerts": ("Alerts", tuple(k for k in Kind if k.startswith("alert."))),
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
            label, token = text(what, "label"), text(what, "token")
            name = quoted(label) if label or not token else f" of token {_short(token)}"
            return Thing(_TOKENS.get(text(what, "kind"), "Token") + name)
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
        case "alert":
            return Thing(f"Alert {what.subject}", "/settings#alerts")
        case "anchor":
            return Thing(f"Trust anchor {what.subject[:16]}")
        case "authority":
            return Thing(f"Authority {what.subject[:16]}")
        case "enrollment":
            return Thing(f"Claim{quoted(text(what, 'label'))}", f"/enrollments/{quote(what.subject, safe='')}")
        case _:
            return Thing("The tenant")


_TOKENS = {"api": "API token", "login": "Login link", "session": "Session"}


_WORDS: Mapping[Kind, Callable[[Happening], Said]] = {**devices.WORDS, **rollouts.WORDS, **access.WORDS}
