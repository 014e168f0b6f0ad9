"""The overview: what needs a hand, what is running, how the fleet is; and the halt of everything."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.happening import actor
from otaru.apps.console.login import inside
from otaru.apps.console.rendering import link, shares
from otaru.apps.console.rollout_words import BAD
from otaru.apps.console.rollout_words import devices as counted
from otaru.apps.console.status import Tone, look
from otaru.apps.console.telling.sentence import Thing, rollout_page
from otaru.domain import fleet as lists
from otaru.domain.deployment import FINAL, State
from otaru.domain.device import Lifecycle
from otaru.domain.rollout import Rollout, RolloutState, WaveState
from otaru.domain.tenant import Tenant
from otaru.domain.units import span
from otaru.services.control import fleet, tenants
from otaru.services.control.fleet import History, Stall, Standing, Summary

DAYS = 30
YOUNG_DAYS = 2
"""A fleet that is not older is shown hour by hour."""
MIN_TIMES = 3
MAX_SERIES = 6
"""Versions drawn in colours of their own; the others are one."""
REST = "other versions"
AWAITED_NAMED = 3
UNREACHED = "No device of its open wave has been told yet: do they poll?"


@dataclass(frozen=True, slots=True)
class Need:
    """Something that waits for a person."""

    tone: Tone
    what: Thing
    words: str
    why: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A rollout under way."""

    rollout: Rollout
    tones: Counter[str]
    ended: float
    """The share of members that have ended."""
    failed: int
    wave: int
    """The number of the wave under way."""


@dataclass(frozen=True, slots=True)
class Running:
    """A version, how many devices run it, and its colour in the chart."""

    version: str
    devices: int
    colour: str
    target: str
    """Who they are."""


async def show(call: Call) -> Response:
    """What needs a hand, what is running, how the fleet is."""
    summary = await fleet.summary(call.world, call.tenant)
    begun = await fleet.begun(call.world, call.tenant)
    tenant = await tenants.get(call.world, call.tenant)
    stalls = [] if tenant.halted else await fleet.stalled(call.world, call.tenant, summary, tenant.settings.polling)
    components = _components(summary)
    component = call.asked("component")
    if component not in components:
        component = components[0] if components else ""
    history = await _history(call, component)
    running = _running(summary, component)
    return await call.show(
        "overview.html",
        summary=summary,
        lists=lists,
        begun=begun,
        needs=_needs(summary, tenant, stalls, call),
        lines=[_line(standing) for standing in summary.active],
        components=components,
        component=component,
        versions=list(zip(running, shares([line.devices for line in running]), strict=True)),
        total=sum(line.devices for line in running),
        chart=_chart(history, component, running) if len(history.times) >= MIN_TIMES else None,
        span=span(history.times[-1] - history.times[0]),
    )


async def halt(call: Call) -> Response:
    """Hold every rollout at once."""
    await tenants.halt(call.world, call.tenant, call.actor, (await call.fields()).get("reason", ""))
    return call.lead("/")


async def lift(call: Call) -> Response:
    """End the halt, and lead back to the page from which that was done."""
    back = inside((await call.fields()).get("back", ""))
    await tenants.lift(call.world, call.tenant, call.actor)
    return call.lead(back)


def _needs(summary: Summary, tenant: Tenant, stalls: Sequence[Stall], call: Call) -> list[Need]:
    """What waits for a person, the worst first."""
    needs = []
    if tenant.halted:
        halted = Thing("Everything is halted", "/events?kind=access")
        needs.append(Need(Tone.FAILED, halted, "", tenant.halt_reason))
    needs += [Need(Tone.FAILED, _named(r), "stopped by its rule", r.reason, r.ended_at) for r in summary.stopped]
    for standing in summary.active:
        if standing.rollout.state is RolloutState.PAUSED:
            needs.append(_paused(standing.rollout))
        elif not tenant.halted and (
            since := _unmoved(standing, summary.at - tenant.settings.polling * fleet.STUCK_POLLS)
        ):
            needs.append(Need(Tone.HELD, _named(standing.rollout), "reaches nobody", UNREACHED, since))
    needs += [_asking(rollout, own(rollout, tenant, call)) for rollout in summary.asking]
    needs += [_stalled(stall) for stall in stalls]
    waiting = (
        (
            summary.of(Lifecycle.QUARANTINED),
            "in quarantine",
            "Nothing is offered to them until they are released.",
            lists.QUARANTINED,
        ),
        (
            summary.of(Lifecycle.PENDING),
            "to be accepted",
            "They came by themselves and are offered nothing yet.",
            "",
        ),
        (summary.awaiting, "awaiting consent", "Their owners have been asked.", lists.AWAITING),
    )
    for number, words, why, target in waiting:
        if number:
            address = link("/devices", q=target) if target else "/enrollments"
            needs.append(Need(Tone.HELD, Thing(counted(number), address), words, why))
    return needs


def _unmoved(standing: Standing, before: datetime) -> datetime | None:
    """Since when the open wave is open, where that was before `before` and none of its members has been told yet."""
    rollout = standing.rollout
    opened = [wave for wave in rollout.waves if wave.opened_at is not None]
    if rollout.state is not RolloutState.RUNNING or rollout.policy.window is not None or not opened:
        return None
    last, tally = opened[-1], standing.tallies.get(opened[-1].index)
    if tally is None or last.opened_at is None or last.opened_at > before:
        return None
    return last.opened_at if tally.members == tally.of(State.SCHEDULED) > 0 else None


def own(rollout: Rollout, tenant: Tenant, call: Call) -> bool:
    """Whether the visitor planned it, where that means that somebody else approves it."""
    return tenant.settings.four_eyes and rollout.created_by == call.actor.name


def _asking(rollout: Rollout, mine: bool) -> Need:
    wave = rollout.unapproved
    what = f"wave {wave.index + 1}, {counted(wave.size)}" if wave else f"its start, {counted(rollout.size)}"
    words = f"waits for {'approval by somebody else' if mine else 'approval'} of {what}"
    planned = "you planned it" if mine else f"{actor(rollout.created_by)} planned it" if rollout.created_by else ""
    return Need(Tone.HELD, _named(rollout), words, planned[:1].upper() + planned[1:], rollout.created_at)


def _stalled(stall: Stall) -> Need:
    number, named = len(stall.awaited), ", ".join(stall.awaited[:AWAITED_NAMED])
    which = f"{number:,} devices, none of which polls" if number > 1 else "a device that does not poll"
    why = f"Wave {stall.wave.index + 1} waits for {which}: {named}{' …' if number > AWAITED_NAMED else ''}"
    return Need(Tone.HELD, _named(stall.rollout), "stands still", why, stall.wave.opened_at)


def _paused(rollout: Rollout) -> Need:
    failed = next((wave for wave in rollout.waves if wave.state is WaveState.FAILED), None)
    # The rollout's own reason names the wave too; a person's need not.
    why = rollout.reason or (f"wave {failed.index + 1}: {failed.reason}" if failed else "")
    words = "paused" if failed is None else f"paused in wave {failed.index + 1}"
    return Need(
        Tone.FAILED if failed else Tone.HELD,
        _named(rollout),
        words,
        why.removeprefix(f"wave {failed.index + 1}: ") if failed else why,
    )


def _named(rollout: Rollout) -> Thing:
    page = rollout_page(rollout.id)
    return Thing(f"{page.words.capitalize()} · {rollout.product} {rollout.version}", page.address)


def _line(standing: Standing) -> Line:
    states: Counter[State] = Counter()
    for tally in standing.tallies.values():
        states.update(tally.counts)
    tones: Counter[str] = Counter()
    for state, members in states.items():
        tones[look(state).tone] += members
    rollout, present = standing.rollout, standing.rollout.wave
    ended = sum(states[state] for state in FINAL)
    return Line(
        rollout,
        tones,
        ended / rollout.size if rollout.size else 0.0,
        sum(states[state] for state in BAD),
        len(rollout.waves) if present is None else present.index + 1,
    )


def _components(summary: Summary) -> list[str]:
    """What runs in the fleet, on most devices first."""
    devices: Counter[str] = Counter()
    for (component, _), number in summary.counts.versions.items():
        devices[component] += number
    return [component for component, _ in sorted(devices.items(), key=lambda item: (-item[1], item[0]))]


def _running(summary: Summary, component: str) -> list[Running]:
    """The versions of a component, on most devices first."""
    of_it = [(version, n) for (name, version), n in summary.counts.versions.items() if name == component]
    frequent = sorted(of_it, key=lambda item: (-item[1], item[0]))
    named = [
        Running(version, n, f"series-{at}", lists.running(component, version))
        for at, (version, n) in enumerate(frequent[:MAX_SERIES], start=1)
    ]
    rest = sum(n for _, n in frequent[MAX_SERIES:])
    others = lists.running_others(component, [line.version for line in named])
    return [*named, Running(REST, rest, "series-rest", others)] if rest else named


async def _history(call: Call, component: str) -> History:
    """What ran when, from just before the first device said so."""
    found = _begun(await fleet.versions(call.world, call.tenant, DAYS), component)
    if found.times[-1] - found.times[0] > timedelta(days=YOUNG_DAYS):
        return found
    return _begun(await fleet.versions(call.world, call.tenant, YOUNG_DAYS), component)


def _begun(history: History, component: str) -> History:
    """A history without the time in which nothing was known of a component."""
    sums = [sum(at) for at in zip(*(d for (name, _), d in history.versions.items() if name == component), strict=True)]
    first = max(next((at for at, known in enumerate(sums) if known), len(history.times)) - 1, 0)
    return History(history.times[first:], {key: devices[first:] for key, devices in history.versions.items()})


def _chart(history: History, component: str, running: Sequence[Running]) -> dict[str, str]:
    """What `<otaru-chart>` draws: the versions in the order of the list, what runs no more among the rest."""
    named = {line.version: line.colour for line in running if line.version != REST}
    rest = [0] * len(history.times)
    drawn: dict[str, Sequence[int]] = {}
    for (name, version), devices in history.versions.items():
        if name != component:
            continue
        if version in named:
            drawn[version] = devices
        else:
            rest = [a + b for a, b in zip(rest, devices, strict=True)]
    series = [{"label": v, "values": drawn[v], "colour": f"--{colour}"} for v, colour in named.items() if v in drawn]
    if any(rest):
        series.append({"label": REST, "values": rest, "colour": "--series-rest"})
    times = [int(time.timestamp()) for time in history.times]
    return {"times": json.dumps(times), "series": json.dumps(series)}
