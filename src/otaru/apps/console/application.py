"""The console: pages for people, at `/`. HTML from the server, a little script that makes it live.

A page is a function of `pages/` and a template of the same name: parse, ask one service, show. The table below is the
whole map. What changes something is a form's POST, which does it once and leads on to a page (so that a reload does
nothing twice). A page that stays open is asked for again when the event stream says that something changed, and morphed
in place: there is one template for the first look and for the hundredth.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router

from otaru.apps.console import files, login, rendering
from otaru.apps.console.call import Call
from otaru.apps.console.pages import (
    device,
    device_backups,
    device_errands,
    device_form,
    device_orders,
    devices,
    enrollments,
    events,
    following,
    groups,
    keys,
    monitoring,
    new_rollout,
    overview,
    release,
    release_new,
    releases,
    rollouts,
    settings,
    sticks,
)
from otaru.apps.console.session import SAFE, App, Receive, Scope, Send, header, refuse_other_pages, visitor
from otaru.apps.console.stick import Written
from otaru.domain.access import Permission
from otaru.errors import ForbiddenError, MethodNotAllowedError, NotFoundError, UnauthenticatedError
from otaru.services.control import survey
from otaru.services.control.world import World

Show = Callable[[Call], Awaitable[Response]]
Answer = Callable[[Request], Awaitable[Response]]

READ = Permission.READ
DEVICES = Permission.WRITE_DEVICES
RELEASES = Permission.WRITE_RELEASES
ROLLOUTS = Permission.WRITE_ROLLOUTS
TENANT = Permission.WRITE_TENANT

PAGES: tuple[tuple[str, str, Permission, Show], ...] = (
    ("GET", "/", READ, overview.show),
    ("POST", "/settings/halt", TENANT, overview.halt),
    ("POST", "/settings/lift", TENANT, overview.lift),
    ("GET", "/settings", READ, settings.show),
    ("POST", "/settings/blackouts", TENANT, settings.add_blackout),
    ("POST", "/settings/blackouts/{blackout}/remove", TENANT, settings.remove_blackout),
    ("POST", "/settings/attributes", TENANT, settings.declare),
    ("POST", "/settings/attributes/{attribute}/drop", TENANT, settings.drop),
    ("POST", "/settings/alerts", DEVICES, settings.add_alert),
    ("POST", "/settings/alerts/{alert}/remove", DEVICES, settings.remove_alert),
    ("POST", "/settings/four-eyes", TENANT, settings.four_eyes),
    ("POST", "/settings/several", TENANT, settings.several),
    ("POST", "/settings/backups", TENANT, settings.backups),
    ("POST", "/settings/monitoring", TENANT, monitoring.of_all),
    ("POST", "/settings/monitoring/groups", TENANT, monitoring.of_group),
    ("POST", "/settings/monitoring/groups/{group}/remove", TENANT, monitoring.remove),
    ("GET", "/devices", READ, devices.show),
    ("GET", "/devices/+count", READ, devices.count),
    ("GET", "/devices/+completion", READ, devices.complete),
    ("GET", "/devices/+new", DEVICES, device_form.new),
    ("POST", "/devices/+new", DEVICES, device_form.add),
    ("GET", "/devices/{device}", READ, device.show),
    ("GET", "/devices/{device}/edit", DEVICES, device_form.edit),
    ("POST", "/devices/{device}/edit", DEVICES, device_form.save),
    ("POST", "/devices/{device}/lifecycle", DEVICES, device.move),
    ("POST", "/devices/{device}/token", DEVICES, device.renew_token),
    ("POST", "/devices/{device}/credentials/{credential}/revoke", DEVICES, device.revoke_credential),
    ("POST", "/devices/{device}/cancel", ROLLOUTS, device.cancel),
    ("POST", "/devices/{device}/consent", DEVICES, device.answer),
    ("POST", "/devices/{device}/errands", DEVICES, device_errands.ask),
    ("POST", "/devices/{device}/errands/{errand}/recall", DEVICES, device_errands.recall),
    ("GET", "/devices/{device}/errands/{errand}/diagnostics", DEVICES, device_errands.fetch),
    ("GET", "/devices/{device}/backups/{backup}/content", DEVICES, device_backups.fetch),
    ("POST", "/devices/{device}/backups/{backup}/delete", DEVICES, device_backups.delete),
    ("POST", "/devices/{device}/pins", DEVICES, device_orders.pin),
    ("GET", "/devices/{device}/attributes", READ, device_orders.attributes),
    ("POST", "/devices/{device}/attributes", DEVICES, device_orders.purge),
    ("GET", "/devices/{device}/update", ROLLOUTS, device_orders.choose),
    ("POST", "/devices/{device}/update", ROLLOUTS, device_orders.update),
    ("GET", "/devices/{device}/reports/{action}", READ, device.reports),
    ("GET", "/enrollments", READ, enrollments.index),
    ("GET", "/enrollments/+new", DEVICES, enrollments.new),
    ("POST", "/enrollments/+new", DEVICES, enrollments.create),
    ("POST", "/enrollments/+decide", DEVICES, enrollments.decide),
    ("GET", "/enrollments/+reject", DEVICES, enrollments.reject),
    ("GET", "/enrollments/{enrollment}", READ, enrollments.show),
    ("POST", "/enrollments/{enrollment}/revoke", DEVICES, enrollments.revoke),
    ("GET", "/groups", READ, groups.index),
    ("GET", "/groups/+new", DEVICES, groups.new),
    ("POST", "/groups/+new", DEVICES, groups.create),
    ("GET", "/groups/{group}/+follow", ROLLOUTS, following.ask),
    ("POST", "/groups/{group}/+follow", ROLLOUTS, following.order),
    ("POST", "/groups/{group}/follows/{product}/{channel}/end", ROLLOUTS, following.end),
    ("GET", "/groups/{group}", READ, groups.show),
    ("POST", "/groups/{group}/edit", DEVICES, groups.change),
    ("POST", "/groups/{group}/members", DEVICES, groups.members),
    ("POST", "/groups/{group}/delete", DEVICES, groups.delete),
    ("GET", "/keys", READ, keys.show),
    ("GET", "/releases", READ, releases.show),
    ("GET", "/releases/+new", RELEASES, release_new.show),
    ("GET", "/releases/{product}/{version}", READ, release.show),
    ("POST", "/releases/{product}/{version}/{order}", RELEASES, release.order),
    ("GET", "/rollouts", READ, rollouts.index),
    ("GET", "/rollouts/new", ROLLOUTS, new_rollout.show),
    ("POST", "/rollouts/new", ROLLOUTS, new_rollout.create),
    ("POST", "/rollouts/new/preview", ROLLOUTS, new_rollout.preview),
    ("POST", "/rollouts/new/plan", ROLLOUTS, new_rollout.plan),
    ("GET", "/rollouts/{rollout}", READ, rollouts.show),
    ("GET", "/rollouts/{rollout}/sticks", READ, sticks.show),
    ("POST", "/rollouts/{rollout}/sticks", ROLLOUTS, sticks.export),
    ("POST", "/rollouts/{rollout}/orders", ROLLOUTS, rollouts.order),
    ("GET", "/rollouts/{rollout}/devices", READ, rollouts.devices),
    ("POST", "/rollouts/{rollout}/devices/{device}/cancel", ROLLOUTS, rollouts.cancel),
    ("GET", "/events", READ, events.show),
)
"""Method, address, what it needs, and the function that answers. A fixed step where a name may stand begins with `+`,
which no name holds; of two that fit, the first counts."""

_SEND_AGAIN = "Log in in another tab, then come back and reload this page: the browser sends what you typed once more."
_GO_ON = "Log in in another tab, then go on here."

PREFIXES = frozenset({"", "login", "logout", "static"} | {path.split("/")[1] for _, path, _, _ in PAGES})
"""First steps of our addresses: no tenant may have such a name."""


class Options(Protocol):
    """The settings that count here."""

    @property
    def public_url(self) -> str:
        """The address that a proxy in front makes of ours; empty without one."""
        ...


class Runtime(Protocol):
    """What the process gives its applications."""

    @property
    def world(self) -> World:
        """The ports."""
        ...

    @property
    def settings(self) -> Options:
        """The settings."""
        ...


def console(runtime: Runtime, written: Written) -> App:
    """The application; `written` says what lies on a stick. Raises what the shell is to tell (`problem_as_page`)."""
    world, public_url = runtime.world, runtime.settings.public_url
    answers: dict[str, dict[str, Answer]] = {"/static/{version}/{name:path}": {"GET": files.serve}}
    for method, path, answer in login.ways(world, public_url):
        answers.setdefault(path, {})[method] = answer
    for method, path, needs, show in PAGES:
        answers.setdefault(path, {})[method] = _guarded(world, public_url, written, needs, show)
    routes = [Route(path, _Address(world, ways)) for path, ways in answers.items()]
    return Router(routes, redirect_slashes=False, default=_nothing)


def _guarded(world: World, public_url: str, written: Written, needs: Permission, show: Show) -> Answer:
    async def answer(request: Request) -> Response:
        try:
            who = await visitor(world, request.scope, public_url)
        except UnauthenticatedError:
            if request.method in SAFE:
                return _to_login(request)
            refuse_other_pages(request.scope, public_url)
            # Who was led away would lose what was typed.
            raise UnauthenticatedError(
                "you are not logged in any more, so nothing was done",
                hint=_GO_ON if _of_part(request) else _SEND_AGAIN,
            ) from None
        if not who.may(needs):
            raise ForbiddenError(
                f"the role {who.role} may not do this", hint=f"It needs {needs}. Ask an admin for another token."
            )
        # Before the page looks: what happens after this, the stream will tell it.
        return await show(Call(world, who, request, await survey.end_of_record(world), written, public_url))

    return answer


def _to_login(request: Request) -> Response:
    """The way to the login page, and from there back to where the visitor wanted to go, or was."""
    part = _of_part(request)  # the browser is to leave the whole page
    page = (header(request.scope, b"hx-current-url") or b"").decode("latin-1") if part else str(request.url)
    try:
        back = login.inside(urlsplit(page)._replace(scheme="", netloc="", fragment="").geturl())
    except ValueError:
        back = "/"
    address = "/login" if back == "/" else f"/login?next={quote(back)}"
    if part:
        return Response(status_code=204, headers={**rendering.HEADERS, "HX-Redirect": address})
    return RedirectResponse(address, 303, headers=rendering.HEADERS)


def _of_part(request: Request) -> bool:
    """Whether a page's script asks for a part of it."""
    return header(request.scope, b"hx-request") is not None


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive, send
    raise NotFoundError("there is no such page")


class _Address:
    """What is at one address, by method. After a change it answers once every registry question sees it."""

    def __init__(self, world: World, ways: Mapping[str, Answer]) -> None:
        self._world = world
        self._ways = ways

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        answer = self._ways.get("GET" if method == "HEAD" else method)
        if answer is None:
            raise MethodNotAllowedError(f"this address does not know {method}", allowed=sorted(self._ways))
        response = await answer(Request(scope, receive))
        if method not in SAFE and response.status_code < 400:
            await self._world.registry.caught_up()
        await response(scope, receive, send)
