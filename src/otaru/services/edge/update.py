"""An update on the device: write down, act, report. What follows what stands in `domain.update`; here it is done.

`tick` is one round: tell the server what waits to be told, ask it what is due, and go on with what is under way as far as it
goes now. It says how long to wait for the next round. Whatever stops it (no network, a reboot, a power cut) leaves a record
from which `start` goes on.

- The record is put before anything is done that it speaks of; `_move` is the only place that puts it.
- Health is looked at by the monotonic clock: setting the time neither ends a trial nor prolongs it.
- The outcome has an id of its own: told twice, it counts once at the server.
- What the server is told never holds up an update, and what it says is only a hint: what is due is what metadata signs.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from otaru import errors
from otaru.domain import deployment
from otaru.domain.ids import ActionId
from otaru.domain.link import Batch, File, Note, Offer, Told
from otaru.domain.update import PROGRESS, RESTING, SAID, TOUCHED, Event, Standing, State
from otaru.domain.update_record import (
    Past,
    Piece,
    Plan,
    Record,
    failed,
    found,
    offered,
    remembered,
    reported,
    resume,
    returned,
    step,
)
from otaru.errors import OtaruError
from otaru.ports.board import SERVER_CHECK
from otaru.services.edge import delta, going_back
from otaru.services.edge.delta import Shortcut
from otaru.services.edge.fetch import Fetch
from otaru.services.edge.offline import begins_anew
from otaru.services.edge.parts import Parts
from otaru.services.edge.permission import Permission
from otaru.services.edge.running import installed
from otaru.trust.verify.payload import payload_of

_LATER = (
    errors.UnavailableError,
    errors.OverloadedError,
    errors.RateLimitedError,
    errors.UnauthenticatedError,
    errors.ForbiddenError,
)
"""The server cannot be asked now, or not by this device: nothing is wrong with the update."""
_log = logging.getLogger("otaru.agent")
_ALONE = TOUCHED | {State.REPORTING}
"""What needs no server: health, the way back, writing down how it ended."""
NOW = timedelta(0)
_LISTENING = timedelta(seconds=1)
"""Who listens asks again after so long. Who is answered sooner, and nothing new, was not held back: too many are, or a proxy
does not wait. Then it comes when it is told to."""

_SPREAD = timedelta(seconds=30)
"""Behind the opening of the device's hours."""


_LISTENS = RESTING | {State.STAGED}
"""Where it has nothing to do but to wait for a word: also for the one that what it holds may be installed."""


class _CalledOffError(OtaruError):
    """What is being downloaded is no longer wanted."""


class Updater:
    """One device's updates. One thread, one process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._offer: Offer | None = None
        self._cancel: ActionId | None = None
        self._started = False
        """What runs has not been asked for since the start."""
        self._heard = False
        """The server has answered since the start."""
        self._poll_after = NOW
        self._listens = False
        """It is asked again soon, to hold back its answer."""
        self._told: Told | None = None
        self._trial_ends: float | None = None
        self._fetches: dict[str, Fetch] = {}
        self._failures = 0
        self._permission = Permission(parts)
        self._unsure = False
        """A put of the record failed half-way: the disk may hold the one before, or the one that was put."""
        self._full_since: float | None = None
        """Since when the disk takes nothing while an update is looked at."""
        self.record = Record()

    def start(self) -> None:
        """Take up what was under way. Once, before the first `tick`.

        Raises:
            StorageFullError, OSError: not even that can be written.
        """
        try:
            self.record = self._parts.journal.load()
        except errors.JournalBrokenError:
            # What is not confirmed is not confirmed: whoever starts it goes back by itself.
            self._put(Record())
        record, beyond = resume(self.record)
        if record is not self.record:
            self._put(record)
        self._started = True
        if beyond is not None:
            self._move(beyond, code="too_often", reason=f"{record.state} was taken up {record.resumed} times in vain")

    def tick(self) -> timedelta:
        """One round; how long to wait before the next one.

        Raises:
            StoppedError: the link was closed: the agent ends.
            StorageFullError, OSError: the record cannot be written; the next round tries again.
        """
        if self._unsure:
            # What is said and done from here on follows from `record`; the disk has to say the same after a cut.
            self._put(self.record)
        if self.record.state in _ALONE:
            wait = self._work()
            if self.record.state in _ALONE:
                self._tell_quietly()
                return wait
        try:
            self._tell()
            told = self._ask()
        except _LATER as error:
            return self._later(error)
        self._failures = 0
        self._hear(told)
        wait = self._work()
        self._tell_quietly()
        if self.record.state not in _LISTENS:
            return wait
        idle = told.poll_after if self.record.state in RESTING else wait
        return min(idle, _LISTENING) if self._listens else idle

    @property
    def held_back(self) -> str:
        """Why the update that is offered may not begin now; empty: nothing is in its way."""
        return self._permission.reason

    def lift(self) -> bool:
        """Try releases again that have failed too often; False: there is nothing to lift."""
        if self.record.state is not State.QUARANTINED:
            return False
        self._move(Event.LIFT)
        return True

    def roll_back(self, reason: str) -> timedelta:
        """Go back to what ran before the last update, and tell the server where it answers; how long to wait then.

        What is left to be done (a reboot, another try) is done by `tick`. Raises as `going_back.check`.
        """
        going_back.check(self._parts, self.record)
        self._move(Event.ROLL_BACK, code="rolled_back", reason=reason)
        wait = self._work()
        self._tell_quietly()
        return wait

    # What the server says

    def _ask(self) -> Told:
        clock = self._parts.clock
        listen = self._parts.patience.listen
        wait = self._until_its_hours(listen) if self._heard and self.record.state in _LISTENS else NOW
        began = clock.monotonic()
        told = self._parts.link.poll(wait, delta.taking(self._parts))
        before, self._told = self._told, replace(told, poll_after=NOW)
        self._listens = listen > NOW and (
            wait == NOW or self._told != before or clock.monotonic() - began >= _LISTENING.total_seconds()
        )
        return told

    def _hear(self, told: Told) -> None:
        self._heard, self._cancel, self._offer, self._poll_after = True, told.cancel, told.offer, told.poll_after
        record, offer = self.record, told.offer
        self._parts.aside(told, record.state in RESTING)
        if told.describe and self._parts.attributes:
            self._parts.link.describe(self._parts.attributes)
        if told.cancel is not None and record.state in RESTING:
            self._answer_cancel(told.cancel)
        if offer is None or record.state not in RESTING:
            return
        release = f"{offer.product}:{offer.version}"
        over = next((past for past in self._latest() if (past.action, past.release) == (offer.action, release)), None)
        if over is not None and not begins_anew(self._parts, over):
            # The server does not know how it ended: our word was lost, or it was put back to an earlier day.
            self._parts.outbox.put(self._outcome_note(over))
        elif offer.may_begin and self._permission.begins(offer, record.number):
            self._move(offered(record, release), Plan(int(offer.action), release))

    def _answer_cancel(self, action: ActionId) -> None:
        past = next((past for past in self._latest() if past.action == action), None)
        if past is not None:
            self._parts.outbox.put(self._outcome_note(past))
        else:  # never begun
            self._parts.outbox.put(Note(f"{action}-never", action, deployment.Event.CANCEL_DONE))

    def _latest(self) -> tuple[Past, ...]:
        """What is over, the newest first: one action may have ended twice, kept and then gone back from by hand."""
        return self.record.history[::-1]

    def _cancelled(self) -> bool:
        """Whether what is under way was called off, or is no longer offered."""
        own = 0 if self.record.plan is None else self.record.plan.action
        return self._cancel == own or self._offer is None or self._offer.action != own

    # Going on

    def _work(self) -> timedelta:
        """Go on until there is nothing to do now; how long to wait."""
        acts: dict[State, Callable[[], timedelta | None]] = {
            State.VERIFYING: self._verify,
            State.FETCHING: self._fetch,
            State.STAGED: self._staged,
            State.INSTALLING: self._install,
            State.SAVING: self._save,
            State.ARMING: self._arm,
            State.ARMED: self._armed,
            State.REBOOTING: self._reboot,
            State.ON_TRIAL: self._trial,
            State.COMMITTING: self._commit,
            State.REVERTING: self._revert,
            State.RETURNING: self._return,
            State.RESTORING: self._restore,
            State.REPORTING: self._report,
        }
        while self.record.state not in RESTING:
            before = self.record
            try:
                wait = acts[before.state]()
            except errors.StoppedError:
                raise
            except _LATER as error:
                return self._later(error)
            except (OtaruError, OSError) as error:
                wait = self._failed(before, error)
            if wait is not None:
                return wait
        return NOW

    def _verify(self) -> None:
        if self._cancel is not None or self._offer is None:
            return self._move(Event.NOTHING)
        from otaru.services.edge.planning import plan  # noqa: PLC0415 - an idle device does without

        found_plan = plan(self._parts, self.record)
        if found_plan is None:
            self._offer = None
            return self._move(Event.NOTHING)
        self._parts.staging.keep_only(found_plan.pieces)
        return self._move(Event.ACCEPT, replace(found_plan, lean=any(map(self._shortcut, found_plan.work))))

    def _fetch(self) -> timedelta | None:
        if not self._heard:
            return NOW
        if self._cancelled():
            self._move(Event.CANCEL)
            return None
        pieces, staging = self._plan.work, self._parts.staging
        ways = [self._shortcut(piece) if self._plan.lean else None for piece in pieces]
        staging.keep_only([*pieces, *(way.bytes for way in ways if way is not None)])
        try:
            for piece, way in zip(pieces, ways, strict=True):
                if way is not None:
                    self._make(way)
                self._fetching(piece).run()
        except _CalledOffError:
            self._move(Event.CANCEL)
            return None
        staging.keep_only(pieces)
        self._move(Event.FETCHED)
        self._fetches.clear()
        return None

    def _make(self, way: Shortcut) -> None:
        """A piece by a patch: its download then finds it whole."""
        self._fetching(way.bytes, way.patch.addresses).run()
        delta.make(self._parts, way, self._look)
        _log.info("%s: %s bytes by a patch of %s", way.piece.component, way.piece.size, way.patch.size)

    def _shortcut(self, piece: Piece) -> Shortcut | None:
        return delta.shortcut(self._parts, self._files, piece)

    @property
    def _files(self) -> tuple[File, ...]:
        return () if self._offer is None else self._offer.files

    def _fetching(self, piece: Piece, told: Sequence[str] = ()) -> Fetch:
        """A piece's download: what it has learnt of addresses stays while this process lives."""
        parts = self._parts
        if piece.sha256 not in self._fetches:
            told = told or [one for file in self._files if file.sha256 == piece.sha256 for one in file.addresses]
            self._fetches[piece.sha256] = Fetch(
                parts.link,
                parts.staging.partial(piece),
                piece.size,
                partial(payload_of, piece),
                parts.manner.addresses(piece.sha256, told),
                parts.clock,
                parts.pause,
                lambda: parts.clock.seed() / 2**62,
                parts.manner,
                look=self._look,
            )
        return self._fetches[piece.sha256]

    def _look(self) -> None:
        """While bytes come: whether they are still wanted."""
        with suppress(*_LATER):
            self._hear(self._ask())
        if self._cancelled():
            raise _CalledOffError("it is no longer wanted")

    def _staged(self) -> timedelta | None:
        if not self._heard:
            return NOW
        if self._cancelled():
            self._move(Event.CANCEL)
            return None
        if self._offer is not None and self._offer.hold:
            return self._poll_after
        window = None if self._offer is None else self._offer.window
        if window is not None and not window.is_open:
            return self._poll_after
        if not self._permission.installs(self._offer, self._plan, self.record.number):
            return self._until_its_hours(self._poll_after)
        self._move(Event.INSTALL)
        return None

    def _install(self) -> timedelta | None:
        pieces = self._plan.work
        if self.record.done < len(pieces):
            piece = pieces[self.record.done]
            self._parts.installers[piece.component].install(piece, self._parts.staging.staged(piece))
            self._move(Event.PIECE)
        elif self._permission.switches(self._offer, self._plan, self.record.number):
            self._move(Event.INSTALLED if self._parts.safe is None else Event.SAVE)
        else:
            return self._locked()
        return None

    def _locked(self) -> timedelta:
        with suppress(*_LATER):
            self._hear(self._ask())  # it may be forced meanwhile
        return self._until_its_hours(max(self._poll_after, self._parts.patience.look_again))

    def _until_its_hours(self, wait: timedelta) -> timedelta:
        """So long, or until the device's own hours begin: not at once, or a fleet of one maker comes within one second."""
        opens, clock = self._permission.opens_at, self._parts.clock
        if opens is None or self.record.state in RESTING:
            return wait
        return max(NOW, min(wait, opens - clock.now() + _SPREAD * (clock.seed() / (1 << 62))))

    def _save(self) -> timedelta | None:
        """As late as can be: what is written after it is lost where the update is given up."""
        if not self._permission.switches(self._offer, self._plan, self.record.number):
            return self._locked()
        components = frozenset(piece.component for piece in self._plan.work)
        safe = self._parts.safe
        self._move(Event.SAVED, saved="" if safe is None else safe.save(components, self._plan.release))
        return None

    def _arm(self) -> None:
        for piece in self._plan.work:
            self._parts.installers[piece.component].activate(piece)
        self._move(Event.ARM)

    def _armed(self) -> None:
        self._move(found(self.record, self._standings()) or Event.REBOOT)

    def _reboot(self) -> timedelta | None:
        event = found(self.record, self._standings())
        if event is None:
            self._tell_quietly()
            self._parts.power.reboot()
            return self._parts.patience.reboot
        self._move(event)
        return None

    def _trial(self) -> timedelta | None:
        if (event := found(self.record, self._standings())) is not None:
            self._move(event)
            return None
        now = self._parts.clock.monotonic()
        if self._trial_ends is None:
            self._trial_ends = now + self._parts.patience.health.total_seconds()
        checks = [one for one in self._parts.checks if not (self._plan.bundle and one.name == SERVER_CHECK)]
        wrong = next((f"{check.name}: {said}" for check in checks if (said := check.wrong())), "")
        if not wrong:
            self._move(Event.PASS)
        elif now >= self._trial_ends:
            self._move(Event.FAIL, code="unhealthy", reason=wrong)
        else:
            return self._parts.patience.look_again
        self._trial_ends = None
        return None

    def _commit(self) -> timedelta | None:
        if (event := found(self.record, self._standings())) is not None:
            self._move(event)
            return None
        for piece in self._plan.work:
            self._parts.installers[piece.component].commit(piece)
        try:
            from otaru.trust.verify.update import burnt  # noqa: PLC0415 - an idle device does without

            # Only now: who burns a counter before the new version has shown that it runs can no longer go back.
            counters = {piece.component: piece.counter for piece in self._plan.pieces}
            self._parts.vault.put(burnt(self._parts.vault.load(), counters))
            self._move(Event.COMMIT)
        except (OSError, errors.StorageFullError):
            return self._parts.patience.look_again  # from here on there is only one way
        return None

    def _revert(self) -> None:
        for piece in reversed(self._plan.work):
            self._parts.installers[piece.component].revert(piece)
        self._started = False
        runs = Standing.RUNS in self._standings()
        self._move(Event.REBOOT if runs else returned(self.record))

    def _return(self) -> timedelta | None:
        if self._started and (event := found(self.record, self._standings())) is not None:
            self._move(event)
            return None
        self._tell_quietly()
        self._parts.power.reboot()
        return self._parts.patience.reboot

    def _restore(self) -> None:
        if self._parts.safe is None:
            raise errors.BackupError("nothing here can restore what was saved before the update")
        self._parts.safe.restore(self.record.saved)
        self._move(Event.RETURN)

    def _report(self) -> None:
        at = self._parts.clock.now().isoformat(timespec="seconds")
        record = remembered(self.record, at)
        self._permission.ended(record.history[-1])
        self._parts.outbox.put(self._outcome_note(record.history[-1]))
        self._parts.staging.keep_only(())
        event = reported(record)
        self._put(step(record, event))

    def _failed(self, before: Record, error: OtaruError | OSError) -> timedelta | None:
        """Take the next rung after a failure; how long to wait for the next try where there is no rung."""
        code = error.code if isinstance(error, OtaruError) else "io_error"
        reason = (
            error.message if isinstance(error, OtaruError) else f"{type(error).__name__}: {error.strerror or error}"
        )
        if self.record.state is not before.state or before.state in {State.REPORTING, State.RETURNING}:
            return self._parts.patience.look_again  # the journal itself: in a while the disk may have room
        if before.state is State.VERIFYING and (wait := self._full(error)) is not None:
            return wait
        if before.state is State.COMMITTING and self._failures < 3:
            self._failures += 1
            return self._parts.patience.look_again
        again = not isinstance(error, errors.StorageFullError | errors.UnsuitableError | errors.InstallerUnknownError)
        if before.state is State.FETCHING and self._plan.lean:
            again = True  # also where there is no room: the file alone takes less
            self._parts.outbox.put(self._note("in-full", None, code, f"from now on in full: {reason}"))
        event = failed(before, again=again)
        if before.state is State.RESTORING and event is Event.FAIL:
            said = f"the data of backup {before.saved} could not be put back: {reason}"
            self._parts.outbox.put(self._note("restore", None, code, said))
        self._move(event, code=code, reason=reason)
        self._failures = 0
        return self._parts.patience.look_again if before.state in {State.REVERTING, State.RESTORING} else None

    def _full(self, error: OtaruError | OSError) -> timedelta | None:
        """How long to wait for a disk that is full or fails while nothing was fetched yet; None: it is not that, or it lasts."""
        if not isinstance(error, errors.StorageFullError | OSError):
            return None
        now, patience = self._parts.clock.monotonic(), self._parts.patience
        if self._full_since is None:
            self._full_since = now
        lasts = timedelta(seconds=now - self._full_since)
        return max(lasts, patience.look_again) if lasts < patience.full else None  # twice as long each time

    # The record

    @property
    def _plan(self) -> Plan:
        return self.record.plan or Plan(0, "")

    def _standings(self) -> list[Standing]:
        return [self._parts.installers[piece.component].standing(piece) for piece in self._plan.work]

    def _move(self, event: Event, plan: Plan | None = None, code: str = "", reason: str = "", saved: str = "") -> None:
        """Put the record after an event, then say so."""
        before = self.record.state
        self._put(step(self.record, event, plan, code, reason, saved))
        if (said := PROGRESS.get(self.record.state)) is not None and self.record.state is not before:
            self._parts.outbox.put(self._note(str(said), said))

    def _put(self, record: Record) -> None:
        self._unsure = True
        self._parts.journal.put(record)
        self._unsure, self._full_since = False, None
        if record.state is not self.record.state:
            about = "" if record.plan is None else f" {record.plan.release}"
            _log.info("%s%s%s", record.state, about, f": {record.reason}" if record.reason else "")
        self.record = record

    def _note(self, name: str, event: deployment.Event | None, code: str = "", text: str = "") -> Note:
        action = ActionId(self._plan.action)
        name = f"{action}-{self.record.number}-{self.record.attempts}-{name}"
        return Note(name, action, event, code, (text,) if text else (), at=self._parts.clock.now())

    def _outcome_note(self, past: Past) -> Note:
        action = ActionId(past.action)
        text = (past.reason,) if past.reason else ()
        return Note(f"{action}-{past.number}-{past.outcome}", action, SAID[past.outcome], past.code, text)

    # Telling

    def _tell(self) -> None:
        """Tell the server all that waits. Raises as `Link.report`."""
        while notes := self._parts.outbox.waiting():
            runs = installed(self._parts, self.record)
            heard = self._parts.link.report(Batch(notes, runs))
            self._parts.outbox.told([one.id for one in heard])

    def _tell_quietly(self) -> None:
        try:
            self._tell()
        except errors.StoppedError:
            raise
        except OtaruError:
            pass  # it is kept

    def _later(self, error: OtaruError) -> timedelta:
        """How long to wait after the server did not answer."""
        self._failures += 1
        told = error.facts.get("retry_after_s")
        asked = timedelta(seconds=told) if isinstance(told, int) else None
        return self._parts.patience.backoff.after(self._failures, self._parts.clock.seed() / 2**62, asked)
