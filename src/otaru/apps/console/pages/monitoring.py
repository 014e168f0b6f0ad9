"""Settings of monitoring: what devices measure and tell, and what they may be asked for; of all, and of groups."""

from datetime import timedelta

from starlette.responses import Response

from otaru.apps.console.call import Call, Fields
from otaru.apps.console.pages.settings import Form, page
from otaru.apps.console.rollout_form import words
from otaru.domain.errand import Monitoring
from otaru.domain.group import GroupName, group_name
from otaru.domain.monitoring import ALL, Policy
from otaru.errors import InvalidInputError, NotFoundError, TooLargeError
from otaru.services.control import monitoring, tenants
from otaru.services.control.monitoring import Change

_HERE = "/settings#monitoring"
_SAID = {"": None, "on": True, "off": False}


async def of_all(call: Call) -> Response:
    """What is said of all devices."""
    sent = await call.fields()
    try:
        policy = Monitoring(_period(sent), _off(sent) or ())
        wanted = tenants.Change(
            monitoring=policy, diagnostics=sent.get("diagnostics") == "yes", commands=sent.get("commands") == "yes"
        )
        await tenants.change(call.world, call.tenant, call.actor, wanted)
    except InvalidInputError as error:
        return await page(call, Form(sent, {"monitoring": words(error)}), 422)
    return call.lead(_HERE)


async def of_group(call: Call) -> Response:
    """What is said of a group, as a whole."""
    sent = await call.fields()
    try:
        policy = Policy(_period(sent), _off(sent), _said(sent, "diagnostics"), _said(sent, "commands"))
        change = Change(policy, _whole(sent.get("priority", "") or "0", "a priority"), whole=True)
        await monitoring.say(call.world, call.tenant, call.actor, group_name(sent.get("group", "")), change)
    except (InvalidInputError, NotFoundError, TooLargeError) as error:
        return await page(call, Form(sent, {"group_monitoring": words(error)}), 422)
    return call.lead(_HERE)


async def remove(call: Call) -> Response:
    """Say nothing of a group any more."""
    await monitoring.unsay(call.world, call.tenant, call.actor, GroupName(call.step("group")))
    return call.lead(_HERE)


def _said(sent: Fields, name: str) -> bool | None:
    word = sent.get(name, "")
    if word not in _SAID:
        raise InvalidInputError("the form says neither on nor off")
    return _SAID[word]


def _period(sent: Fields) -> timedelta | None:
    text = sent.get("minutes", "").strip()
    return timedelta(minutes=_whole(text, "so many minutes")) if text else None


def _off(sent: Fields) -> tuple[str, ...] | None:
    """What is not told; None: nothing is said of it. `none` tells all."""
    names = tuple(sent.get("off", "").replace(",", " ").split())
    if names == ("none",):
        return ()
    return tuple(ALL if name == "all" else name for name in names) or None


def _whole(text: str, what: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 6):
        raise InvalidInputError(f"{what}: {text[:20]!r} is no number")
    return int(text)
