"""A fleet: adds its devices to the server, brings them up, and takes them down again.

Thousands of devices live in one process: each is one task that sleeps in the event loop's heap of timers, and all
share one pool of connections. Nothing polls in a loop of its own.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from otaru.adapters.links.ddi import Credential, DdiLink, Wire, wire
from otaru.adapters.links.native_fleet import NativeFleetLink
from otaru.apps.simulator import model
from otaru.apps.simulator.api import Api, connected
from otaru.apps.simulator.device import Device, Surroundings
from otaru.apps.simulator.options import Plan, Road
from otaru.apps.simulator.report import Tally, fingerprint
from otaru.apps.simulator.scenario.life import ScenarioLife, nature
from otaru.domain.device import Hardware
from otaru.errors import UnavailableError

BATCH = 500
"""Devices added by one request."""
TOKENS_AT_ONCE = 16
WATCH_S = 1.0
"""How often the server is asked whether its rollouts go on."""
GOING_ON = frozenset({"scheduled", "running", "stopping"})
"""Rollouts in these states change without a person."""
OVER = frozenset({"finished", "stopped"})


@dataclass(slots=True)
class Course:
    """Whether rollouts still go on by themselves. Those that are over at the first look do not count."""

    _old: frozenset[int] | None = None

    def ended(self, rollouts: Iterable[Mapping[str, Any]]) -> bool:
        """Look at all rollouts: whether one that counts has begun, and none goes on."""
        states = {rollout["id"]: rollout["state"] for rollout in rollouts}
        over = frozenset(number for number, state in states.items() if state in OVER)
        self._old = over if self._old is None else self._old & over  # a retry makes an old one count
        begun = any(state not in {"draft", "planned"} for number, state in states.items() if number not in self._old)
        return begun and not GOING_ON.intersection(states.values())


@dataclass(slots=True)
class Fleet:
    """Devices that are up; `running` makes one."""

    plan: Plan
    tally: Tally
    devices: Sequence[Device]
    tokens: Mapping[str, str]
    """The devices' right tokens, also where a device comes with a wrong one."""
    api: Api | None
    _wire: Wire = field(repr=False)
    accident: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Fails with the first error that no device should die of: a defect of ours. Whoever runs a fleet waits for it."""

    def mourn(self, life: "asyncio.Task[None]") -> None:
        """Take note of a device's end."""
        if not life.cancelled() and (error := life.exception()) is not None and not self.accident.done():
            self.accident.set_exception(error)

    def stories(self) -> str:
        """One number for what all devices went through (`report.fingerprint`)."""
        return fingerprint((device.name, device.memory.story) for device in self.devices)

    def correct(self, device: Device) -> None:
        """Give a device with a wrong token its right one: from its next poll on it uses that."""
        device.link = _link(self.plan, self._wire, device.name, Credential.target(self.tokens[device.name]))

    async def settled(self) -> None:
        """Wait until no rollout goes on by itself, but one that was not over before has begun, and no device updates.

        A server that does not answer for a while is waited for.
        """
        if self.api is None:
            raise ValueError("only a fleet with an API token sees rollouts")
        course = Course()
        while True:
            try:
                page = await self.api.call("GET", "/rollouts", limit=100)
            except UnavailableError:
                self.tally.troubles["rollouts_unseen"] += 1
            else:
                if course.ended(page["items"]) and not any(d.updating for d in self.devices):
                    return
            await asyncio.sleep(WATCH_S)


@asynccontextmanager
async def running(plan: Plan, tokens: Mapping[str, str] | None = None) -> AsyncIterator[Fleet]:
    """Add the plan's devices, bring them up, and take them down at the end.

    `tokens` are those that devices have from before; a device that the server knows and that has none gets a new one.

    Raises:
        OtaruError: the devices cannot be added.
    """
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(connected(plan.server, plan.token, plan.trust)) if plan.token else None
        air = await stack.enter_async_context(
            wire(plan.server, plan.tenant, connections=plan.connections, trust=plan.trust)
        )
        tally = Tally(devices=plan.devices)
        people = {name: _character(plan, name) for name in plan.names()}
        enrolled = await _enroll(plan, server, people, dict(tokens or {}), tally)
        around = Surroundings(plan.speed, tally)
        began = asyncio.get_running_loop().time()
        wrong = set(plan.names()[plan.devices - plan.wrong_tokens :])
        devices = []
        for name, entry in enrolled.items():
            if name in wrong:
                credential = Credential.target(secrets.token_urlsafe())
            elif plan.gateway_token is not None:
                credential = Credential.gateway(plan.gateway_token)
            else:
                credential = Credential.target(entry.token)
            devices.append(
                Device(
                    name,
                    entry.me,
                    _life(plan, name, entry.me, began),
                    _link(plan, air, name, credential),
                    around,
                    entry.version,
                )
            )
        fleet = Fleet(plan, tally, devices, {n: e.token for n, e in enrolled.items()}, server, air)
        lives = [asyncio.create_task(device.live(), name=device.name) for device in devices]
        for life in lives:
            life.add_done_callback(fleet.mourn)
        try:
            yield fleet
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)


def _link(plan: Plan, air: Wire, name: str, credential: Credential) -> DdiLink:
    return air.link(name, credential) if plan.road is Road.DDI else NativeFleetLink(air, name, credential)


def _character(plan: Plan, name: str) -> model.Character:
    if plan.scenario is not None:
        return nature(plan.scenario, name).me
    return model.character(plan.seed, name, plan.hardware, plan.odds)


def _life(plan: Plan, name: str, me: model.Character, began: float) -> model.Life:
    if plan.scenario is None:
        return model.PlainLife(plan.seed, name, me, plan.odds, plan.stagger_s)
    time = asyncio.get_running_loop().time
    return ScenarioLife(plan.scenario, name, nature(plan.scenario, name), lambda: (time() - began) * plan.speed)


@dataclass(frozen=True, slots=True)
class _Enrolled:
    me: model.Character
    token: str
    version: str


async def _enroll(
    plan: Plan, server: Api | None, people: Mapping[str, model.Character], tokens: dict[str, str], tally: Tally
) -> dict[str, _Enrolled]:
    """Make the devices known to the server; without an API token they register themselves by their first poll."""
    version = next(iter(plan.installed.values()), "")
    versions = dict.fromkeys(people, version)
    people = dict(people)
    if server is not None:
        taken = await _add(plan, server, people, tokens, tally)
        if taken:
            async for known in server.every("/devices", q=f"id=='{plan.prefix}*'"):
                if (name := known["id"]) in taken:
                    versions[name] = next((i["version"] for i in known["installed"]), version)
                    people[name] = replace(people[name], hardware=_hardware(known["hardware"]))
        await _replace_tokens(server, taken - tokens.keys() if plan.gateway_token is None else set(), tokens)
    return {name: _Enrolled(me, tokens.get(name, ""), versions[name]) for name, me in people.items()}


async def _add(
    plan: Plan, server: Api, people: Mapping[str, model.Character], tokens: dict[str, str], tally: Tally
) -> set[str]:
    """Add the devices, keep their tokens, and return those that were there already."""
    taken: set[str] = set()
    names = list(people)
    for start in range(0, len(names), BATCH):
        body = [
            {
                "id": name,
                "hardware": str(people[name].hardware),
                "tags": list(plan.tags),
                "installed": dict(plan.installed),
            }
            for name in names[start : start + BATCH]
        ]
        answer = await server.call("POST", "/devices/batch", {"devices": body})
        tokens.update((added["id"], added["token"]) for added in answer["added"])
        tally.added += len(answer["added"])
        taken.update(answer["taken"])
    return taken


async def _replace_tokens(server: Api, names: set[str], tokens: dict[str, str]) -> None:
    gate = asyncio.Semaphore(TOKENS_AT_ONCE)

    async def renew(name: str) -> None:
        async with gate:
            tokens[name] = (await server.call("POST", f"/devices/{name}/token", {}))["token"]

    await asyncio.gather(*map(renew, sorted(names)))


def _hardware(text: str) -> Hardware:
    model_name, _, revision = text.partition(":")
    return Hardware(model_name, revision)
