"""How the routers of the API are made: one for each noun, below one prefix."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

PREFIX = "/api/v1"


def _name(route: APIRoute) -> str:
    return route.name


def noun(path: str = "", *, tag: str | None = None) -> APIRouter:
    """A router for what stands below `path`; operations are named as their functions are."""
    tags: list[str] = [] if tag is None else [tag]
    return APIRouter(prefix=f"{PREFIX}{path}", tags=[*tags], generate_unique_id_function=_name, redirect_slashes=False)
