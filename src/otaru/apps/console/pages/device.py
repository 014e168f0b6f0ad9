"""One device: where it stands and why, what runs on it, what it said, and what one can do with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.happening import GROUPS, Told, told
from otaru.apps.console.rendering import segment
from otaru.apps.console.status import Tone
from otaru.apps.console.telling.sentence import Thing, rollout_page
from otaru.domain import ids
from otaru.domain.deployment import DEPLOYMENT, FINAL, OPEN, RETRIABLE, WAITING, Deployment, Report, State
from otaru.domain.deployment import Event as DeploymentEvent
from otaru.domain.device import LIFECYCLE, UNKNOWN_HARDWARE, Lifecycle, LifecycleEvent
from otaru.domain.drift import drifted
from otaru.domain.events import START
from otaru.domain.health import HealthEvent
from otaru.domain.health import Kind as Health
from otaru.domain.ids import MAX_ACTION, ActionId, CredentialId, DeviceId, RolloutId
from otaru.domain.offer import Rule
from otaru.domain.rollout import RolloutState
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, OtaruError, RefusedError
from otaru.services.control import (
    backups,
    consent,
    credentials,
    declaring,
    devices,
    errands,
    health,
    rollouts,
    survey,
    tenants,
)

POSTPONE = {"1d": 1, "3d": 3, "7d": 7}
"""How far an owner may put an update off here, in days."""
MAX_LINES = 60
MAX_SAID = 30
MAX_REPORTS = 200
MAX_ERRANDS = 5
MAX_HEALTH, AMONG = 8, 200
"""Events of its health that are shown, of the last so many things that it told."""

_OF_DEVICE = frozenset(GROUPS["devices"][1] + GROUPS["updates"][1])

_RULES = {
    Rule.DEVICE_ACTIVE: ("Not in service", Tone.HELD),
    Rule.TENANT_HALTED: ("Everything is halted", Tone.FAILED),
    Rule.ROLLOUT_RUNNING: ("The rollout does not run", Tone.HELD),
    Rule.OVER: ("The rollout has ended for whom it had not told", Tone.IDLE),
    Rule.SEGMENT: ("Its segment is held", Tone.HELD),
    Rule.INSTALL_ORDER: ("Downloaded; waits for the order to install", Tone.IDLE),
    Rule.MEMBER: ("Nothing is planned", Tone.IDLE),
    Rule.DUE: ("Not its turn yet", Tone.IDLE),
    Rule.WITHDRAWN: ("The release is withdrawn", Tone.FAILED),
    Rule.FITS: ("The release does not fit", Tone.FAILED),
    Rule.COMPONENTS: ("Its client takes one file at a time", Tone.HELD),
    Rule.REQUIREMENTS: ("It requires something else first", Tone.HELD),
    Rule.FLOOR: ("An older release comes first", Tone.HELD),
    Rule.SECURITY_FLOOR: ("Below its security floor", Tone.FAILED),
    Rule.INSTALLED: ("Installed already", Tone.DONE),
    Rule.PINNED: ("Pinned", Tone.HELD),
    Rule.BUSY: ("Busy with another update", Tone.BUSY),
    Rule.PRIORITY: ("Another update goes first", Tone.IDLE),
    Rule.WINDOW: ("Waits for its maintenance window", Tone.IDLE),
    Rule.BLACKOUT: ("A blackout lasts", Tone.HELD),
    Rule.SLOT: ("Has an appointment in the window", Tone.IDLE),
    Rule.LIMIT: ("Waits for others of the rollout", Tone.IDLE),
    Rule.CONDITIONS: ("What the update requires does not hold", Tone.HELD),
    Rule.CONSENT: ("Consent is asked first", Tone.HELD),
    Rule.OFFER: ("On its way", Tone.BUSY),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """What one rule says, as a person reads it."""

    title: str
    tone: Tone
    because: str
    rollout: Thing | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline: something that happened, or something that the device said."""

    at: datetime
    told: Told | None = None
    said: Report | None = None


def device_of(call: Call) -> DeviceId:
    """The device that the address names.

    Raises:
        NotFoundError: no device can have this name.
    """
    try:
        return ids.device_id(call.step("device"))
    except InvalidInputError as error:
        raise NotFoundError("there is no such device", hint=error.hint) from None


def page_of(device: str) -> str:
    """Where a device's page is."""
    return f"/devices/{segment(device)}"


async def show(call: Call) -> Response:
    """A device, live."""
    return await _show(call, device_of(call))


async def _show(call: Call, name: DeviceId, refused: OtaruError | None = None) -> Response:
    shown = await survey.device(call.world, call.tenant, name)
    answers = await survey.why(call.world, call.tenant, name)
    history = [deployment for deployment, _ in shown.history]
    turn = next((r for d, r in shown.history if d.state is State.SCHEDULED and r.state is RolloutState.RUNNING), None)
    known, now = await credentials.page(call.world, call.tenant, name), call.world.clock.now()
    attributes = await declaring.of_device(call.world, call.tenant, name)
    busy = next((deployment for deployment in history if deployment.state in OPEN), None)
    return await call.show(
        "device.html",
        409 if refused else 200,
        refused=refused,
        device=shown.device,
        here=page_of(name),
        drifted=drifted(shown.device.attributes),
        backups=await backups.of_device(call.world, call.tenant, name),
        backups_taken=(await tenants.get(call.world, call.tenant)).settings.backups,
        standing=shown.state if shown.device.lifecycle is Lifecycle.ACTIVE else shown.device.lifecycle,
        attributes=attributes,
        errands=await errands.of_device(call.world, call.tenant, name, None, MAX_ERRANDS),
        agent=any(fact.name == "agent" for fact in attributes),
        credentials=[one for one in known if one.good(now)],
        dead=sum(not one.good(now) for one in known),
        reasons=[_reason(answer) for answer in answers],
        history=shown.history,
        retriable=RETRIABLE,
        telemetry=await health.telemetry(call.world, call.tenant, name),
        ailments=await _ailments(call, name),
        timeline=await _timeline(call, name, history),
        may={str(event) for event in LIFECYCLE.allowed(shown.device.lifecycle)},
        busy=busy,
        turn=turn.id if turn is not None and shown.device.lifecycle is Lifecycle.ACTIVE else None,
        asked=busy is not None and busy.state in WAITING,
        stuck=busy is not None and busy.state is State.CANCELLING,
        cancellable=busy is not None
        and (busy.state is State.CANCELLING or DEPLOYMENT.next(busy.state, DeploymentEvent.CANCEL) is not None),
        unended=sum(deployment.state not in FINAL for deployment in history),
        unknown=UNKNOWN_HARDWARE,
        late_after=survey.SILENT_POLLS,
    )


async def show_refused(call: Call, name: DeviceId, error: OtaruError) -> Response:
    """A device, and why nothing was changed."""
    return await _show(call, name, error)


async def move(call: Call) -> Response:
    """Move a device along its lifecycle."""
    name, asked = device_of(call), (await call.fields()).get("event", "")
    if asked not in set(LifecycleEvent):
        raise InvalidInputError("the form names no step of a device's lifecycle")
    try:
        await devices.move(call.world, call.tenant, call.actor, name, LifecycleEvent(asked))
    except InvalidStateError as error:  # somebody else was faster
        return await _show(call, name, error)
    return call.lead(page_of(name))


async def cancel(call: Call) -> Response:
    """Have a device not do what a rollout asked of it."""
    name, form = device_of(call), await call.fields()
    rollout = form.get("rollout", "")
    if not (rollout.isascii() and rollout.isdigit() and len(rollout) <= len(str(MAX_ACTION))):
        raise InvalidInputError("the form names no rollout")
    force = form.get("force") == "yes"
    try:
        await rollouts.cancel(call.world, call.tenant, call.actor, RolloutId(int(rollout)), name, force=force)
    except InvalidStateError as error:
        return await _show(call, name, error)
    return call.lead(page_of(name))


async def answer(call: Call) -> Response:
    """Say yes, later or no, for its owner, to an update that waits for consent."""
    name, form, now = device_of(call), await call.fields(), call.world.clock.now()
    rollout, said = form.get("rollout", ""), form.get("answer", "")
    if not (rollout.isascii() and rollout.isdigit() and len(rollout) <= len(str(MAX_ACTION))):
        raise InvalidInputError("the form names no rollout")
    who = (call.world, call.tenant, call.actor, RolloutId(int(rollout)), name)
    try:
        if said == "approve":
            await consent.approve(*who)
        elif said == "reject":
            await consent.reject(*who)
        elif (days := POSTPONE.get(said)) is not None:
            await consent.postpone(*who, now + timedelta(days=days))
        else:
            raise InvalidInputError("the form gives no answer")
    except (InvalidStateError, RefusedError) as error:  # somebody else was faster, or it was put off too often
        return await _show(call, name, error)
    return call.lead(page_of(name))


async def renew_token(call: Call) -> Response:
    """Give a device a new token, and show it this once."""
    name = device_of(call)
    try:
        _, token = await devices.new_token(call.world, call.tenant, call.actor, name)
    except InvalidStateError as error:
        return await _show(call, name, error)
    return await show_token(call, name, token, fresh=False)


async def revoke_credential(call: Call) -> Response:
    """Revoke one of a device's credentials."""
    name, credential = device_of(call), call.step("credential")
    await credentials.revoke(call.world, call.tenant, call.actor, name, CredentialId(credential[:64]))
    return call.lead(page_of(name))


async def show_token(call: Call, name: DeviceId, token: str, *, fresh: bool) -> Response:
    """A device's token, the only time that it is seen, with what the usual clients are to be told."""
    known = await survey.device(call.world, call.tenant, name)
    secure, _, host = call.server.partition("://")
    return await call.show(
        "device_token.html",
        device=known.device,
        here=page_of(name),
        token=token,
        fresh=fresh,
        server=call.server,
        host=host,
        secure=secure == "https",
    )


async def reports(call: Call) -> Response:
    """What a device said of one action: a part of its page."""
    name, number = device_of(call), call.step("action")
    if not (number.isascii() and number.isdigit() and len(number) <= len(str(MAX_ACTION))):
        raise NotFoundError(f"device {name} has no such action")
    found = await survey.reports(call.world, call.tenant, name, ActionId(int(number)), MAX_REPORTS)
    return await call.show("device_reports.html", reports=found, limit=MAX_REPORTS)


async def _ailments(call: Call, name: DeviceId) -> Sequence[HealthEvent]:
    """The last events of a device's health."""
    found = await health.of_device(call.world, call.tenant, name, None, AMONG)
    return [event for event in found if event.kind is not Health.SAMPLE][:MAX_HEALTH]


def _reason(answer: survey.Because) -> Reason:
    title, tone = _RULES[answer.rule]
    return Reason(title, tone, answer.because, None if answer.rollout is None else rollout_page(answer.rollout))


async def _timeline(call: Call, name: DeviceId, history: Sequence[Deployment]) -> Sequence[Line]:
    """The last that happened to a device, and what it said of its newest action, newest first."""
    found = await survey.events(call.world, call.tenant, START, MAX_LINES, name, newest=True)
    # A rollout's number may be a device's name too.
    lines = [Line(e.what.at, told=told(e)) for e in found if e.what.kind in _OF_DEVICE]
    if newest := max((d.action for d in history), default=0):
        said = await survey.reports(call.world, call.tenant, name, ActionId(newest), MAX_SAID)
        lines += [Line(report.received_at, said=report) for report in said]
    return sorted(lines, key=lambda line: line.at, reverse=True)[:MAX_LINES]
