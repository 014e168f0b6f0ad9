"""`otaru token`: API tokens."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otaru.apps.cli import values
from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Ca, Cursor, Limit, Server, Token, command, connect, group, more
from otaru.apps.cli.folder import on_folder
from otaru.apps.cli.printer import Printer, field, moment
from otaru.domain.access import Role

if TYPE_CHECKING:
    from otaru.domain.token import Token as Stored
    from otaru.services.control.world import World

noun = group("API tokens.")

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="The data folder of a server on this machine: then no token is needed.", show_default=False
    ),
]
MAX_LISTED = 1_000_000


@command(noun, "create")
def create(
    printer: Printer,
    role: Annotated[Role, typer.Option(help="What its holder may do.")],
    label: Annotated[str, typer.Option(help="Whose it is: the record names it.")] = "",
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long it is good: 30d. Else until revoked.", show_default=False),
    ] = None,
    data: Data = None,
    server: Server = None,
    token: Token = None,
    ca: Ca = None,
) -> None:
    """Make a token. It is shown once, as the last word."""
    life_s = None if expires is None else values.duration_s(expires)

    def ask(api: Api) -> Any:
        body = {"role": str(role), "label": label, "expires_in_s": life_s}
        return api.post("/tokens", {name: value for name, value in body.items() if value is not None})

    async def do(world: "World") -> Any:
        from datetime import timedelta

        from otaru.domain.ids import DEFAULT_TENANT
        from otaru.services.control import tokens
        from otaru.services.control.world import Actor

        life = None if life_s is None else timedelta(seconds=life_s)
        made = await tokens.create(world, DEFAULT_TENANT, Actor(LOCAL), role, label, life)
        return _shape(made.token) | {"token": made.secret}

    made = _either(data, server, token, ca, ask, do, make=True)
    printer.result(made, f"Token {made['id']} ({made['role']}), shown once: {made['token']}")


@command(noun, "list")
def listed(
    printer: Printer,
    limit: Limit = 100,
    cursor: Cursor = None,
    data: Data = None,
    server: Server = None,
    token: Token = None,
    ca: Ca = None,
) -> None:
    """List tokens, never their secrets."""

    async def do(world: "World") -> Any:
        from otaru.domain.ids import DEFAULT_TENANT, TokenId
        from otaru.services.control import tokens

        after = TokenId(cursor) if cursor else None
        wanted = limit or MAX_LISTED
        found = await tokens.page(world, DEFAULT_TENANT, after, wanted + 1)
        following = found[wanted - 1].id if len(found) > wanted else None
        return {"items": [_shape(t) for t in found[:wanted]], "next": following}

    page = _either(data, server, token, ca, lambda api: api.pages("/tokens", limit=limit, cursor=cursor), do)
    columns = (
        field("Id"),
        field("Role"),
        field("Label"),
        ("Created", lambda t: moment(t.get("created_at"))),
        ("Expires", lambda t: moment(t.get("expires_at"))),
        ("Revoked", lambda t: moment(t.get("revoked_at"))),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "revoke")
def revoke(
    printer: Printer,
    token_id: Annotated[str, typer.Argument(metavar="ID")],
    data: Data = None,
    server: Server = None,
    token: Token = None,
    ca: Ca = None,
) -> None:
    """Revoke a token: it is dead at once."""

    async def do(world: "World") -> None:
        from otaru.domain.ids import DEFAULT_TENANT, TokenId
        from otaru.services.control import tokens
        from otaru.services.control.world import Actor

        await tokens.revoke(world, DEFAULT_TENANT, Actor(LOCAL), TokenId(token_id))

    _either(data, server, token, ca, lambda api: api.delete(path("tokens", token_id)), do)
    printer.result({"id": token_id, "revoked": True}, f"Token {token_id} is revoked.")


LOCAL = "user:local"
"""The record's name for who works on the data folder itself."""


def _either(
    data: Path | None, server: str | None, token: str | None, ca: str | None, ask: Any, do: Any, *, make: bool = False
) -> Any:
    """On the data folder where one is named, else on the server."""
    if data is not None:
        return on_folder(data, ask, do, make=make)
    with connect(server, token, ca) as api:
        return ask(api)


def _shape(token: "Stored") -> dict[str, Any]:
    return {
        "id": token.id,
        "role": str(token.role),
        "label": token.label,
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "revoked_at": token.revoked_at.isoformat() if token.revoked_at else None,
    }
