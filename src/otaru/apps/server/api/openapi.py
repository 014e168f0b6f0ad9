"""The description of the API: OpenAPI 3.1, and the same in 3.0 for the pages (Swagger UI 4 reads no 3.1)."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from otaru import __version__
from otaru.apps.server.api.call import Needs
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.problems import Problem

DESCRIPTION = """Updates the firmware of fleets: devices, releases, staged rollouts.

Every request needs a token (`Authorization: Bearer TOKEN`) and sees one tenant: the token's. Errors are problem details
(RFC 9457) with a stable `code`. Lists come in pages: `limit`, and `next` of a page as `cursor` of the following one.
Single things carry an `ETag`, which `If-Match` takes. A POST with an `Idempotency-Key` is done once, however often it is
sent within 24 hours; the same answer is given again, with `Idempotency-Replayed: true`. Only successes are kept: after
an error the same key may be tried again. Times are RFC 3339 in UTC, durations seconds (`…_s`), shares 0 to 1."""

_TAGS = [
    {"name": "tokens", "description": "Who may do what."},
    {"name": "tenant", "description": "Settings, and the halt that holds every rollout."},
    {"name": "fleet", "description": "All devices, counted."},
    {"name": "devices", "description": "The units that are updated."},
    {"name": "authorities", "description": "Who signs certificates for devices."},
    {"name": "enrollments", "description": "Claims: how devices come by themselves."},
    {"name": "artifacts", "description": "Bytes, known by their SHA-256."},
    {"name": "uploads", "description": "Artifacts in parts, going on after a break."},
    {"name": "releases", "description": "Versions of products, made of artifacts."},
    {"name": "keys", "description": "Who may sign releases, and what is signed (TUF)."},
    {"name": "rollouts", "description": "Releases on their way to devices, in waves."},
    {"name": "deployments", "description": "Devices' shares in rollouts."},
    {"name": "events", "description": "What happened, and what happens."},
    {"name": "log", "description": "What was done, so that it cannot be undone unseen."},
]

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API token."},
    "session": {"type": "apiKey", "in": "cookie", "name": "otaru_session", "description": "A browser's session."},
}


def described(app: FastAPI) -> dict[str, Any]:
    """The whole description, OpenAPI 3.1."""
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    document = get_openapi(
        title="Otaru",
        version=__version__,
        openapi_version="3.1.0",
        summary="Over-the-air updates for IoT fleets",
        description=DESCRIPTION,
        routes=routes,
        tags=_TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document["components"]["schemas"]
    for ours in ("HTTPValidationError", "ValidationError"):
        schemas.pop(ours, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    document["components"]["securitySchemes"] = _SECURITY
    document["security"] = [{"bearer": []}, {"session": []}]
    for route in routes:
        for method in route.methods or ():
            _settle(document["paths"][route.path_format][method.lower()], route)
    return document


def _settle(operation: dict[str, Any], route: APIRoute) -> None:
    """Drop the framework's own error answer, which never comes, and say what the operation needs."""
    answers = operation["responses"]
    for status in [s for s, answer in answers.items() if "HTTPValidationError" in str(answer)]:
        del answers[status]
    if "requestBody" in operation:
        answers.setdefault("413", errors(413)[413])
    for needs in _needs(route.dependant):
        operation["x-permission"] = str(needs.permission)


def _needs(dependant: Dependant) -> Iterator[Needs]:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Needs):
            yield dependency.call
        yield from _needs(dependency)


def in_older_words(document: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI 3.1 description, as far as ours goes, in the words of 3.0."""
    older: dict[str, Any] = _older({k: v for k, v in document.items() if k not in {"openapi", "info"}})
    info = {k: v for k, v in document["info"].items() if k != "summary"}
    return {"openapi": "3.0.3", "info": info | {"license": {"name": info["license"]["name"]}}, **older}


def _older(node: Any) -> Any:
    if isinstance(node, list):
        return [_older(item) for item in node]
    if not isinstance(node, dict):
        return node
    said = {name: _older(value) for name, value in node.items() if name not in {"propertyNames", "const"}}
    if isinstance(examples := said.get("examples"), list):
        del said["examples"]
        said["example"] = examples[0]
    if "const" in node:
        said["enum"] = [node["const"]]
    for bound in ("Minimum", "Maximum"):
        if isinstance(value := said.get(f"exclusive{bound}"), int | float) and not isinstance(value, bool):
            said[bound.lower()], said[f"exclusive{bound}"] = value, True
    if isinstance(choices := said.get("anyOf"), list) and {"type": "null"} in choices:
        left = [choice for choice in choices if choice != {"type": "null"}]
        del said["anyOf"]
        said |= left[0] if len(left) == 1 and "$ref" not in left[0] else {"anyOf": left}
        said["nullable"] = True
    return said
