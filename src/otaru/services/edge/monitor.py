"""The device measures itself and tells its server, many samples at once.

- Measured every `period`, told every `every`; events (it was restarted, and why) are told with the next contact.
- What could not be told is kept: MAX_WAITING at most, the oldest samples go first, events last. On the disk it is only put when
  it could not be told, and for events: a device that reaches its server writes nothing.
- Nothing is told before the server was heard once since the start: it may say that something is off.
- What the owner does not share is neither measured nor kept.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from otaru import errors
from otaru.domain.errand import Monitoring
from otaru.domain.health import Kind, Told
from otaru.errors import OtaruError, StoppedError
from otaru.ports.clock import Clock
from otaru.ports.link import Link
from otaru.ports.remote import Consent, Gauges, Kept, Spool

MAX_WAITING = 500
BATCH = 250
LEAST = timedelta(minutes=1)
"""However often a server asks, it is measured no more often than that."""
_log = logging.getLogger("otaru.agent")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How the device's maker has it measured."""

    on: bool = True
    period: timedelta = timedelta(minutes=15)
    every: timedelta = timedelta(hours=1)
    off: tuple[str, ...] = ()


@dataclass(slots=True)
class Monitor:
    """One device's telemetry. One thread."""

    gauges: Gauges
    spool: Spool
    link: Link
    clock: Clock
    consent: Consent
    rhythm: Rhythm = field(default_factory=Rhythm)
    _waiting: list[Told] = field(default_factory=list)
    _boot: str = ""
    _policy: Monitoring | None = None
    """What the server says; None: it was not heard yet."""
    _sample_at: float = 0.0
    _tell_at: float = 0.0
    _kept: bool = False
    """Whether the spool holds something that was told meanwhile."""
    _name: str = ""
    _count: int = 0

    def start(self) -> None:
        """Take up what waits, and note that the device was restarted. Raises as `Spool.put`."""
        kept, boot = self.spool.load(), self.gauges.boot()
        self._waiting, self._boot, self._kept = list(kept.told), boot.id, bool(kept.told)
        self._name = f"{self.clock.seed():x}"
        self._sample_at = self._tell_at = self.clock.monotonic()
        if boot.id != kept.boot:
            if kept.boot and self._shared:
                self._add([Told(self._id(), boot.kind, boot.reason, device_time=self._now())])
            self._put()

    def hear(self, policy: Monitoring | None) -> None:
        """What the server says, with each answer."""
        self._policy = policy or Monitoring()

    def due_in_s(self) -> float:
        """In how many seconds there is something to do; never less than one."""
        at = min(self._sample_at, self._tell_at) if self._policy is not None else self._sample_at
        return max(at - self.clock.monotonic(), 1.0)

    def work(self) -> None:
        """Measure and tell what is due. Raises StoppedError; all else waits for the next time."""
        now = self.clock.monotonic()
        if not self._shared:
            self._forget(now)
            return
        if now >= self._sample_at:
            self._sample_at = now + self._period.total_seconds()
            self._sample()
        urgent = any(one.kind is not Kind.SAMPLE for one in self._waiting)
        if self._policy is not None and (now >= self._tell_at or (urgent and self._tell_at - now > 60)):
            self._tell_at = now + self.rhythm.every.total_seconds()
            self._tell(now)

    @property
    def _shared(self) -> bool:
        return self.rhythm.on and self.consent.now().telemetry and "*" not in self._off

    @property
    def _off(self) -> Sequence[str]:
        return (*self.rhythm.off, *(self._policy.off if self._policy else ()))

    @property
    def _period(self) -> timedelta:
        asked = self._policy.period if self._policy else None
        return max(asked, LEAST) if asked is not None else self.rhythm.period

    def _sample(self) -> None:
        try:
            found = self.gauges.read(self._off)
        except OSError as error:
            _log.warning("nothing can be measured: %s", error)
            return
        at = self._now()
        self._add([Told(self._id(), Kind.SAMPLE, "", name, value, at) for name, value in sorted(found.items())])

    def _tell(self, now: float) -> None:
        off = set(self._off)
        self._waiting = [one for one in self._waiting if one.kind is not Kind.SAMPLE or one.name not in off]
        try:
            while self._waiting:
                self.link.tell(self._waiting[:BATCH])
                del self._waiting[:BATCH]
        except StoppedError:
            raise
        except errors.InvalidInputError as error:  # it will never be taken
            _log.warning("the server refuses what is measured: %s", error.message)
            del self._waiting[:BATCH]
        except OtaruError as error:
            wait = error.facts.get("retry_after_s")
            if isinstance(wait, int):
                self._tell_at = max(self._tell_at, now + wait)
        if self._waiting or self._kept:
            self._put()

    def _forget(self, now: float) -> None:
        self._sample_at, self._tell_at = now + self.rhythm.period.total_seconds(), now + self._period.total_seconds()
        if self._waiting or self._kept:
            self._waiting = []
            self._put()

    def _add(self, told: Sequence[Told]) -> None:
        self._waiting += told
        while len(self._waiting) > MAX_WAITING:
            spare = next((n for n, one in enumerate(self._waiting) if one.kind is Kind.SAMPLE), 0)
            del self._waiting[spare]

    def _put(self) -> None:
        try:
            self.spool.put(Kept(self._boot, tuple(self._waiting)))
            self._kept = bool(self._waiting)
        except (OtaruError, OSError) as error:
            _log.warning("what is measured cannot be kept: %s", error)

    def _id(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}"

    def _now(self) -> str:
        return self.clock.now().isoformat(timespec="seconds")
