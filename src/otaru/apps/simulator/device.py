"""One simulated device: goes through what the model drew for it, over the link, in virtual time.

It keeps what a device keeps over a reboot (its installed versions and the digest of what it installed) and forgets
the rest. Whatever the server or the network refuses it takes as a device does: it counts it, waits, and tries again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar, assert_never

from otaru.adapters.links.ddi import DdiLink, Transfer
from otaru.apps.simulator import model
from otaru.apps.simulator.report import Tally
from otaru.domain.ids import ActionId
from otaru.errors import (
    ChecksumMismatchError,
    ForbiddenError,
    NotFoundError,
    OtaruError,
    OverloadedError,
    UnauthenticatedError,
    UnavailableError,
)
from otaru.protocols.ddi.words import Answer, Channel, Deployment, Execution, Feedback, Finished, Handling, Root, Window

T = TypeVar("T")

UNTOLD_S = 300.0
"""How long a device waits between polls until the server has told it."""
REFUSED_S = 120.0
"""How long a device waits after its credential was refused."""
UNREACHED_S = 30.0
"""How long a device waits at first when the server does not answer; then longer and longer."""
MAX_WAIT_S = 600.0
SHORTEST_REST_S = 0.001
"""Rests that would be shorter, in real time, only let the others go on."""
STORY = 64
"""So many of its latest experiences a device remembers."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all devices of a fleet share."""

    speed: float
    tally: Tally

    async def rest(self, span_s: float) -> None:
        """Let so many virtual seconds pass."""
        real_s = span_s / self.speed
        await asyncio.sleep(real_s if real_s >= SHORTEST_REST_S else 0)


@dataclass(slots=True)
class Memory:
    """What a device keeps when it reboots."""

    version: str = ""
    digest: str = ""
    """The SHA-256 of the bytes it installed; empty for what it came with."""
    story: deque[str] = field(default_factory=lambda: deque(maxlen=STORY))


class _EndedError(Exception):
    """An update ended before its last step. Never leaves this module."""


_PATIENT = (UnavailableError, OverloadedError, UnauthenticatedError, ForbiddenError)
"""What may be over in a while. All else ends the update, and the device asks anew what is due."""


class Device:
    """A device with its life ahead of it."""

    def __init__(
        self,
        name: str,
        me: model.Character,
        life: model.Life,
        link: DdiLink,
        around: Surroundings,
        version: str = "",
    ) -> None:
        self.name = name
        self.me = me
        self.life = life
        self.memory = Memory(version)
        self.link = link
        self.updating = False
        """Whether it is in the middle of an update."""
        self._around = around
        self._tally = around.tally
        self._sleep_s = UNTOLD_S
        self._refusals = 0

    async def live(self) -> None:
        """Poll and do as told, until cancelled."""
        around = self._around
        await around.rest(self.life.comes_up_s())
        number = 0
        while not self.life.gone():
            number += 1
            offline_s = self.life.away_s(number)
            if offline_s:
                self._tally.polls_lost += 1
                await around.rest(offline_s)
                continue
            try:
                await self._turn()
            except OtaruError as error:
                await around.rest(self._patience(error))
            else:
                self._refusals = 0
                await around.rest(self.life.until_next_s(number, self._sleep_s))

    async def _turn(self) -> None:
        polled = await self._poll()
        links = polled.links
        if links.config_data is not None:
            await self.link.configure(links.config_data, self._attributes())
        if links.confirmation_base is not None:
            waiting = await self.link.confirmation(links.confirmation_base)
            await self.link.confirm(waiting.action, Answer.CONFIRMED, "The owner says yes.")
        if links.cancel_action is not None:
            await self._cancel(links.cancel_action)
        elif links.deployment_base is not None:
            await self._update(await self.link.deployment(links.deployment_base), links.deployment_base)

    def _attributes(self) -> dict[str, str]:
        known = {"serial": self.name, "hw_model": self.me.hardware.model, "hw_revision": self.me.hardware.revision}
        return {**known, "sw_version": self.memory.version, "sw_sha256": self.memory.digest}

    async def _poll(self) -> Root:
        polled = await self.link.poll()
        self._tally.polls += 1
        self._sleep_s = polled.polling.total_seconds()
        return polled

    def _patience(self, error: OtaruError) -> float:
        self._tally.troubles[error.code] += 1
        self._refusals += 1
        if isinstance(error, UnauthenticatedError):
            return REFUSED_S
        doubled = UNREACHED_S * 2.0 ** min(self._refusals, 10)
        return min(MAX_WAIT_S, doubled * (0.5 + self.me.phase))

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Try until it is done, as a device in the middle of an update does."""
        while True:
            try:
                done = await call()
            except NotFoundError:
                raise self._taken_back() from None
            except _PATIENT as error:
                await self._around.rest(self._patience(error))
            else:
                self._refusals = 0
                return done

    async def _cancel(self, href: str) -> None:
        action = await self.link.cancellation(href)
        said = Feedback(Execution.CLOSED, Finished.SUCCESS, messages=("Cancelled; nothing was changed.",))
        await self.link.report(action, said, Channel.CANCEL)
        self._experience(action, "cancelled")
        self._tally.outcomes["cancelled"] += 1

    async def _update(self, order: Deployment, href: str) -> None:
        self._tally.updates += 1
        self._experience(order.action, f"offered {order.version}")
        transfer = Transfer(order.file)
        self.updating = True
        try:
            for step in self.life.steps(order.action, order.version):
                await self._take(step, order, href, transfer)
        except _EndedError as error:
            self._experience(order.action, f"ended: {error}")
        finally:
            self.updating = False

    def _taken_back(self) -> _EndedError:
        self._tally.outcomes["taken back"] += 1
        return _EndedError("no longer wanted")

    async def _take(self, step: model.Step, order: Deployment, href: str, transfer: Transfer) -> None:
        match step:
            case model.Rest():
                self._experience(order.action, step.why)
                await self._around.rest(step.span_s)
            case model.Say():
                await self._say(order, step)
            case model.Load() | model.Check():
                try:
                    await self._load(order, step, transfer)
                except ChecksumMismatchError as error:
                    await self._say(order, model.Say(model.Word.FAILED, error.message, model.Loss.NOTHING))
                    raise _EndedError("wrong bytes") from error
            case model.Ask():
                await self._ask(order, href)
            case model.Restart():
                await self._restart(order, step, transfer)
            case _:
                assert_never(step)

    async def _say(self, order: Deployment, step: model.Say) -> None:
        self._experience(order.action, f"{step.word}: {step.sentence}")
        said = Feedback(*_SPOKEN[step.word], messages=(step.sentence,))
        if step.loss is not model.Loss.NOTHING:
            self._tally.reports_lost += 1
            if step.loss is model.Loss.ANSWER:  # it arrives; that the device does not learn it, it plays
                await self._insist(lambda: self.link.report(order.action, said))
            await self._around.rest(model.RETRY_S)
        await self._insist(lambda: self.link.report(order.action, said))
        self._tally.reports += 1
        if step.word in {model.Word.SUCCEEDED, model.Word.FAILED}:
            self._tally.outcomes[step.word] += 1
        if step.word is model.Word.FAILED:
            self._tally.words[step.sentence] += 1

    async def _load(self, order: Deployment, step: model.Load | model.Check, transfer: Transfer) -> None:
        if isinstance(step, model.Check):
            transfer.verify()
            self._tally.downloads += 1
            return
        await self._around.rest(step.takes_s)
        until = int(order.file.size * step.until) if step.breaks else order.file.size
        while transfer.offset < until:
            before = transfer.offset
            await self._insist(lambda: self.link.receive(transfer, until))
            self._tally.bytes += max(0, transfer.offset - before)
        if step.breaks:
            self._experience(order.action, f"connection broke at {until}")
            self._tally.breaks += 1

    async def _ask(self, order: Deployment, href: str) -> None:
        """Poll until the order may be carried out, or is not there any more.

        Who was told to download and not to install is shown nothing until it is to; meanwhile it is in no update's middle.
        """
        while True:
            holds = order.update is Handling.SKIP
            self.updating = not holds
            links = (await self._insist(self._poll)).links
            if (cancel := links.cancel_action) is not None:
                await self._insist(lambda: self._cancel(cancel))
                raise _EndedError("cancelled")
            if (now := links.deployment_base) is None:
                if not holds:
                    raise self._taken_back()
                await self._around.rest(self._sleep_s)
                continue
            if now == href and _may_install(order):
                return
            again, href = await self._insist(lambda: self.link.deployment(now)), now
            if again.action != order.action:
                raise self._taken_back()
            if _may_install(order := again):
                self.updating = True
                return
            await self._around.rest(self._sleep_s)

    async def _restart(self, order: Deployment, step: model.Restart, transfer: Transfer) -> None:
        self.link.forget()
        self._tally.restarts += 1
        await self._around.rest(step.span_s)
        if step.new:
            self.memory.version, self.memory.digest = order.version, transfer.sha256
        self._experience(order.action, f"up on {self.memory.version}")

    def _experience(self, action: ActionId, what: str) -> None:
        self.memory.story.append(f"{action} {what}")


def _may_install(order: Deployment) -> bool:
    return order.update is not Handling.SKIP and order.window is not Window.UNAVAILABLE


_SPOKEN: dict[model.Word, tuple[Execution, Finished]] = {
    model.Word.DOWNLOADING: (Execution.DOWNLOAD, Finished.NONE),
    model.Word.DOWNLOADED: (Execution.DOWNLOADED, Finished.NONE),
    model.Word.INSTALLING: (Execution.PROCEEDING, Finished.NONE),
    model.Word.REBOOTING: (Execution.PROCEEDING, Finished.NONE),
    model.Word.SUCCEEDED: (Execution.CLOSED, Finished.SUCCESS),
    model.Word.FAILED: (Execution.CLOSED, Finished.FAILURE),
}
