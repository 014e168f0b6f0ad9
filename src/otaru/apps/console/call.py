"""What a page's function works with: the request, who looks, in which world, and how to answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from otaru.apps.console import rendering
from otaru.apps.console.session import Visitor
from otaru.apps.console.stick import Written
from otaru.domain.events import Position
from otaru.domain.ids import TenantId
from otaru.errors import InvalidInputError
from otaru.services.control import alarms, tenants
from otaru.services.control.world import Actor, World

MAX_FIELDS = 1000
MAX_VALUE = 16_384

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """One request of somebody who is logged in."""

    world: World
    visitor: Visitor
    request: Request
    since: Position
    """Where the record of events was before the page looked: its stream starts there."""
    written: Written
    """What lies on a stick of a bundle."""
    public_url: str = ""
    """The address that a proxy in front makes of ours; empty without one."""

    @property
    def tenant(self) -> TenantId:
        """Whose world it is about: the visitor's, never the request's to choose."""
        return self.visitor.tenant

    @property
    def actor(self) -> Actor:
        """Who does it, for the record."""
        return self.visitor.actor

    @property
    def server(self) -> str:
        """The address under which devices reach this server, as far as we know."""
        return self.public_url or str(self.request.base_url).rstrip("/")

    @property
    def now(self) -> datetime:
        """The server's time."""
        return self.world.clock.now()

    def step(self, name: str) -> str:
        """A part of the address, as the route names it."""
        return str(self.request.path_params[name])

    def asked(self, name: str) -> str:
        """A value of the address's query, without space around it; empty where it is missing.

        Raises:
            InvalidInputError: it is longer than any we know.
        """
        value = self.request.query_params.get(name, "").strip()
        if len(value) > MAX_VALUE:
            raise InvalidInputError(f"{name} is longer than {MAX_VALUE} characters")
        return value

    async def fields(self) -> Fields:
        """What the form sent: of each field the last value, without space around it.

        Raises:
            InvalidInputError: it is no form of ours.
        """
        return {name: values[-1].strip() for name, values in (await self.lists()).items()}

    async def lists(self) -> Mapping[str, list[str]]:
        """What the form sent: of each field all values.

        Raises:
            InvalidInputError: it is no form of ours.
        """
        try:
            body = (await self.request.body()).decode()
            found = parse_qs(body, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        except ValueError:
            raise InvalidInputError("the form cannot be read", hint="Open the page again.") from None
        if any(len(value) > MAX_VALUE for values in found.values() for value in values):
            raise InvalidInputError(f"a field is longer than {MAX_VALUE} characters")
        return found

    async def show(self, template: str, status: int = 200, **facts: Any) -> Response:
        """A page of the console, in its frame."""
        tenant = await tenants.get(self.world, self.tenant)
        here = str(self.request.url.replace(scheme="", netloc=""))
        return rendering.page(
            template,
            status,
            **facts,
            visitor=self.visitor,
            since=str(self.since),
            tenant=tenant,
            alarm=await alarms.brief(self.world, self.tenant),
            now=self.now,
            path=self.request.url.path,
            address=here,
            back=here if self.request.method == "GET" else "/",
        )

    def lead(self, address: str) -> Response:
        """Lead the browser on to another page, after something was done."""
        return RedirectResponse(address, 303, headers=rendering.HEADERS)
