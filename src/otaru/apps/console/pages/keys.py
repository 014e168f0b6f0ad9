"""Keys and roles: who signs what, when it ends, and what to do next. What ends first comes first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.status import Tone
from otaru.services.control import alarms, metadata
from otaru.services.control.metadata import RoleState, Status
from otaru.trust.tuf.director import TERM
from otaru.trust.tuf.kept import DIRECTOR, IMAGE, KnownKey, told_of
from otaru.trust.tuf.metadata import due_at, term
from otaru.trust.tuf.names import TOP, product_of

_SAYS: Mapping[str, Mapping[str, str]] = {
    IMAGE: {
        "root": "which keys the other roles have",
        "targets": "who may sign which product",
        "snapshot": "what is the newest of each role",
        "timestamp": "that it is still so",
    },
    DIRECTOR: {
        "root": "which keys the signer's roles have",
        "targets": "what one device is to run",
        "snapshot": "what is the newest of it",
        "timestamp": "that it is still so",
    },
}


@dataclass(frozen=True, slots=True)
class Line:
    """A role as the calendar shows it."""

    role: RoleState
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
    return await call.show(
        "keys.html",
        lines=_lines(status, IMAGE, call.now),
        directing=_lines(status, DIRECTOR, call.now),
        per_device_d=TERM.lifetime.days,
        keys=sorted(status.keys, key=lambda key: (key.revoked_at is not None, key.created_at)),
        roles_of={key: _roles_of(status, key) for key in known},
    )


def _roles_of(status: Status, key: str) -> list[str]:
    own = [role.name for role in status.roles if key in role.keys]
    return own + [told_of(DIRECTOR, role.name) for role in status.director if key in role.keys]


def _lines(status: Status, of: str, now: datetime) -> list[Line]:
    """The roles of a repository, what ends first first; what is made for each device comes last."""
    roles = status.roles if of == IMAGE else status.director
    people, known = alarms.by_people(status, of), {key.id: key for key in status.keys}
    lines = [_line(of, role, role.name in people, known, now) for role in roles]
    last = now if of == IMAGE else datetime.max.replace(tzinfo=UTC)
    return sorted(lines, key=lambda line: last if line.role.end is None else line.role.end.expires_at)


def _line(of: str, role: RoleState, people: bool, known: Mapping[str, KnownKey], now: datetime) -> Line:
    tone, word, what, order = _standing(of, role, people)
    end = None if role.end is None else role.end.expires_at
    left = 0.0 if end is None else max((end - now) / term(role.name).lifetime, 0.0)
    return Line(
        role,
        _SAYS[of][role.name] if role.name in TOP else _product(role.name),
        people,
        tuple(known[key] for key in role.keys if key in known),
        tone,
        word,
        min(left, 1.0),
        None if end is None else due_at(role.name, end),
        what,
        order,
    )


def _standing(of: str, role: RoleState, people: bool) -> tuple[Tone, str, str, str]:
    request = f"otaru keys request {role.name}" + ("" if of == IMAGE else f" --repository {of}")
    if role.end is None and of == DIRECTOR:
        if people:
            return Tone.FAILED, "not held", "The signer does not hold its keys.", ""
        return Tone.DONE, "per device", "The signer makes it when a device asks.", ""
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


def _product(role: str) -> str:
    product, channel = product_of(role)
    return f"the files of {product}, channel {channel}"
