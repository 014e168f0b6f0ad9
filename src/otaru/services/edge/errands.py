"""The device runs its errands: what its maker allows and its owner does not forbid, each once.

A server may be hostile, or somebody may speak in its name. So nothing of what is run comes from it: it names a command of the
device's own list, or asks for diagnostics or a reboot, and that no more often than `Limits` allow. For each errand, in this order:

1. Its number is above all that were begun here (`Book.highest`), else it was done: it is not done again.
2. The maker's configuration and the owner's word allow it, and the limits do; else it is refused, with a code.
3. The server says `taken` when it is told that it begins: so what was called off meanwhile is not run.
4. It is entered in the book, durably; only then it is run.
5. How it went is entered, and told until the server has heard it.

After a cut between 4 and 5 a command is not run again: nobody knows how far it came, which is what the server is told
(`interrupted`). Diagnostics are collected anew; a reboot has happened when the device has been started since. A backup that was
being put back is put back again as soon as the agent starts, before any server is asked: data that are half back help nobody.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from otaru import errors
from otaru.domain.errand import MAX_PART, MAX_TOLD, Asked, State, Went, What
from otaru.domain.errand_book import Book, Page
from otaru.errors import OtaruError, StoppedError
from otaru.ports.board import Power, Safe
from otaru.ports.clock import Clock
from otaru.ports.link import Link
from otaru.ports.remote import Commands, Consent, Diagnoser, Gauges, Ledger
from otaru.services.edge.restoring import chosen

_log = logging.getLogger("otaru.agent")
_HOUR_S = 3600.0
_REBOOT_S = 300.0
"""A reboot that was ordered and has not happened by then has failed."""
_TRIES = 3
_RESTORES = 6
"""So often putting a backup back is begun, where the power goes each time: as in an update (`domain.update_record`)."""
_AT_REST = frozenset({What.REBOOT, What.RESTORE})
"""An update goes first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the device's maker allows beside the commands."""

    diagnostics: bool = True
    reboot: bool = False
    restore: bool = False
    per_hour: int = 12
    """Errands that are begun."""
    least_uptime_s: float = 600
    """No reboot earlier: who may reboot a device must not be able to keep it from working."""
    trusted: bool = True
    """Whether the link is one that nobody can speak on but the server (TLS, or this machine itself)."""


@dataclass(slots=True)
class Errands:
    """One device's errands. One thread."""

    ledger: Ledger
    link: Link
    clock: Clock
    consent: Consent
    commands: Commands
    diagnoser: Diagnoser
    gauges: Gauges
    power: Power
    limits: Limits = field(default_factory=Limits)
    safe: Safe | None = None
    """Where backups are; None: nothing is saved here."""
    book: Book = field(default_factory=Book)
    _begun_at: list[float] = field(default_factory=list)
    _boot: str = ""
    _started_at: float = 0.0
    _broken: bool = False

    def start(self, *, resting: bool = True) -> None:
        """Take up what was begun before; `resting` is whether no update is under way. Raises as `Ledger.put`."""
        self._boot, self._started_at = self.gauges.boot().id, self.clock.monotonic()
        try:
            self.book = self.ledger.load()
        except errors.JournalBrokenError as error:
            # Nobody knows what was done: nothing may be done again.
            _log.error("no errand is run any more: %s", error.message)
            self._broken = True
            return
        for page in self.book.pages:
            if page.went is not None:
                continue
            if page.what is What.RUN:
                self._end(
                    page, State.FAILED, "interrupted", "the device went off while it ran: how far it came is not known"
                )
            elif page.what is What.REBOOT and page.boot != self._boot:
                self._end(page, State.DONE)
            elif page.what is What.RESTORE and resting:
                self._restore(page)

    def hear(self, asked: Sequence[Asked], *, resting: bool) -> None:
        """Do what the server asks; `resting` is whether no update is under way.

        Raises:
            StoppedError: the link was closed.
        """
        if self._broken or not (asked or self.book.pages):
            return
        try:
            self._go_on(resting=resting)
            for one in sorted(asked, key=lambda one: one.number)[:MAX_TOLD]:
                self._take(one, resting=resting)
            self._tell()
        except StoppedError:
            raise
        except (OtaruError, OSError) as error:
            _log.warning("an errand waits: %s", error)

    def _take(self, asked: Asked, *, resting: bool) -> None:
        number = asked.number
        if self.book.page(number) is not None:
            return
        if number <= self.book.highest:
            self._say(Went(number, State.FAILED, "known", "this device has done an errand of this number before"))
            return
        if (refused := self._forbidden(asked)) is not None:
            code, why = refused
            self._say(Went(number, State.REFUSED, code, why))
            return
        if asked.what in _AT_REST and not resting:
            return  # it is asked again with the next poll
        if asked.what is What.RESTORE and self.safe is not None:
            try:
                asked = replace(asked, name=chosen(self.safe, asked.name))
            except OtaruError as error:
                self._say(Went(number, State.REFUSED, "no_backup", error.message))
                return
        if self._say(Went(number, State.TAKEN)) is not State.TAKEN:
            return
        self._put(self.book.begun(asked, self._boot))
        self._begun_at.append(self.clock.monotonic())
        _log.info("errand %s: %s %s", number, asked.what, asked.name)
        page = self.book.page(number)
        assert page is not None  # noqa: S101 - it was entered
        self._do(page)

    def _forbidden(self, asked: Asked) -> tuple[str, str] | None:
        """Why it is not done, in a code and in words; None: it is."""
        sharing, limits = self.consent.now(), self.limits
        known = {
            What.DIAGNOSE: limits.diagnostics,
            What.RUN: asked.name in self.commands.names,
            What.REBOOT: limits.reboot,
            What.RESTORE: limits.restore and self.safe is not None,
        }
        if not known[asked.what]:
            return "not_allowed", f"this device's configuration does not allow it: {asked.what} {asked.name}".rstrip()
        if not (sharing.diagnostics if asked.what is What.DIAGNOSE else sharing.commands):
            return "consent", "this device's owner does not allow it"
        if not limits.trusted:
            return "insecure", "the link to the server is not encrypted: anybody could have asked"
        if asked.what is What.REBOOT and self.gauges.uptime_s() < limits.least_uptime_s:
            return "too_often", f"the device has been up for less than {limits.least_uptime_s:g} s"
        now = self.clock.monotonic()
        self._begun_at = [at for at in self._begun_at if at > now - _HOUR_S]
        if len(self._begun_at) >= limits.per_hour:
            return "too_often", f"{limits.per_hour} errands were run within an hour"
        return None

    def _do(self, page: Page) -> None:
        acts: dict[What, Callable[[Page], None]] = {
            What.RUN: self._run,
            What.DIAGNOSE: self._diagnose,
            What.REBOOT: self._reboot,
            What.RESTORE: self._restore,
        }
        acts[page.what](page)

    def _run(self, page: Page) -> None:
        try:
            ran = self.commands.run(page.name)
        except OtaruError as error:
            self._end(page, State.FAILED, "not_run", error.message)
            return
        if ran.code:
            self._end(page, State.FAILED, f"exit_{ran.code}".replace("-", "signal_"), ran.said)
        else:
            self._end(page, State.DONE, text=ran.said)

    def _diagnose(self, page: Page) -> None:
        if not page.size:
            try:
                size, digest = self.diagnoser.collect(page.number)
            except (OtaruError, OSError) as error:
                self._end(page, State.FAILED, "not_collected", str(error))
                return
            page = replace(page, size=size, sha256=digest)
            self._put(self.book.put(page))
        try:
            self._send(page)
        except errors.NotFoundError:
            self._end(page, State.FAILED, "gone", "the server no longer waits for them")
        except errors.InvalidInputError as error:
            self._end(page, State.FAILED, "not_taken", error.message)
        else:
            self._end(page, State.DONE)
        self.diagnoser.forget(page.number)

    def _send(self, page: Page) -> None:
        """Send what the server does not have yet. What breaks here is gone on with at the next poll."""
        here, in_vain = self.link.received(page.number), 0
        while here < page.size:
            part = self.diagnoser.part(page.number, here, min(MAX_PART, page.size - here))
            there = self.link.send(page.number, here, part, page.size, page.sha256)
            in_vain = in_vain + 1 if there <= here else 0
            if in_vain >= _TRIES:
                raise errors.InvalidInputError("the server takes no more of them")
            here = there

    def _reboot(self, page: Page) -> None:
        try:
            self.power.reboot()
        except OtaruError as error:
            self._end(page, State.FAILED, "not_run", error.message)

    def _restore(self, page: Page) -> None:
        """Put a backup back: all of it, also where that was begun before a cut."""
        if self.safe is None or page.tries >= _RESTORES:
            why = (
                "nothing is saved here any more"
                if self.safe is None
                else f"the device went off at it {page.tries} times"
            )
            self._end(page, State.FAILED, "not_restored", why)
            return
        page = replace(page, tries=page.tries + 1)
        self._put(self.book.put(page))
        try:
            self.safe.restore(page.name)
        except (OtaruError, OSError) as error:
            self._end(page, State.FAILED, "not_restored", str(error))
            return
        _log.info("backup %s is put back", page.name)
        self._end(page, State.DONE, text=f"backup {page.name} is put back")

    def _go_on(self, *, resting: bool) -> None:
        """What was begun earlier."""
        for page in self.book.pages:
            if page.went is None and page.what is What.DIAGNOSE:
                self._diagnose(page)
            elif page.went is None and page.what is What.REBOOT:
                since = max([self._started_at, *self._begun_at])
                if self.clock.monotonic() - since > _REBOOT_S:
                    self._end(page, State.FAILED, "not_run", "the device was not restarted")
            elif page.went is None and page.what is What.RESTORE and resting:
                self._restore(page)

    def _end(self, page: Page, state: State, code: str = "", text: str = "") -> None:
        went = Went(page.number, state, code, text)
        self._put(self.book.put(replace(page, went=went)))

    def _tell(self) -> None:
        for page in self.book.pages:
            if page.went is not None:
                self._say(page.went)
                self._put(self.book.told([page.number]))

    def _say(self, went: Went) -> State | None:
        return self.link.errands([went]).get(went.number)

    def _put(self, book: Book) -> None:
        self.ledger.put(book)
        self.book = book
