"""Devices that come by themselves: the claims that let them in, those that wait, and those that somebody else asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from starlette.responses import Response

from otaru.apps.console.call import Call, Fields
from otaru.apps.console.happening import told
from otaru.apps.console.status import Tone
from otaru.domain import ids
from otaru.domain.device import MAX_TAGS, Lifecycle, LifecycleEvent, hardware
from otaru.domain.duration import duration
from otaru.domain.enrollment import MAX_QUOTA, Approval, Enrollment, EnrollmentId
from otaru.domain.events import START
from otaru.errors import AlreadyExistsError, InvalidInputError, InvalidStateError, TooLargeError
from otaru.services.control import devices, enrollments, survey
from otaru.services.control.enrollments import MAX_LABEL, NewEnrollment

CLAIMS = 50
WAITING = 50
LINES = 30
_DECISIONS = frozenset({LifecycleEvent.ACCEPT, LifecycleEvent.REJECT})


@dataclass(frozen=True, slots=True)
class Line:
    """A claim with what it is good for now."""

    claim: Enrollment
    tone: Tone
    word: str


@dataclass(frozen=True, slots=True)
class Form:
    """What is typed, and what is wrong with it by field."""

    label: str = ""
    quota: str = "1000"
    expires: str = "30d"
    hardware: str = ""
    tags: str = ""
    approval: str = Approval.AUTO.value
    wrong: Mapping[str, str] = field(default_factory=dict)


async def index(call: Call) -> Response:
    """Claims, and what waits for a person."""
    after = call.asked("after")
    found = await enrollments.page(
        call.world, call.tenant, EnrollmentId(after) if after else None, CLAIMS + 1, newest=True
    )
    return await _index(call, found, after)


async def _index(call: Call, found: list[Enrollment], after: str, refused: str = "", status: int = 200) -> Response:
    return await call.show(
        "enrollments.html",
        status,
        lines=[_line(one, call.now) for one in found[:CLAIMS]],
        after=after,
        following=found[CLAIMS - 1].id if len(found) > CLAIMS else "",
        queue=await enrollments.queue(call.world, call.tenant, WAITING),
        refused=refused,
    )


async def new(call: Call) -> Response:
    """The empty form."""
    return await call.show("enrollment_new.html", form=Form(), max_label=MAX_LABEL, max_quota=MAX_QUOTA)


async def create(call: Call) -> Response:
    """Make a claim; its token is shown in the answer, and nowhere else."""
    sent = await call.fields()
    wrong: dict[str, str] = {}
    wanted = _wanted(sent, wrong)
    if wanted is not None:
        try:
            made = await enrollments.create(call.world, call.tenant, call.actor, wanted)
            return await call.show("enrollment_made.html", claim=made.enrollment, token=made.token, server=call.server)
        except (InvalidInputError, AlreadyExistsError, TooLargeError) as error:
            wrong["form"] = _words(error)
    form = Form(**{name: sent.get(name, "") for name in _TYPED}, wrong=wrong)
    return await call.show("enrollment_new.html", 422, form=form, max_label=MAX_LABEL, max_quota=MAX_QUOTA)


async def decide(call: Call) -> Response:
    """Accept or reject a device that waits."""
    sent = await call.fields()
    name, asked = ids.device_id(sent.get("device", "")), sent.get("event", "")
    if asked not in _DECISIONS:
        raise InvalidInputError("a device that waits is accepted or rejected")
    try:
        await devices.move(call.world, call.tenant, call.actor, name, LifecycleEvent(asked))
    except InvalidStateError as error:
        found = await enrollments.page(call.world, call.tenant, None, CLAIMS + 1, newest=True)
        return await _index(call, found, "", _words(error), 409)
    return call.lead("/enrollments")


async def reject(call: Call) -> Response:
    """Ask once more before a device is turned away for good."""
    known = (await survey.device(call.world, call.tenant, ids.device_id(call.asked("device")))).device
    return await call.show("enrollment_reject.html", device=known, waits=known.lifecycle is Lifecycle.PENDING)


async def show(call: Call) -> Response:
    """One claim: what it is good for, how many have come by it, and what happened to it."""
    claim = await enrollments.show(call.world, call.tenant, _id(call))
    happened = await survey.events(call.world, call.tenant, START, LINES, claim.id, newest=True)
    return await call.show(
        "enrollment.html", line=_line(claim, call.now), claim=claim, timeline=[told(one) for one in happened]
    )


async def revoke(call: Call) -> Response:
    """Let nobody in by it any more."""
    name = _id(call)
    await enrollments.revoke(call.world, call.tenant, call.actor, name)
    return call.lead(f"/enrollments/{name}")


def _id(call: Call) -> EnrollmentId:
    return EnrollmentId(call.step("enrollment"))


def _line(claim: Enrollment, now: datetime) -> Line:
    if claim.revoked_at is not None:
        return Line(claim, Tone.FAILED, "revoked")
    if now >= claim.expires_at:
        return Line(claim, Tone.IDLE, "expired")
    if claim.used >= claim.quota:
        return Line(claim, Tone.HELD, "used up")
    return Line(claim, Tone.DONE, "open")


_TYPED = ("label", "quota", "expires", "hardware", "tags", "approval")


def _wanted(sent: Fields, wrong: dict[str, str]) -> NewEnrollment | None:
    """What the form asks for; None where something is wrong."""
    label, quota = sent.get("label", ""), sent.get("quota", "")
    if not 0 < len(label) <= MAX_LABEL or not label.isprintable():
        wrong["label"] = f"A label has 1 to {MAX_LABEL} characters."
    if not (quota.isascii() and quota.isdigit() and len(quota) <= 9 and 0 < int(quota) <= MAX_QUOTA):
        wrong["quota"] = f"A number from 1 to {MAX_QUOTA:,}."
    life, model, tags = None, None, frozenset[str]()
    try:
        life = duration(sent.get("expires", ""))
        if not life:
            wrong["expires"] = "A claim has to live a while."
    except InvalidInputError as error:
        wrong["expires"] = _words(error)
    try:
        model = hardware(sent["hardware"]) if sent.get("hardware") else None
    except InvalidInputError as error:
        wrong["hardware"] = _words(error)
    try:
        tags = frozenset(ids.name(word) for word in sent.get("tags", "").replace(",", " ").split())
        if len(tags) > MAX_TAGS:
            wrong["tags"] = f"{len(tags)} tags, {MAX_TAGS} are allowed."
    except InvalidInputError as error:
        wrong["tags"] = _words(error)
    if sent.get("approval") not in set(Approval):
        wrong["approval"] = "One of the two."
    if wrong or life is None:
        return None
    return NewEnrollment(label, int(quota), life, Approval(sent["approval"]), model, tags)


def _words(error: InvalidInputError | InvalidStateError | AlreadyExistsError | TooLargeError) -> str:
    words = error.message[:1].upper() + error.message[1:]
    return f"{words}. {error.hint}" if error.hint else f"{words}."
