"""Settings of the tenant: when nobody may be disturbed, what attributes are, and who approves."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.responses import Response

from otaru.apps.console import month
from otaru.apps.console import rollout_fields as fields
from otaru.apps.console.call import Call, Fields
from otaru.apps.console.rollout_form import words
from otaru.domain import ids
from otaru.domain.alert import MAX_ALERTS
from otaru.domain.attribute import MAX_DECLARED, AttributeKind
from otaru.domain.schedule import MAX_BLACKOUTS, Blackout, window
from otaru.domain.schedule.blackout import MAX_REASON
from otaru.domain.tenant import GIB
from otaru.errors import AlreadyExistsError, InvalidInputError, NotFoundError, TooLargeError
from otaru.services.control import alerts, blackouts, declaring, tenants

T = TypeVar("T")

AGAIN = "again"
MAX_NUMBER = 2**31
_MAX_MODEL = 128
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, and what is wrong with it, by field."""

    typed: Fields = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)


async def show(call: Call) -> Response:
    """All of them."""
    return await page(call, Form())


async def add_blackout(call: Call) -> Response:
    """Add a blackout."""
    sent = await call.fields()
    wrong: dict[str, str] = {}
    wanted = _blackout(call, sent, wrong)
    if not wrong:
        try:
            await blackouts.add(call.world, call.tenant, call.actor, wanted)
            return call.lead("/settings")
        except InvalidInputError as error:
            known = await blackouts.listed(call.world, call.tenant)
            wrong[_place(wanted, len(known))] = words(error)
    return await page(call, Form(sent, wrong), 422)


async def remove_blackout(call: Call) -> Response:
    """Remove a blackout."""
    text = call.step("blackout")
    if not (text.isascii() and text.isdigit() and int(text[:12]) < MAX_NUMBER):
        raise NotFoundError("there is no such blackout")
    await blackouts.remove(call.world, call.tenant, call.actor, int(text))
    return call.lead("/settings")


async def declare(call: Call) -> Response:
    """Declare what an attribute is."""
    sent = await call.fields()
    try:
        name = ids.name(sent.get("attribute", ""))
        kind = fields.one_of(AttributeKind)(sent.get("kind", ""))
        await declaring.declare(call.world, call.tenant, call.actor, name, kind)
    except (InvalidInputError, TooLargeError) as error:
        return await page(call, Form(sent, {"attribute": words(error)}), 422)
    return call.lead("/settings")


async def drop(call: Call) -> Response:
    """Declare no type of it any more."""
    await declaring.drop(call.world, call.tenant, call.actor, call.step("attribute"))
    return call.lead("/settings")


async def add_alert(call: Call) -> Response:
    """Add an alert."""
    sent = await call.fields()
    try:
        await alerts.add(call.world, call.tenant, call.actor, _alert(sent))
    except (InvalidInputError, TooLargeError, AlreadyExistsError) as error:
        return await page(call, Form(sent, {"alert": words(error)}), 422)
    return call.lead("/settings#alerts")


async def remove_alert(call: Call) -> Response:
    """Remove an alert."""
    await alerts.remove(call.world, call.tenant, call.actor, call.step("alert"))
    return call.lead("/settings#alerts")


async def four_eyes(call: Call) -> Response:
    """Whether somebody else approves every rollout."""
    wanted = tenants.Change(four_eyes=(await call.fields()).get("four_eyes") == "yes")
    await tenants.change(call.world, call.tenant, call.actor, wanted)
    return call.lead("/settings")


async def several(call: Call) -> Response:
    """Models whose DDI clients take the files of several components at once."""
    sent = await call.fields()
    models = [one.strip() for one in sent.get("several", "").split(",") if one.strip()]
    if any(len(one) > _MAX_MODEL or not one.isprintable() for one in models):
        return await page(
            call, Form(sent, {"several": f"A model has at most {_MAX_MODEL} characters of one line."}), 422
        )
    try:
        await tenants.change(call.world, call.tenant, call.actor, tenants.Change(several=models))
    except TooLargeError as error:
        return await page(call, Form(sent, {"several": words(error)}), 422)
    return call.lead("/settings#several")


async def backups(call: Call) -> Response:
    """Whether backups of devices are taken, and how much room they have."""
    sent = await call.fields()
    room = sent.get("room", "")
    if not (room.isascii() and room.isdigit() and len(room) <= 9):
        return await page(call, Form(sent, {"room": "A whole number of GiB."}), 422)
    wanted = tenants.Change(backups=sent.get("backups") == "yes", backup_quota=int(room) * GIB)
    await tenants.change(call.world, call.tenant, call.actor, wanted)
    return call.lead("/settings#backups")


def _alert(sent: Fields) -> alerts.New:
    """What was typed of an alert.

    Raises:
        InvalidInputError: it is none.
    """
    count, percent = sent.get("count", "1") or "1", sent.get("percent", "0") or "0"
    if not (count.isascii() and count.isdigit() and _PERCENT.fullmatch(percent)):
        raise InvalidInputError("so many devices, and so many percent, are numbers")
    mail = tuple(sent.get("mail", "").replace(",", " ").split())
    name, when, of = (sent.get(word, "") for word in ("name", "when", "of"))
    return alerts.New(name, when, of, int(count[:12]), float(percent) / 100, mail)


def _blackout(call: Call, sent: Fields, wrong: dict[str, str]) -> Blackout:
    def read(name: str, parse: Callable[[str], T]) -> T | None:
        try:
            return parse(sent.get(name, ""))
        except InvalidInputError as error:
            wrong[name] = words(error)
            return None

    reason = read("reason", fields.reason) or ""
    if sent.get("often") == AGAIN:
        return Blackout(0, reason, window=read("window", window))
    moment = fields.unless_empty(fields.moment)
    return Blackout(0, reason, read("start", moment) or call.now, read("end", moment))


def _place(wanted: Blackout, known: int) -> str:
    """Which field is to blame for a blackout that was refused."""
    if not wanted.reason.strip() or len(wanted.reason) > MAX_REASON:
        return "reason"
    if known >= MAX_BLACKOUTS:
        return "blackout"
    return "end" if wanted.window is None else "window"


async def page(call: Call, form: Form, status: int = 200) -> Response:
    """The page, with a form as it was typed."""
    seen = await tenants.show(call.world, call.tenant)
    tenant = seen.tenant
    return await call.show(
        "settings.html",
        status,
        form=form,
        backups_used=seen.backups,
        gib=GIB,
        weeks=month.weeks(tenant.calendar, call.now),
        lasting={one.id for one in tenant.blackouts if one.until(call.now, "", tenant.settings.zone)},
        over={one.id for one in tenant.blackouts if one.over(call.now)},
        attributes=await declaring.listed(call.world, call.tenant),
        alerts=await alerts.listed(call.world, call.tenant, None, MAX_ALERTS),
        kinds=list(AttributeKind),
        most={"blackouts": MAX_BLACKOUTS, "attributes": MAX_DECLARED, "reason": MAX_REASON},
    )
