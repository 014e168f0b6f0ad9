"""How the routers of the API are made: one for each noun, below one prefix."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor

from otaru.errors import InvalidInputError

PREFIX = "/api/v1"


class _Number(Convertor[int]):
    """A number in an address, of at most ten digits: Python refuses to read thousands of them, and that was a 500."""

    regex = "[0-9]{1,10}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", _Number())


class _Strict(APIRoute):
    """Refuses query parameters that it does not know: a misspelt filter must not mean all."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, behind the check."""
        handler = super().get_route_handler()
        known = sorted(_queried(self.dependant))

        async def strict(request: Request) -> Response:
            for name in request.query_params:
                if name not in known:
                    raise _unknown(name, known)
            return await handler(request)

        return strict


def _queried(dependant: Dependant) -> set[str]:
    """The query parameters of a handler and of what it depends on."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*(_queried(below) for below in dependant.dependencies))


def _unknown(name: str, known: list[str]) -> InvalidInputError:
    """The error of a query parameter that an address does not know."""
    hint = f"It knows {', '.join(known)}." if known else "It knows none."
    told = [{"field": name[:100], "message": "unknown query parameter"}]
    return InvalidInputError(f"unknown query parameter {name[:100]!r}", hint=hint, errors=told)


def _name(route: APIRoute) -> str:
    return route.name


def noun(path: str = "", *, tag: str | None = None) -> APIRouter:
    """A router for what stands below `path`; operations are named as their functions are."""
    tags: list[str] = [] if tag is None else [tag]
    return APIRouter(
        prefix=f"{PREFIX}{path}",
        tags=[*tags],
        route_class=_Strict,
        generate_unique_id_function=_name,
        redirect_slashes=False,
    )
