"""A file from whoever has it: resumed, watched, never more than was signed, and never for ever.

1. What is held already is hashed again, from the disk: after a power cut it may be anything.
2. The rest is asked for by Range, with If-Range where the same address named its bytes before (a strong tag). Who begins
   from the start all the same is read past what is held; who sends other bytes than asked for is asked no more.
3. Each byte goes through `Payload` before it is stored: nothing is stored beyond the signed length.
4. The pace is watched: a rate on each connection, an end of the whole since the very first attempt.
5. Whole and right: done. Whole and wrong: `Sources.wrong`.

Decisions are those of `domain.fetching`; here they are followed. `run` may be called again after any error that says that it
may go better later; what was learnt of addresses stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil

from otaru import errors
from otaru.domain.fetching import Backoff, Limit, Sources, limit_at
from otaru.errors import NotFoundError, OtaruError, UnavailableError
from otaru.ports.clock import Clock
from otaru.ports.link import Download, Shelf
from otaru.ports.partial import Partial, Pause
from otaru.trust.verify.pace import Pace, Watch
from otaru.trust.verify.payload import Payload
from otaru.trust.verify.refusals import SlowRetrievalError, TargetDigestError, TargetTooLongError

READ = 64 * 1024
PACE = Pace(least_per_s=64, stretch=timedelta(seconds=60), within=timedelta(days=7))
_NOT_NOW = (errors.OverloadedError, UnavailableError, errors.RateLimitedError, SlowRetrievalError)
"""What says nothing of the file: the same address may give it later."""
_NEVER = (NotFoundError, errors.ForbiddenError, errors.GoneError, errors.RangeNotSatisfiableError)
"""What an address says that has not got it, or fewer bytes of it than are held."""
_NOT_OURS = (errors.InvalidInputError, errors.UnauthenticatedError)
"""What a mirror says that is none. Of the server itself the one may pass, and the other is the agent's business."""
_ENDS = frozenset({"deadline", "until"})
"""Facts of what no other address makes better: the whole took too long, or nothing is downloaded at this hour."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a device downloads."""

    pace: Pace = PACE
    backoff: Backoff = field(default_factory=Backoff)
    limits: Sequence[Limit] = ()
    zone: str = ""
    """Where the device is: what windows of limits mean by `device`."""
    sync_every: int = 4 * 1024 * 1024
    """Bytes that a power cut costs at most."""
    look_every: timedelta = timedelta(minutes=1)
    mirrors: Sequence[str] = ()
    """Addresses near the device, with `{sha256}` in them: a site's cache. Asked before those of the offer."""
    memory: int = 0
    """Bytes of memory that a patch may take to be applied; 0: none are asked for."""

    def addresses(self, sha256: str, told: Sequence[str]) -> list[str]:
        """Whom to ask for a file, in their order; `told` are those of the offer."""
        near = [one.replace("{sha256:2}", sha256[:2]).replace("{sha256}", sha256) for one in self.mirrors]
        return [*near, *told]


_BEGAN = datetime(2000, 1, 1, tzinfo=UTC)
"""Where `Watch` begins to count: by the monotonic clock, so that setting the time neither ends a download nor prolongs it."""


@dataclass(slots=True)
class Fetch:
    """One file on its way. Not frozen: what it learns of addresses stays for the next `run`."""

    shelf: Shelf
    partial: Partial
    size: int
    payload: Callable[[], Payload]
    """A new one of the file, that has seen nothing yet."""
    addresses: Sequence[str]
    clock: Clock
    pause: Pause
    lot: Callable[[], float]
    """A number from [0, 1), each time another one."""
    manner: Manner = Manner()
    spent: timedelta = timedelta(0)
    """How long it took before, in other processes: it counts for the end of the whole."""
    look: Callable[[], None] = lambda: None
    """Called every `Manner.look_every` while bytes come; what it raises ends the transfer at once."""
    _sources: Sources = field(init=False)
    _tags: dict[str, str] = field(init=False, default_factory=dict)
    _failures: int = field(init=False, default=0)
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self._sources = Sources(tuple(dict.fromkeys(self.addresses)))
        self._since = self.clock.monotonic()

    @property
    def took(self) -> timedelta:
        """How long it has taken by now, all processes together: to be kept for the next one."""
        return self.spent + timedelta(seconds=self.clock.monotonic() - self._since)

    def run(self) -> None:
        """Have all of it here, verified and durable: one round over the addresses.

        Raises:
            UnavailableError: nobody gives it now: to be run again after `facts["retry_after_s"]`. What came is kept.
            NotFoundError: nobody has it, or all were asked in vain too often.
            SlowRetrievalError: it took too long in all.
            TargetDigestError: what they give is something else; it is gone.
            UnauthenticatedError: the server does not know the device's credential.
            StoppedError: it was stopped. What came is kept.
            StorageFullError, OSError: the disk.
        """
        payload = self._hashed()
        self._sources = self._sources.rested()
        asked: timedelta | None = None
        while not self._done(payload):
            if payload.size == self.size:
                payload = self._begin_anew(self._sources.wrong())
                continue
            address = self._sources.address
            if address is None:
                raise NotFoundError("nobody has it, or gives it to us")
            if self._sources.round_over:
                raise self._later(asked)
            self._check_hours()
            before = payload.size
            try:
                self._from(address, payload)
            except TargetTooLongError:
                payload = self._begin_anew(self._sources.without())
            except OtaruError as error:
                self._learn(error, payload.size - before)
                asked = _longer(asked, error)
            else:
                self._gave(payload.size - before)
            finally:
                self.partial.sync()

    def _done(self, payload: Payload) -> bool:
        """Whether it is whole, and right."""
        if payload.size != self.size:
            return False
        try:
            payload.end()
        except TargetDigestError:
            if self._sources.wrong().address is None:
                self.partial.discard()
                raise
            return False
        return True

    def _hashed(self) -> Payload:
        """What is held, seen again byte by byte."""
        payload, held = self.payload(), min(self.partial.held(), self.size)
        while payload.size < held and (data := self.partial.read(payload.size, min(READ, held - payload.size))):
            payload.feed(data)
        if payload.size and not self._sources.used:
            self._sources = self._sources.holding()
        return payload

    def _begin_anew(self, sources: Sources) -> Payload:
        self.partial.discard()
        self._sources = sources
        return self.payload()

    def _learn(self, error: OtaruError, gained: int) -> None:
        """What an address's failure means for it; raise it where it means the end of this run."""
        if isinstance(error, _NOT_NOW) and not error.facts.keys() & _ENDS:
            self._gave(gained)
        elif isinstance(error, _NEVER) or (isinstance(error, _NOT_OURS) and not self._sources.is_last):
            self._sources = self._sources.without(gained)
        elif isinstance(error, errors.InvalidInputError):  # the server's own address: a portal may stand before it
            self._gave(gained)
        else:
            raise error

    def _gave(self, gained: int) -> None:
        self._sources = self._sources.gave(gained)
        if gained:
            self._failures = 0

    def _later(self, asked: timedelta | None) -> UnavailableError:
        self._failures += 1
        wait = self.manner.backoff.after(self._failures, self.lot(), asked)
        return UnavailableError("nobody gives it now", retry_after_s=ceil(wait.total_seconds()))

    def _check_hours(self) -> None:
        """Raise where nothing may be downloaded now."""
        now = self.clock.now()
        rate, until = limit_at(self.manner.limits, now, self.manner.zone)
        if rate == 0 and until is not None:
            wait = ceil((until - now).total_seconds())
            raise UnavailableError("nothing is downloaded at this time of day", retry_after_s=wait, until=until)

    def _from(self, address: str, payload: Payload) -> None:
        """One connection: as many bytes as it gives."""
        tag = self._tags.get(address, "")
        download = self.shelf.open(address, payload.size, tag)
        try:
            self._tags[address] = download.tag
            others = download.first == payload.size > 0 and tag not in {"", download.tag}
            if others or download.first not in {0, payload.size} or download.total not in {None, self.size}:
                raise errors.InvalidInputError(f"{address} gives other bytes than it was asked for")
            self._pour(download, payload)
        finally:
            download.close()

    def _pour(self, download: Download, payload: Payload) -> None:
        past = payload.size - download.first  # of who begins from the start all the same
        synced, looked = payload.size, self.took
        rate = self._rate()
        watch = self._watch(rate)
        while data := download.read():
            watch.came(len(data), _BEGAN + self.took)
            new, past = data[past:], max(0, past - len(data))
            if new:
                offset = payload.size
                payload.feed(new)
                self.partial.append(offset, new)
            if payload.size == self.size:
                return
            if payload.size - synced >= self.manner.sync_every:
                self.partial.sync()
                synced = payload.size
            if self.took - looked >= self.manner.look_every:
                looked = self.took
                self.look()
            self._check_hours()
            if (now := self._rate()) != rate:
                rate, watch = now, self._watch(now)
            if rate:
                self.pause(len(data) / rate)

    def _rate(self) -> int | None:
        return limit_at(self.manner.limits, self.clock.now(), self.manner.zone)[0]

    def _watch(self, rate: int | None) -> Watch:
        """Who is held back by ourselves is not slow."""
        pace = self.manner.pace
        if rate and pace.least_per_s > rate / 4:
            pace = Pace(rate / 4, max(pace.stretch, timedelta(seconds=4 * READ / rate)), pace.within)
        return Watch(pace, _BEGAN, _BEGAN + self.took)


def _longer(asked: timedelta | None, error: OtaruError) -> timedelta | None:
    found = error.facts.get("retry_after_s")
    if not isinstance(found, int):
        return asked
    return max(asked or timedelta(0), timedelta(seconds=found))
