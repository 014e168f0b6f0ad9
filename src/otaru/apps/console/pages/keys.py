"""Keys and roles: who signs what, when it ends, and what to do next. What ends first comes first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.status import Tone
from otaru.services.control import alarms, metadata
from otaru.services.control.metadata import RoleState, Status
from otaru.trust.tuf.kept import DIRECTOR, IMAGE, KnownKey
from otaru.trust.tuf.metadata import due_at, term
from otaru.trust.tuf.names import TOP, product_of

_SAYS: Mapping[str, str] = {
    "root": "which keys the other roles have",
    "targets": "who may sign which product",
    "snapshot": "what is the newest of each role",
    "timestamp": "that it is still so",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A role as the calendar shows it."""

    role: RoleState
    name: str
    says: str
    people: bool
    keys: tuple[KnownKey, ...]
    tone: Tone
    word: str
    left: float
    """The share of its life that is left."""
    due: datetime | None
    """From when on it is to be signed anew."""
    next: str
    """What to do, in words."""
    order: str
    """The command that does it; empty where nobody has to."""


async def show(call: Call) -> Response:
    """The calendar of roles, then the keys."""
    status = await metadata.status(call.world, call.tenant)
    known = {key.id: key for key in status.keys}
    lines = [
        _line(role, of, role.name in alarms.by_people(status, of), known, call.now)
        for of, roles in ((IMAGE, status.roles), (DIRECTOR, status.director))
        for role in roles
        if of == IMAGE or role.end is not None  # the director's others are made for each device
    ]
    return await call.show(
        "keys.html",
        lines=sorted(lines, key=lambda line: call.now if line.role.end is None else line.role.end.expires_at),
        keys=sorted(status.keys, key=lambda key: (key.revoked_at is not None, key.created_at)),
        directs=bool(status.director),
        roles_of={key: _roles_of(status, key) for key in known},
    )


def _roles_of(status: Status, key: str) -> list[str]:
    own = [role.name for role in status.roles if key in role.keys]
    return own + [f"director: {role.name}" for role in status.director if key in role.keys]


def _line(role: RoleState, of: str, people: bool, known: Mapping[str, KnownKey], now: datetime) -> Line:
    tone, word, what, order = _standing(role, of, people)
    end = None if role.end is None else role.end.expires_at
    left = 0.0 if end is None else max((end - now) / term(role.name).lifetime, 0.0)
    return Line(
        role,
        role.name if of == IMAGE else f"{of}: {role.name}",
        _says(role.name, of),
        people,
        tuple(known[key] for key in role.keys if key in known),
        tone,
        word,
        min(left, 1.0),
        None if end is None else due_at(role.name, end),
        what,
        order,
    )


def _standing(role: RoleState, of: str, people: bool) -> tuple[Tone, str, str, str]:
    request = f"otaru keys request {role.name}" + ("" if of == IMAGE else f" --repository {of}")
    if role.end is None:
        return Tone.IDLE, "nothing signed", "Its first release begins it.", ""
    if role.expired:
        told = (
            "Clients refuse it. Its keepers sign it anew."
            if people
            else "The server should have signed it: see its log."
        )
        return Tone.FAILED, "ended", told, request if people else ""
    if role.due and people:
        return Tone.HELD, "ends soon", "Its keepers sign it anew.", request
    if role.stale:
        return Tone.HELD, "differs", "It lists other files than the published releases have.", request
    return Tone.DONE, "good", "" if people else "The server signs it in time.", ""


def _says(role: str, of: str) -> str:
    if of == DIRECTOR:
        return "which keys tell devices what to run"
    if role in TOP:
        return _SAYS[role]
    product, channel = product_of(role)
    return f"the files of {product}, channel {channel}"
