"""What one orders of a single device: to stay where it is, or to be updated now; and what its attributes were."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from starlette.responses import Response

from otaru.apps.console import rollout_fields as fields
from otaru.apps.console.call import Call
from otaru.apps.console.pages.device import device_of, page_of
from otaru.apps.console.planned_once import plan_once
from otaru.apps.console.rendering import link
from otaru.apps.console.rollout_form import words
from otaru.domain.attribute import MAX_CHANGES
from otaru.domain.device import EVERYTHING, Device, pins
from otaru.domain.ids import DeviceId
from otaru.domain.release import Release, ReleaseState
from otaru.domain.rollout import MAX_PRIORITY, Policy
from otaru.errors import (
    IdempotencyConflictError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    NothingToDoError,
    OtaruError,
    PreconditionFailedError,
)
from otaru.services.control import declaring, devices, releases, survey
from otaru.services.control.rollouts import Intention

RELEASES = 200
"""The newest published ones; among them are looked for those that fit."""
EDITS = 5
"""Tries, where somebody else changes the device meanwhile."""


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, and what is wrong with it, by field."""

    release: str = ""
    reason: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)


async def pin(call: Call) -> Response:
    """Keep a device, or one component of it, where it is; or let it go on."""
    name, sent = device_of(call), await call.fields()
    reason, component = fields.reason(sent.get("reason", "")), sent.get("component", "") or EVERYTHING
    for _ in range(EDITS):
        known = (await survey.device(call.world, call.tenant, name)).device
        wanted = pins({*known.pins, component} if sent.get("order") == "pin" else {*known.pins} - {component})
        if EVERYTHING in wanted:
            wanted = frozenset({EVERYTHING})
        change = devices.Change(pins=wanted, reason=reason)
        try:
            await devices.change(call.world, call.tenant, call.actor, name, change, known.edition)
        except PreconditionFailedError:
            continue
        return call.lead(page_of(name))
    raise PreconditionFailedError("somebody else changes this device all the time", hint="Try again.")


async def attributes(call: Call) -> Response:
    """What became of its attributes."""
    name = device_of(call)
    known = (await survey.device(call.world, call.tenant, name)).device
    changes = await declaring.changes(call.world, call.tenant, name, None, MAX_CHANGES)
    return await call.show(
        "device_attributes.html", device=known, here=page_of(name), changes=changes, kept=MAX_CHANGES
    )


async def purge(call: Call) -> Response:
    """Forget what became of its attributes."""
    name = device_of(call)
    await declaring.purge(call.world, call.tenant, call.actor, name)
    return call.lead(f"{page_of(name)}/attributes")


async def choose(call: Call) -> Response:
    """Which release to bring it."""
    return await _page(call, device_of(call), Form(call.asked("release")))


async def update(call: Call) -> Response:
    """A rollout of one, before all others."""
    name, sent = device_of(call), await call.fields()
    form = Form(sent.get("release", ""), sent.get("reason", ""))
    await survey.device(call.world, call.tenant, name)  # a target that holds nobody does not say that there is none
    try:
        wanted = _intention(name, form)
        return call.lead(f"/rollouts/{await plan_once(call, sent, wanted)}")
    except (NotFoundError, NothingToDoError, InvalidStateError, InvalidInputError, IdempotencyConflictError) as error:
        return await _page(call, name, _blamed(form, "release", error), 422)


def _intention(name: DeviceId, form: Form) -> Intention:
    product, version = fields.release(form.release)
    title, policy = f"{name} now"[: fields.MAX_NAME], Policy(priority=MAX_PRIORITY)
    return Intention(product, version, f"id=='{name}'", policy, title, start=True, reason=fields.reason(form.reason))


def _blamed(form: Form, place: str, error: OtaruError) -> Form:
    return replace(form, wrong={place: words(error)})


async def _page(call: Call, name: DeviceId, form: Form, status: int = 200) -> Response:
    known = (await survey.device(call.world, call.tenant, name)).device
    published = await releases.newest(call.world, call.tenant, [ReleaseState.PUBLISHED], RELEASES)
    return await call.show(
        "device_update.html",
        status,
        device=known,
        here=page_of(name),
        form=form,
        fitting=[release for release in published if _fits(release, known)],
        key=call.world.clock.token(),
        wizard=link("/rollouts/new", target=f"id=='{name}'"),
    )


def _fits(release: Release, device: Device) -> bool:
    return any(artifact.hardware.fits(device.hardware) for artifact in release.artifacts)
