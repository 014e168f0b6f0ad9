"""What happens to devices, their groups and their enrollment, in words."""

from collections.abc import Callable, Mapping

from otaru.apps.console.status import Tone, look
from otaru.apps.console.telling.sentence import Said, Thing, listed, plain, quoted, rollout_page, text, texts
from otaru.domain.deployment import State
from otaru.domain.device import Lifecycle
from otaru.domain.enrollment import Approval
from otaru.domain.events import Happening, Kind


def _device_added(what: Happening) -> Said:
    itself = what.actor == f"device:{what.subject}"
    waits = text(what, "lifecycle") == Lifecycle.PENDING
    claim = text(what, "claim")
    words = f"enrolled by claim{quoted(claim)}" if claim else "registered itself" if itself else "was added"
    words += " and waits to be accepted" if waits else ""
    hardware = text(what, "hardware")
    return Said(Tone.HELD if waits else Tone.IDLE, words, facts=(hardware,) * bool(hardware))


def _device_changed(what: Happening) -> Said:
    if "auto_confirm" in what.data:
        yes = bool(what.data["auto_confirm"])
        return Said(Tone.IDLE, "consents to every update from now on" if yes else "is asked for consent again")
    changed = tuple(texts(what, "changed"))
    if changed == ("pins",) and isinstance(what.data.get("pins"), list):
        pins = ["everything" if pin == "*" else pin for pin in texts(what, "pins")]
        words = f"was pinned: {', '.join(pins)} stays as it is" if pins else "is pinned no more"
        return Said(Tone.IDLE, words, reason=text(what, "reason"))
    return Said(Tone.IDLE, "was changed", reason=text(what, "reason"), facts=changed)


def _device_disputed(what: Happening) -> Said:
    key = text(what, "key")
    words = "was asked for with another key" if key else "was asked for again without a key"
    facts = (f"key {key[:16]}",) if key else ()
    return Said(Tone.FAILED, f"{words}, which was refused", facts=facts)


def _device_doubled(what: Happening) -> Said:
    places = what.data.get("addresses")
    facts = tuple(str(place) for place in places[:2]) if isinstance(places, list) else ()
    return Said(Tone.HELD, "may be cloned: it was heard from two addresses at the same time", facts=facts)


def _enrollment_created(what: Happening) -> Said:
    quota = what.data.get("quota")
    facts = [f"{quota:,} {'device' if quota == 1 else 'devices'}"] if isinstance(quota, int) else []
    facts += ["to be accepted by hand"] if text(what, "approval") == Approval.MANUAL else []
    facts += ["listed serials only"] if what.data.get("listed") is True else []
    return Said(Tone.IDLE, "was made", facts=tuple(facts))


def _enrollment_changed(what: Happening) -> Said:
    added, serials = what.data.get("added"), what.data.get("serials")
    words = f"lists {added:,} more serials" if isinstance(added, int) else "was changed"
    return Said(Tone.IDLE, words, facts=(f"{serials:,} in all",) if isinstance(serials, int) else ())


_LIFECYCLE = {
    "accept": "was accepted",
    "reject": "was rejected",
    "quarantine": "was quarantined",
    "release": "was released from quarantine",
    "decommission": "was decommissioned",
}


def _device_lifecycle(what: Happening) -> Said:
    after = text(what, "to")
    tone = look(Lifecycle(after)).tone if after in set(Lifecycle) else Tone.IDLE
    return Said(tone, _LIFECYCLE.get(text(what, "event"), f"is {after} now"))


def _device_permitted(what: Happening) -> Said:
    facts = (f"counter {what.data.get('counter')}", f"until {text(what, 'until')}")
    return Said(Tone.HELD, f"may go below its security counter in {text(what, 'component')}", facts=facts)


def _device_receipt(what: Happening) -> Said:
    return Said(Tone.IDLE, "has signed what became of its update", facts=(f"bundle {text(what, 'bundle')}",))


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


def _deployment_moved(what: Happening) -> Said:
    after, rollout = text(what, "to"), what.data.get("rollout")
    about = rollout_page(rollout) if rollout is not None else Thing("a rollout")
    if after not in set(State):
        return Said(Tone.IDLE, f"is {after or 'moved'} in", about)
    state = State(after)
    attempt = what.data.get("attempt")
    facts = (f"attempt {attempt}",) if isinstance(attempt, int) and attempt > 1 else ()
    words = "cannot begin yet with the update of" if text(what, "from") == after else _STEPS[state]
    return Said(look(state).tone, words, about, text(what, "reason"), facts)


_ASKED = {"diagnose": "its diagnostics", "run": "a command", "reboot": "a reboot", "restore": "putting a backup back"}
_WENT = {
    "waiting": (Tone.IDLE, "was asked for"),
    "taken": (Tone.BUSY, "began with"),
    "done": (Tone.DONE, "is done with"),
    "failed": (Tone.FAILED, "failed at"),
    "refused": (Tone.HELD, "refused"),
    "expired": (Tone.HELD, "was not heard of in time for"),
    "cancelled": (Tone.IDLE, "is no longer asked for"),
    "read": (Tone.HELD, "had somebody fetch"),
}


def _device_errand(what: Happening) -> Said:
    tone, words = _WENT.get(text(what, "to"), (Tone.IDLE, "was asked for"))
    thing = _ASKED.get(text(what, "what"), "something")
    name, number = text(what, "name"), what.data.get("errand")
    facts = (f"errand {number}",) if isinstance(number, int) else ()
    return Said(tone, f"{words} {thing}" + (f": {name}" if name else ""), reason=text(what, "code"), facts=facts)


_BACKUP = {
    "taken": (Tone.DONE, "sent a backup"),
    "fetched": (Tone.HELD, "had somebody fetch a backup"),
    "deleted": (Tone.HELD, "had somebody delete a backup"),
    "replaced": (Tone.IDLE, "had an old backup make room"),
}


def _device_backup(what: Happening) -> Said:
    tone, words = _BACKUP.get(text(what, "to"), (Tone.IDLE, "has a backup here"))
    return Said(tone, f"{words}: {text(what, 'backup')}")


def _alert(tone: Tone, words: str) -> Callable[[Happening], Said]:
    def said(what: Happening) -> Said:
        devices, of = what.data.get("devices"), what.data.get("of")
        facts = [f"{devices:,} of {of:,} devices"] if isinstance(devices, int) and isinstance(of, int) else []
        return Said(tone, words, facts=(*facts, text(what, "when")) if text(what, "when") else tuple(facts))

    return said


_CHANGED = {
    "added": (Tone.IDLE, "got another credential"),
    "issued": (Tone.IDLE, "was issued a certificate"),
    "revoked": (Tone.HELD, "lost a credential: it was revoked"),
}


def _device_credential(what: Happening) -> Said:
    tone, words = _CHANGED.get(text(what, "change"), (Tone.IDLE, "was given a new token"))
    facts = (text(what, "kind"), text(what, "label"))
    return Said(tone, words, facts=tuple(filter(None, facts)))


def _group_changed(what: Happening) -> Said:
    for word in ("entered", "left"):
        if word in what.data:
            number = what.data[word]
            return Said(Tone.IDLE, f"{number} {'device' if number == 1 else 'devices'} {word} it")
    return Said(Tone.IDLE, "was changed", facts=_query(what))


def _stream(what: Happening) -> str:
    return f"{text(what, 'product')} {text(what, 'channel')}".strip()


def _group_waits(what: Happening) -> Said:
    tone = Tone.FAILED if what.data.get("stuck") is True else Tone.IDLE
    return Said(tone, f"waits with {_stream(what)}", reason=text(what, "reason"))


def _query(what: Happening) -> tuple[str, ...]:
    query = text(what, "query")
    return (query,) if query else ()


WORDS: Mapping[Kind, Callable[[Happening], Said]] = {
    Kind.DEVICE_ERRAND: _device_errand,
    Kind.DEVICE_BACKUP: _device_backup,
    Kind.ALERT_ADDED: _alert(Tone.IDLE, "was added"),
    Kind.ALERT_REMOVED: plain(Tone.IDLE, "was removed"),
    Kind.ALERT_RAISED: _alert(Tone.FAILED, "was raised"),
    Kind.ALERT_CLOSED: _alert(Tone.DONE, "is over"),
    Kind.DEVICE_ADDED: _device_added,
    Kind.DEVICE_CHANGED: _device_changed,
    Kind.DEVICE_CREDENTIAL: _device_credential,
    Kind.DEVICE_LIFECYCLE: _device_lifecycle,
    Kind.DEVICE_PERMITTED: _device_permitted,
    Kind.DEVICE_RECEIPT: _device_receipt,
    Kind.DEVICE_ATTRIBUTES: listed("reported other attributes", "changed"),
    Kind.DEVICE_DISPUTED: _device_disputed,
    Kind.DEVICE_DOUBLED: _device_doubled,
    Kind.GROUP_CREATED: lambda what: Said(Tone.IDLE, "was made", facts=_query(what)),
    Kind.GROUP_CHANGED: _group_changed,
    Kind.GROUP_DELETED: plain(Tone.HELD, "was deleted"),
    Kind.GROUP_FOLLOWED: lambda what: Said(Tone.IDLE, f"follows {_stream(what)}", reason=text(what, "reason")),
    Kind.GROUP_UNFOLLOWED: lambda what: Said(Tone.HELD, f"follows {_stream(what)} no longer"),
    Kind.GROUP_WAITS: _group_waits,
    Kind.DEPLOYMENT_MOVED: _deployment_moved,
    Kind.ENROLLMENT_CREATED: _enrollment_created,
    Kind.ENROLLMENT_CHANGED: _enrollment_changed,
    Kind.ENROLLMENT_REVOKED: plain(Tone.HELD, "was revoked: no device comes by it any more"),
}
