"""Whether what was installed is still there as it was: looked at now and then, and the server told where that changes.

It is told as the attribute `drift.COMPONENT`: so it is shown with the device, kept with its history, and can be asked for in
targets (`attr.drift.settings!=none`).
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from math import inf

from otaru.domain.drift import NONE, PREFIX
from otaru.domain.update import RESTING
from otaru.domain.update_record import Record
from otaru.errors import OtaruError
from otaru.ports.board import Desired, Drift
from otaru.ports.clock import Clock
from otaru.ports.link import Link

PUT_BACK = "put back: "
MAX_NAMED = 10
_LATER_S = 60
"""While an update is under way."""
_log = logging.getLogger("otaru.agent")


class DriftWatch:
    """Looks at some components, each `every` so often and after each update."""

    def __init__(self, desired: Mapping[str, tuple[Desired, timedelta]], link: Link, clock: Clock) -> None:
        self._desired = dict(desired)
        self._link = link
        self._clock = clock
        self._due: dict[str, float] = {}
        self._seen: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._logged: dict[str, str] = {}
        self._number = -1
        """Of the update that was under way, or the last one, when it was looked."""

    def look(self, record: Record) -> None:
        """Look where it is time to, and say what the server does not know yet. Nothing while an update is under way."""
        if record.state not in RESTING:
            return
        now = self._clock.monotonic()
        if record.number != self._number:
            self._number, self._due = record.number, {}
        for name, (desired, every) in self._desired.items():
            if now >= self._due.get(name, now):
                self._due[name] = now + every.total_seconds()
                self._look(name, desired)
        news = {name: said for name, said in self._seen.items() if self._told.get(name) != said}
        if not news:
            return
        try:
            self._link.describe(news)
        except OtaruError as error:
            _log.info("the server does not hear of drift yet: %s", error)
        else:
            self._told |= news

    def due_in_s(self) -> float:
        """In how many seconds it is time to look again; never less than one."""
        return max(min(self._due.values(), default=inf) - self._clock.monotonic(), 1.0)

    def work(self, record: Record) -> None:
        """Look where it is time to, also between two polls: a server may let a device rest for much longer."""
        now = self._clock.monotonic()
        if now < min(self._due.values(), default=inf):
            return
        if record.state in RESTING:
            self.look(record)
        else:
            self._due = {name: max(at, now + _LATER_S) for name, at in self._due.items()}

    def _look(self, name: str, desired: Desired) -> None:
        try:
            found = desired.drift()
        except (OtaruError, OSError) as error:
            self._warn(name, str(error))
            return
        if found is None:
            return
        self._warn(name, f"it is not as it was installed: {said_of(found)}" if found.changed else "")
        self._seen[f"{PREFIX}{name}"] = said_of(found)

    def _warn(self, name: str, said: str) -> None:
        """Log it, once until it is something else: it is looked at for years."""
        if said and self._logged.get(name) != said:
            _log.warning("%s: %s", name, said)
        self._logged[name] = said


def said_of(drift: Drift) -> str:
    """What the server is told of a drift."""
    left = [name for name in drift.changed if name not in drift.mended]
    named = left or list(drift.mended)
    if not named:
        return NONE
    more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    return ("" if left else PUT_BACK) + ",".join(name[:128] for name in named[:MAX_NAMED]) + more
