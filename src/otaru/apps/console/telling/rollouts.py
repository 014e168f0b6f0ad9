"""What happens to rollouts and what they bring, in words."""

from collections.abc import Callable, Mapping
from typing import Any

from otaru.apps.console.status import Tone, look
from otaru.apps.console.telling.sentence import Said, rollout_page, text, texts
from otaru.domain.delta import DeltaState
from otaru.domain.events import Happening, Kind
from otaru.domain.release import ReleaseState
from otaru.domain.rollout import Order, RolloutState


def _release_created(what: Happening) -> Said:
    number = len(set(texts(what, "artifacts")))
    return Said(Tone.IDLE, "was created", facts=(f"{number} {'file' if number == 1 else 'files'}",) if number else ())


def _release_moved(what: Happening) -> Said:
    after = text(what, "to")
    tone = look(ReleaseState(after)).tone if after in set(ReleaseState) else Tone.IDLE
    return Said(tone, f"was {after or 'changed'}")


def _delta_ordered(what: Happening) -> Said:
    number = what.data.get("deltas")
    words = "a delta was ordered" if number == 1 else f"{number} deltas were ordered"
    return Said(Tone.IDLE, words, facts=_from(what))


def _delta_ended(what: Happening) -> Said:
    state, codec = text(what, "state"), text(what, "codec")
    reason = text(what, "reason")
    tone, words = Tone.IDLE, "no delta helps"
    if state == DeltaState.MADE:
        tone, words = Tone.DONE, "a delta was made"
    elif state == DeltaState.FAILED:
        tone, words = Tone.HELD, "a delta could not be made"
    return Said(tone, words, reason=reason, facts=(*_from(what), codec))


def _from(what: Happening) -> tuple[str, ...]:
    return (f"from {text(what, 'from')}",)


def _rollout_created(what: Happening) -> Said:
    product, version, size = text(what, "product"), text(what, "version"), what.data.get("size")
    facts = [f"{size:,} {'device' if size == 1 else 'devices'}"] if isinstance(size, int) else []
    facts += [target] if (target := text(what, "target")) else []
    return Said(Tone.IDLE, f"was planned for {product} {version}".rstrip(), facts=tuple(facts))


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


def _rollout_moved(what: Happening) -> Said:
    before, after = text(what, "from"), text(what, "to")
    if (newer := what.data.get("superseded_by")) is not None:
        return Said(Tone.IDLE, "was superseded by", rollout_page(newer), facts=_moved(what))
    if after not in set(RolloutState) or before == after:
        return _rollout_wave(what)
    state = RolloutState(after)
    words = "resumed" if (before, after) == (RolloutState.PAUSED, RolloutState.RUNNING) else _ROLLOUT[state]
    return Said(look(state).tone, words, reason=text(what, "reason"), facts=_moved(what))


def _moved(what: Happening) -> tuple[str, ...]:
    """How many members were moved, and how."""
    moved: Any = what.data.get("moved")
    counts = moved if isinstance(moved, dict) else {}
    return tuple(f"{counts[o]:,} {word}" for o, word in _MOVED.items() if isinstance(counts.get(o), int))


def _rollout_wave(what: Happening) -> Said:
    return Said(Tone.BUSY, "went on", reason="; ".join(texts(what, "notes")))


def _rollout_install(what: Happening) -> Said:
    ordered = what.data.get("at") is not None
    words = "was ordered to install" if ordered else "was told not to install yet"
    facts = tuple(texts(what, "notes"))
    return Said(Tone.BUSY if ordered else Tone.HELD, words, reason=text(what, "reason"), facts=facts)


def _rollout_segment(what: Happening) -> Said:
    held, index, name = what.data.get("held") is True, what.data.get("segment"), text(what, "name")
    number = f" {index + 1}" if isinstance(index, int) else ""
    words = f"{'holds' if held else 'released'} its segment{number}"
    return Said(Tone.HELD if held else Tone.BUSY, words, reason=text(what, "reason"), facts=(name,) if name else ())


def _rollout_retried(what: Happening) -> Said:
    members, states = what.data.get("members"), texts(what, "states")
    number = f"{members:,} " if isinstance(members, int) else ""
    devices = "device" if members == 1 else "devices"
    which = f" that ended {' or '.join(states)}" if states else ""
    return Said(Tone.BUSY, f"tries {number}{devices} again{which}", reason=text(what, "reason"))


def _rollout_joined(what: Happening) -> Said:
    members = what.data.get("members")
    number = f"{members:,} {'device' if members == 1 else 'devices'}" if isinstance(members, int) else "devices"
    return Said(Tone.BUSY, f"was joined by {number}")


def _rollout_exported(what: Happening) -> Said:
    devices = what.data.get("devices")
    number = f"{devices:,} {'device' if devices == 1 else 'devices'}" if isinstance(devices, int) else "devices"
    facts = (f"bundle {text(what, 'bundle')}", f"until {text(what, 'until')[:16].replace('T', ' ')}")
    return Said(Tone.BUSY, f"was put on a stick for {number}", facts=facts)


def _rollout_back(what: Happening) -> Said:
    members, left_out = what.data.get("members"), what.data.get("left_out")
    number = f"{members:,} {'device' if members == 1 else 'devices'}" if isinstance(members, int) else "devices"
    made: Any = what.data.get("rollouts")
    by = [f"rollout {rollout}" for rollout in made if isinstance(rollout, int)] if isinstance(made, list) else []
    out = [f"{n:,} left out: {why}" for why, n in left_out.items()] if isinstance(left_out, dict) else []
    words = f"brings {number} back" if by else "brings nobody back"
    return Said(Tone.HELD, words, reason=text(what, "reason"), facts=(*by, *out))


WORDS: Mapping[Kind, Callable[[Happening], Said]] = {
    Kind.PRODUCT_CHANGED: lambda what: Said(Tone.IDLE, f"follows the {text(what, 'order')} order"),
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
    Kind.ROLLOUT_EXPORTED: _rollout_exported,
    Kind.ROLLOUT_BACK: _rollout_back,
}
