"""`/metrics`: what needs a person soon, for Prometheus (text format 0.0.4).

Over the network it wants an API token, any role's, and tells of that token's tenant alone; on the admin socket it tells of
all (the first hundred). It names tenants, roles and logs, and nothing else that belongs to somebody. One answer has as
many lines as there are roles: at most a thousand of a tenant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from otaru import __version__
from otaru.apps.server.api.caller import identify
from otaru.apps.server.body import App, Receive, Scope, Send
from otaru.domain.access import Permission, may
from otaru.errors import ForbiddenError, MethodNotAllowedError
from otaru.services.control import alarms
from otaru.services.control.alarms import Alarms
from otaru.services.control.world import World

_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_METHODS = ("GET", "HEAD")
_DAY_S = 86_400.0

Sample = tuple[Mapping[str, str], float]


def metrics(world: World, public_url: str = "") -> App:
    """The ASGI application."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["method"] not in _METHODS:
            raise MethodNotAllowedError(f"this resource does not know {scope['method']}", allowed=_METHODS)
        caller = await identify(world, scope, public_url)
        if not may(caller.role, Permission.READ):
            raise ForbiddenError(f"the role {caller.role} may not do this", needs=Permission.READ)
        if scope["state"]["local_admin"]:
            found, left_out = await alarms.of_all(world)
        else:
            found, left_out = [await alarms.of_tenant(world, caller.tenant)], 0
        body = "".join(told(found, left_out, world)).encode()
        headers = [
            (b"content-type", _TYPE),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return answer


def told(found: Sequence[Alarms], left_out: int, world: World) -> Iterator[str]:
    """The answer, metric by metric."""
    now = world.clock.now()
    yield from _gauge("otaru_info", "The program that answers.", [({"version": __version__}, 1)])
    yield from _gauge(
        "otaru_registry_fresh", "Whether devices are answered from what is true now.", [({}, world.registry.fresh)]
    )
    yield from _gauge("otaru_tenants_left_out", "Tenants that this answer does not tell of.", [({}, left_out)])
    yield from _gauge(
        "otaru_role_days_left",
        "Days until a role's metadata ends; keeper people: the server cannot sign it anew.",
        (
            (
                {
                    "tenant": one.tenant,
                    "repository": end.repository,
                    "role": end.role,
                    "keeper": "people" if end.people else "server",
                },
                (end.at - now).total_seconds() / _DAY_S,
            )
            for one in found
            for end in one.endings
        ),
    )
    yield from _gauge(
        "otaru_development_keys",
        "Keys in use that were made for development.",
        (({"tenant": one.tenant}, one.development) for one in found),
    )
    yield from _gauge(
        "otaru_release_drafts",
        "Releases that are not signed and published yet.",
        (({"tenant": one.tenant}, one.drafts) for one in found),
    )
    yield from _gauge(
        "otaru_alerts_raised",
        "Alerts of the fleet that are raised.",
        (({"tenant": one.tenant}, one.raised) for one in found),
    )
    yield from _gauge(
        "otaru_followings_stuck",
        "Groups that follow a channel whose newest release does not reach them until a person acts.",
        (({"tenant": one.tenant}, one.stuck) for one in found),
    )
    lags = [({"tenant": one.tenant, "log": str(log)}, lag) for one in found for log, lag in one.lags.items()]
    yield from _gauge(
        "otaru_log_behind_entries", "Log entries that no checkpoint covers.", ((of, lag.entries) for of, lag in lags)
    )
    yield from _gauge(
        "otaru_log_behind_seconds",
        "For how long the oldest entry that no checkpoint covers waits.",
        ((of, lag.age.total_seconds()) for of, lag in lags),
    )


def _gauge(name: str, words: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {words}\n# TYPE {name} gauge\n"
    for labels, value in samples:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{shown}}} {float(value):.6g}\n" if shown else f"{name} {float(value):.6g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
