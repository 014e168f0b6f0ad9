"""Rollouts: the list, one of them with its orders, and its devices."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response

from otaru.apps.console import policy_words, rollout_words
from otaru.apps.console.call import Call
from otaru.apps.console.happening import GROUPS, told
from otaru.apps.console.rendering import link, segment
from otaru.apps.console.rollout_fields import to_come
from otaru.apps.console.rollout_form import words
from otaru.apps.console.verdict_plot import plot, shown
from otaru.domain.deployment import FAILURES, FINAL, OPEN, RETRIABLE, State
from otaru.domain.events import START
from otaru.domain.evidence import Said, Tally
from otaru.domain.ids import RolloutId, device_id
from otaru.domain.rollout import PERSONS, ROLLOUT, RolloutEvent, RolloutState
from otaru.errors import (
    ForbiddenError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    NothingToDoError,
    OtaruError,
    PreconditionFailedError,
)
from otaru.services.control import bundles, judging, rollback, rollouts, survey

PAGE = 50
DEVICES = 100
TIMELINE = 40
SILENT_NAMED = 3
STICKS = 5
"""Bundles that are shown, the newest."""
PLOTTED = 500
"""The newest findings of a sequential judge that its picture shows."""
UNHEARD = 500
"""Members that nobody has heard of are counted up to here."""
SEGMENTS = 12
"""Segments that are shown at once, the held and the bad ones first."""
AMONG = 2000
"""Failures of each state that are asked for their reasons, each time the page is renewed."""
MAX_NUMBER = 2**31 - 1
MAX_REASON = 500

ACTIVE = tuple(s for s in RolloutState if s not in ROLLOUT.final)
FILTERS: Mapping[str, tuple[str, tuple[RolloutState, ...]]] = {
    "": ("All", ()),
    "active": ("Active", ACTIVE),
    "finished": ("Finished", (RolloutState.FINISHED,)),
    "stopped": ("Stopped", (RolloutState.STOPPED,)),
}
"""By name in the address; one state by its own name is understood too."""


async def index(call: Call) -> Response:
    """All rollouts, newest first."""
    chosen = call.asked("state")
    states = _states(chosen)
    before = call.asked("before")
    after = RolloutId(_number(before)) if before else None
    found = await survey.rollouts(call.world, call.tenant, states, after, PAGE + 1, among=0)
    lines = [rollout_words.line(progress) for progress in found[:PAGE]]
    following = link("/rollouts", state=chosen, before=lines[-1].rollout.id) if len(found) > PAGE else ""
    filters = dict(FILTERS) if chosen in FILTERS else {**FILTERS, chosen: (chosen.replace("_", " ").capitalize(), ())}
    return await call.show(
        "rollouts.html",
        lines=lines,
        chosen=chosen,
        filters=filters,
        first=link("/rollouts", state=chosen) if before else "",
        following=following,
    )


async def show(call: Call) -> Response:
    """One rollout."""
    return await _page(call, asked_for(call))


async def order(call: Call) -> Response:
    """Start, pause, resume, stop, or give failed members another attempt."""
    rollout = asked_for(call)
    fields = await call.lists()
    try:
        await _obey(call, rollout, fields)
    except (ForbiddenError, InvalidInputError, InvalidStateError, NothingToDoError, PreconditionFailedError) as error:
        return await _page(call, rollout, error)
    return call.lead(f"/rollouts/{rollout}")


async def devices(call: Call) -> Response:
    """The members of a rollout, by device."""
    rollout = asked_for(call)
    asked = call.request.query_params.getlist("state")[: len(State)]
    after, wave = call.asked("after"), _wave(call.asked("wave"))
    first = device_id(after) if after else None
    progress = await rollouts.progress(call.world, call.tenant, rollout, among=0)
    at = None if wave is None else wave - 1
    members = await survey.members(call.world, call.tenant, rollout, _members_in(asked), first, DEVICES + 1, at)
    here = f"/rollouts/{rollout}/devices"
    shown = members[:DEVICES]
    return await call.show(
        "rollout_devices.html",
        rollout=progress.rollout,
        tally=rollout_words.together(progress) if at is None else progress.tallies.get(at, Tally({})),
        wave=wave,
        groups=rollout_words.GROUPS,
        members=shown,
        final=FINAL,
        asked=asked,
        after=after,
        first=link(here, state=asked or None, wave=wave) if after else "",
        following=link(here, state=asked or None, wave=wave, after=shown[-1].device) if len(members) > DEVICES else "",
    )


async def cancel(call: Call) -> Response:
    """Have one member not do it."""
    rollout = asked_for(call)
    fields = await call.lists()
    query = {"state": fields.get("state") or None, "wave": _last(fields, "wave"), "after": _last(fields, "after")}
    back = link(f"/rollouts/{rollout}/devices", **query)
    device = device_id(call.step("device"))
    force = _last(fields, "force") != ""
    await rollouts.cancel(call.world, call.tenant, call.actor, rollout, device, force=force)
    return call.lead(f"/devices/{segment(device)}" if _last(fields, "from") == "device" else back)


def _states(chosen: str) -> tuple[RolloutState, ...]:
    if chosen in FILTERS:
        return FILTERS[chosen][1]
    if chosen in set(RolloutState):
        return (RolloutState(chosen),)
    raise InvalidInputError(f"{chosen[:40]!r} is no state of a rollout", hint=f"There are {', '.join(RolloutState)}.")


def _members_in(asked: list[str]) -> frozenset[State]:
    """The states that an address names, by their own names or those of groups; none of them is all."""
    groups = {group.name: group.states for group in rollout_words.GROUPS}
    states: set[State] = set()
    for name in asked:
        if name not in groups and name not in set(State):
            raise InvalidInputError(f"{name[:40]!r} is no state of a device", hint=f"There are {', '.join(State)}.")
        states |= groups.get(name) or {State(name)}
    return frozenset(states)


def _wave(text: str) -> int | None:
    """The wave that an address names, counted from 1; None is all."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text)):
        raise InvalidInputError(f"{text[:40]!r} is no wave", hint="Waves are counted from 1.")
    return int(text)


def asked_for(call: Call) -> RolloutId:
    """Which rollout the address names. Raises NotFoundError."""
    return RolloutId(_number(call.step("rollout")))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 10 and int(text) <= MAX_NUMBER):
        raise NotFoundError(f"there is no rollout {text[:40]}")
    return int(text)


async def _page(call: Call, rollout: RolloutId, refused: OtaruError | None = None) -> Response:
    progress, ruling = await rollouts.judged(call.world, call.tenant, rollout, among=AMONG)
    # A device may be called as the rollout is: what happened to it stands under the same name.
    happened = await survey.events(
        call.world, call.tenant, START, TIMELINE, str(rollout), newest=True, kinds=GROUPS["rollouts"][1]
    )
    sequential = progress.rollout.policy.sequential is not None
    said = (
        [s for _, s in await judging.verdicts(call.world, call.tenant, rollout, None, PLOTTED, None)]
        if sequential
        else []
    )
    if said and progress.rollout.state is RolloutState.RUNNING:
        said = [Said(call.world.clock.now(), ruling.findings[0]), *said]
    waits = await _waits(call, progress)
    retriable = _retriable(progress)
    line, standings = rollout_words.line(progress), rollout_words.standings(progress, ruling)
    return await call.show(
        "rollout.html",
        _status(refused),
        refused="" if refused is None else _refusal(refused),
        line=line,
        rollout=progress.rollout,
        tally=line.tally,
        why=rollout_words.why(progress, ruling),
        waits=waits,
        groups=rollout_words.GROUPS,
        standings=standings,
        near=rollout_words.near(standings),
        alike=rollout_words.alike(progress, ruling),
        exposed=rollout_words.exposed(line.tally),
        forecast=rollout_words.forecast(progress, call.now),
        said=said,
        plot=plot(said),
        e_value=shown,
        shown_segments=SEGMENTS,
        holding=rollouts.segments_move(progress.rollout),
        failures=progress.failures,
        among=AMONG if any(line.tally.of(state) > AMONG for state in rollout_words.BAD) else 0,
        policy=list(policy_words.policy_words(progress.rollout)),
        resumed=rollout_words.resumed(progress.rollout),
        retriable=retriable,
        again=sum(n for state, n in retriable if state in FAILURES),
        preset=FAILURES,
        allowed=rollouts.allowed(progress.rollout, call.world.clock.now()),
        taken=rollout_words.taken(progress),
        ordering=rollout_words.ordering(progress, call.world.clock.now()),
        rolled_back_by=progress.rolled_back_by,
        sticks=await bundles.page(call.world, call.tenant, rollout, STICKS),
        happened=[told(recorded) for recorded in happened],
    )


async def _waits(call: Call, progress: rollouts.Progress) -> rollout_words.Waits | None:
    """What a rollout that runs waits for; None where it waits for nobody."""
    of_wave = rollout_words.awaited(progress)
    if of_wave is None:
        return None
    wave, tally = of_wave
    rollout, at = progress.rollout, None if wave is None else wave.index
    silent = await survey.unheard(call.world, call.tenant, rollout.id, at, UNHEARD, AMONG)
    everybody = rollout_words.together(progress)
    # Who is not among those looked at may be silent too.
    more = len(silent) >= UNHEARD or any(everybody.of(state) > AMONG for state in State if state not in FINAL)
    return rollout_words.Waits(tally.of(State.SCHEDULED), tally.of(*OPEN), len(silent), silent[:SILENT_NAMED], more)


def _retriable(progress: rollouts.Progress) -> list[tuple[State, int]]:
    """In which states members could be given another attempt now, and how many are."""
    if progress.rollout.state not in rollouts.RETRIED_IN:
        return []
    tally = rollout_words.together(progress)
    return [(state, n) for state in State if state in RETRIABLE and (n := tally.of(state))]


def _status(refused: OtaruError | None) -> int:
    match refused:
        case None:
            return 200
        case PreconditionFailedError():
            return 412
        case InvalidInputError():
            return 422
        case ForbiddenError():
            return 403
        case _:
            return 409


def _refusal(error: OtaruError) -> str:
    if isinstance(error, PreconditionFailedError):
        return "The rollout had changed before your order arrived, so nothing was done. Below it is as it is now."
    return f"Nothing was done. {words(error)}"


async def _obey(call: Call, rollout: RolloutId, fields: Mapping[str, list[str]]) -> None:
    wanted, reason, edition = _last(fields, "order"), _last(fields, "reason"), _last(fields, "edition")
    if not (edition.isascii() and edition.isdigit() and len(edition) <= 10):
        raise InvalidInputError("the order does not say which edition of the rollout it is for")
    if len(reason) > MAX_REASON or any(sign < " " for sign in reason):
        raise InvalidInputError(f"a reason is one line of at most {MAX_REASON} characters")
    if wanted in _ACTS:
        await _ACTS[wanted](call, rollout, fields, reason, int(edition))
    elif wanted in PERSONS:
        event = RolloutEvent(wanted)
        await rollouts.order(call.world, call.tenant, call.actor, rollout, event, reason=reason, edition=int(edition))
    else:
        raise InvalidInputError(f"{wanted[:40]!r} is no order")


async def _retry(call: Call, rollout: RolloutId, fields: Mapping[str, list[str]], reason: str, edition: int) -> None:
    known = set(RETRIABLE)
    states = {State(name) for name in fields.get("state", []) if name in known}
    if not states:
        raise NothingToDoError("no state was chosen")
    await rollouts.retry(call.world, call.tenant, call.actor, rollout, states, reason=reason, edition=edition)


async def _roll_back(
    call: Call, rollout: RolloutId, fields: Mapping[str, list[str]], reason: str, edition: int
) -> None:
    del fields
    await rollback.roll_back(call.world, call.tenant, call.actor, rollout, reason=reason, edition=edition)


async def _hold(call: Call, rollout: RolloutId, fields: Mapping[str, list[str]], reason: str, edition: int) -> None:
    act = rollouts.hold_segment if _last(fields, "order") == "hold" else rollouts.release_segment
    index = _segment(_last(fields, "segment"))
    await act(call.world, call.tenant, call.actor, rollout, index, reason=reason, edition=edition)


async def _install(call: Call, rollout: RolloutId, fields: Mapping[str, list[str]], reason: str, edition: int) -> None:
    who, when = (call.world, call.tenant, call.actor, rollout), _last(fields, "when")
    match when:
        case "now" | "window":
            await rollouts.install(*who, in_window=when == "window", reason=reason, edition=edition)
        case "at":
            at = to_come(call.world.clock.now())(_last(fields, "at"))
            await rollouts.install(*who, at, reason=reason, edition=edition)
        case _:
            raise InvalidInputError("the order does not say when it is to be installed")


async def _withdraw(call: Call, rollout: RolloutId, fields: Mapping[str, list[str]], reason: str, edition: int) -> None:
    del fields
    await rollouts.withdraw(call.world, call.tenant, call.actor, rollout, reason=reason, edition=edition)


_Act = Callable[[Call, RolloutId, Mapping[str, list[str]], str, int], Awaitable[None]]
_ACTS: Mapping[str, _Act] = {
    "retry": _retry,
    "rollback": _roll_back,
    "hold": _hold,
    "release": _hold,
    "install": _install,
    "withdraw": _withdraw,
}
"""Orders that are no moves of the rollout itself."""


def _segment(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise InvalidInputError("the order does not say for which segment it is")
    return int(text)


def _last(fields: Mapping[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[-1].strip()
