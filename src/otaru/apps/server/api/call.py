"""What a handler works with: the call (who, in which world), its preconditions, and answers that are given once."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from otaru.apps.server.api.caller import Caller
from otaru.domain.access import Permission, may
from otaru.domain.ids import TenantId
from otaru.errors import ForbiddenError, InvalidInputError, PreconditionFailedError
from otaru.ports.store import Tx
from otaru.services.control.once import Answer, Answers, Named
from otaru.services.control.world import Actor, World

R = TypeVar("R")

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request of somebody who may make it."""

    world: World
    caller: Caller
    request: Request

    @property
    def tenant(self) -> TenantId:
        """Whose world it is about: the caller's, never the request's to choose."""
        return self.caller.tenant

    @property
    def actor(self) -> Actor:
        """Who does it, for the record."""
        return self.caller.actor


class Needs:
    """Lets a call through whose role has a permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Call:
        """The call. A coroutine function, as all dependencies: FastAPI sends others to a thread, dearer than the rest of it.

        Raises:
            ForbiddenError: the role has not.
        """
        caller: Caller = request.scope["otaru.caller"]
        if not may(caller.role, self.permission):
            raise ForbiddenError(
                f"the role {caller.role} may not do this", hint=f"It needs {self.permission}.", needs=self.permission
            )
        return Call(request.app.state.world, caller, request)


Reading = Annotated[Call, Depends(Needs(Permission.READ))]
AuditReading = Annotated[Call, Depends(Needs(Permission.READ_AUDIT))]
DeviceWork = Annotated[Call, Depends(Needs(Permission.WRITE_DEVICES))]
ReleaseWork = Annotated[Call, Depends(Needs(Permission.WRITE_RELEASES))]
RolloutWork = Annotated[Call, Depends(Needs(Permission.WRITE_ROLLOUTS))]
TenantWork = Annotated[Call, Depends(Needs(Permission.WRITE_TENANT))]
TokenWork = Annotated[Call, Depends(Needs(Permission.WRITE_TOKENS))]


def check_emergency(call: Call, *, ignores: bool) -> None:
    """Blackouts are the admins' to make, and to ignore.

    Raises:
        ForbiddenError: somebody else wants to ignore them.
    """
    if ignores and not may(call.caller.role, Permission.WRITE_TENANT):
        raise ForbiddenError(
            f"the role {call.caller.role} may not ignore blackouts",
            hint=f"It needs {Permission.WRITE_TENANT}.",
            needs=Permission.WRITE_TENANT,
        )


_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
_EDITION = re.compile(r'"(0|[1-9][0-9]{0,9})"')


async def edition(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match", max_length=64, description="An ETag: do it only while the thing is still of this edition."
        ),
    ] = None,
) -> int | None:
    """The edition that If-Match names; None where any will do.

    Raises:
        InvalidInputError: it is not one ETag.
        PreconditionFailedError: it is an ETag, but never one of ours.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAG.fullmatch(tag := if_match.strip()):
        raise InvalidInputError("If-Match is not one ETag", hint='Send the ETag of the answer, for example "3".')
    if not (found := _EDITION.fullmatch(tag)):
        raise PreconditionFailedError(f"the thing is not at edition {tag}")
    return int(found[1])


Edition = Annotated[int | None, Depends(edition)]


def answered(model: BaseModel, status: int = 200) -> Response:
    """A model as an answer; with its edition as ETag, where it has one."""
    return _response(Answer(status, model.model_dump_json().encode()))


class _Edition(msgspec.Struct):
    edition: int | None = None


def _response(answer: Answer) -> Response:
    found = msgspec.json.decode(answer.body, type=_Edition)
    headers = {} if found.edition is None else {"ETag": f'"{found.edition}"'}
    if answer.again:
        headers["Idempotency-Replayed"] = "true"
    return Response(answer.body, answer.status, headers, media_type=JSON)


class Doing:
    """Does a POST's work once for each Idempotency-Key."""

    def __init__(self, request: Request, key: str | None) -> None:
        self._request = request
        self._key = key

    async def __call__(
        self,
        call: Call,
        work: Callable[[World], Awaitable[R]],
        show: Callable[[Tx, R], BaseModel],
        status: int | Callable[[R], int] = 200,
    ) -> Response:
        """Do `work`, one service, and answer what `show` makes of its result."""

        def shown(tx: Tx, result: Any) -> Answer:
            code = status if isinstance(status, int) else status(result)
            return Answer(code, show(tx, result).model_dump_json().encode())

        answers: Answers = self._request.app.state.answers
        return _response(await answers.give(await self._named(call), work, shown))

    async def _named(self, call: Call) -> Named | None:
        if self._key is None:
            return None
        scope, caller = self._request.scope, call.caller
        asked = sha256()
        for part in (
            scope["method"].encode(),
            scope["path"].encode(),
            scope["query_string"],
            await self._request.body(),
        ):
            asked.update(len(part).to_bytes(8))
            asked.update(part)
        return Named(caller.tenant, caller.token, self._key, asked.digest(), caller.secret)


async def once(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            pattern=r"^[ -~]+$",
            description="A name of your choosing: the work is done once, however often it is sent within 24 hours.",
        ),
    ] = None,
) -> Doing:
    """The request with its key."""
    return Doing(request, idempotency_key)


Once = Annotated[Doing, Depends(once)]
