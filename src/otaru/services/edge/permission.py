"""Whether an update may go on here now: what its rollout and the device's maker ask for, hours, locks, programs that object.

Conditions are looked at before the download and before the installation, hours and locks before the installation and once more
before anything is switched: an application that takes one in between is not disturbed either. In between nobody looks.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from otaru.domain import deployment
from otaru.domain.conditions import Condition, condition, forbids, names
from otaru.domain.ids import ActionId
from otaru.domain.link import Note, Offer
from otaru.domain.update import Moment, Outcome
from otaru.domain.update_record import Past, Plan
from otaru.domain.urgency import Urgency
from otaru.errors import OtaruError
from otaru.services.edge.parts import Parts

_log = logging.getLogger("otaru.agent")


@dataclass(frozen=True, slots=True)
class Held:
    """Why not now: a word for programs, and a line for people."""

    code: str
    reason: str


class Permission:
    """Asks, and tells the server why not: each reason once until it is another one."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.reason = ""
        """Why not now, as the server was told last; empty: nothing is in the way."""
        self.opens_at: datetime | None = None
        """When the device's hours begin, where they are in the way."""

    def begins(self, offer: Offer, number: int) -> bool:
        """Whether the download may begin. `number` is of the update before."""
        plan = Plan(int(offer.action), f"{offer.product}:{offer.version}")
        held = self._conditions(offer) or self._hook(Moment.BEFORE_DOWNLOAD, plan)
        return self._said(held, offer.action, number)

    def installs(self, offer: Offer | None, plan: Plan, number: int) -> bool:
        """Whether it may be installed."""
        self.opens_at = None
        held = None if offer is None else self._conditions(offer)
        takes = timedelta(0) if offer is None else offer.takes
        held = held or self._shut(offer, takes) or self._locked(offer) or self._hook(Moment.BEFORE_INSTALL, plan)
        return self._said(held, ActionId(plan.action), number)

    def switches(self, offer: Offer | None, plan: Plan, number: int) -> bool:
        """Whether what is installed may be switched to."""
        self.opens_at = None
        return self._said(self._shut(offer, timedelta(0)) or self._locked(offer), ActionId(plan.action), number)

    def ended(self, past: Past) -> None:
        """Tell programs how it ended."""
        moment = _ENDS.get(past.outcome)
        if moment is not None and self._parts.hooks is not None:
            told = _about(Plan(past.action, past.release))
            said = self._parts.hooks.call(moment, {**told, "OTARU_OUTCOME": past.outcome, "OTARU_CODE": past.code})
            if said:
                _log.warning("%s: %s", moment, said)

    def _conditions(self, offer: Offer) -> Held | None:
        reason = held_back(self._parts, offer.conditions)
        return None if reason is None else Held("condition", reason)

    def _shut(self, offer: Offer | None, takes: timedelta) -> Held | None:
        hours, now = self._parts.hours, self._parts.clock.now()
        if hours.forced_breaks and offer is not None and is_forced(offer, now):
            return None
        reason, first = hours.shut(now, takes)
        if not reason:
            return None
        self.opens_at = first
        return Held("window", reason)

    def _locked(self, offer: Offer | None) -> Held | None:
        if self._parts.forced_breaks and offer is not None and is_forced(offer, self._parts.clock.now()):
            return None
        reason = next((said for lock in self._parts.locks if (said := lock.held())), "")
        return Held("locked", reason) if reason else None

    def _hook(self, moment: Moment, plan: Plan) -> Held | None:
        said = "" if self._parts.hooks is None else self._parts.hooks.call(moment, _about(plan))
        return Held("hook", said) if said else None

    def _said(self, held: Held | None, action: ActionId, number: int) -> bool:
        reason = "" if held is None else held.reason
        if held is not None and reason != self.reason:
            now = self._parts.clock.now()
            # Two reasons within a second are two notes, and so is one that comes again later.
            name = f"{action}-{number}-refuse-{now.timestamp():.0f}-{sha256(reason.encode()).hexdigest()[:12]}"
            _log.warning("%s waits: %s", action, reason)
            self._parts.outbox.put(Note(name, action, deployment.Event.REFUSE, held.code, (reason,), at=now))
        self.reason = reason
        return held is None


_ENDS = {
    Outcome.SUCCEEDED: Moment.AFTER_COMMIT,
    Outcome.FAILED: Moment.AFTER_FAILURE,
    Outcome.REVERTED: Moment.AFTER_FAILURE,
    Outcome.STRANDED: Moment.AFTER_FAILURE,
}
"""Who was turned down or called off has done nothing."""


def is_forced(offer: Offer, now: datetime) -> bool:
    """Whether the device has no say in the moment."""
    return offer.urgency is Urgency.FORCED or (offer.forced_at is not None and now >= offer.forced_at)


def held_back(parts: Parts, asked: Iterable[str]) -> str | None:
    """Which condition does not hold now, in words; None: all do. What is not known here does not hold."""
    conditions: list[Condition] = list(parts.require)
    for text in asked:
        try:
            conditions.append(condition(text))
        except OtaruError:
            return f"it does not know the condition {text[:80]!r}"
    if not conditions:
        return None
    facts = {} if parts.senses is None else parts.senses.facts(names(conditions))
    return forbids(conditions, facts)


def _about(plan: Plan) -> dict[str, str]:
    return {"OTARU_RELEASE": plan.release, "OTARU_ACTION": str(plan.action)}
