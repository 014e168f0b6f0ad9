"""What happens to the tenant, its tokens, keys and logs, in words."""

from collections.abc import Callable, Mapping

from otaru.apps.console.status import Tone
from otaru.apps.console.telling.sentence import Said, listed, plain, text, texts
from otaru.domain.events import Happening, Kind


def _halted(what: Happening) -> Said:
    return Said(Tone.FAILED, "was halted", reason=text(what, "reason"))


def _blackout(what: Happening) -> Said:
    over = text(what, "change") == "removed"
    when = text(what, "when")
    words = "has a blackout less" if over else "has a blackout: nothing new is offered while it lasts"
    return Said(Tone.IDLE if over else Tone.HELD, words, reason=text(what, "reason"), facts=(when,) * bool(when))


def _token_made(what: Happening) -> Said:
    role = text(what, "role")
    return Said(Tone.IDLE, "was opened" if text(what, "kind") == "session" else "was made", facts=(role,) * bool(role))


def _token_ended(what: Happening) -> Said:
    words = {"session": "ended", "login": "was used"}.get(text(what, "kind"), "was revoked")
    return Said(Tone.IDLE, words)


def _metadata_signed(what: Happening) -> Said:
    version, keys = what.data.get("version"), texts(what, "keys")
    words = f"was signed: version {version}" if isinstance(version, int) else "was signed"
    return Said(Tone.DONE, words, facts=tuple(f"key {key[:16]}" for key in keys))


def _key_added(what: Happening) -> Said:
    facts = (text(what, "place"), "development" if what.data.get("development") is True else "")
    of = text(what, "role")
    return Said(Tone.IDLE, f"was added for {of}" if of else "was made", facts=tuple(filter(None, facts)))


def _anchored(what: Happening) -> tuple[str, ...]:
    return tuple(filter(None, (text(what, "format"), text(what, "name"))))


def _authority_added(what: Happening) -> Said:
    asks = what.data.get("certificate") is False
    own = what.data.get("own") is True
    words = (
        "asks for its certificate" if asks else "signs for devices" if own else "is known as some devices' authority"
    )
    return Said(Tone.IDLE, words)


WORDS: Mapping[Kind, Callable[[Happening], Said]] = {
    Kind.TENANT_CREATED: plain(Tone.IDLE, "was made"),
    Kind.TENANT_CHANGED: listed("was changed", "settings"),
    Kind.TENANT_HALTED: _halted,
    Kind.TENANT_LIFTED: plain(Tone.DONE, "goes on: the halt was lifted"),
    Kind.TENANT_BLACKOUT: _blackout,
    Kind.TOKEN_CREATED: _token_made,
    Kind.TOKEN_REVOKED: _token_ended,
    Kind.AUTHORITY_ADDED: _authority_added,
    Kind.AUTHORITY_RETIRED: plain(Tone.HELD, "was retired: it signs nothing new"),
    Kind.LOG_ERASED: plain(Tone.IDLE, "lost its text: it was erased"),
    Kind.LOG_SPLIT: plain(Tone.FAILED, "was signed and is not in the log: somebody was shown another history"),
    Kind.METADATA_SIGNED: _metadata_signed,
    Kind.KEY_ADDED: _key_added,
    Kind.KEY_REVOKED: plain(Tone.HELD, "was revoked: no role has it any more"),
    Kind.ANCHOR_ADDED: lambda what: Said(Tone.IDLE, "was added", facts=_anchored(what)),
    Kind.ANCHOR_REMOVED: lambda what: Said(Tone.HELD, "was removed", facts=_anchored(what)),
}
