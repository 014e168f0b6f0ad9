"""Tells a scenario at virtual time, against a whole server inside this process.

The server's part is not played: store, registry, rules, judge and worker are those of `otaru serve`, over an SQLite file
in a temporary folder; only HTTP is left out, and the clock is the story's. Devices live on a heap of moments. All that
is due in one minute of the story happens together, so that what is written meets in few commits.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from otaru.adapters.blobs.local import LocalBlobs
from otaru.adapters.bus.local import LocalBus
from otaru.adapters.clock import SystemClock
from otaru.adapters.contacts import Contact, record_contacts
from otaru.adapters.differ.process import ProcessDiffer
from otaru.adapters.director.local import LocalDirector
from otaru.adapters.inspector.process import ProcessInspector
from otaru.adapters.judges.policy import PolicyJudge
from otaru.adapters.notary import FolderNotary
from otaru.adapters.registry import open_registry
from otaru.adapters.signers.file import FolderKeyring
from otaru.adapters.sql.migrate import upgrade
from otaru.adapters.sql.store import open_store
from otaru.apps.server.api.models.rollouts import RolloutIn
from otaru.apps.simulator import model
from otaru.apps.simulator.run import runner
from otaru.apps.simulator.scenario.account import Account
from otaru.apps.simulator.scenario.life import ScenarioLife, nature
from otaru.apps.simulator.scenario.script import BEGINNING, Scenario
from otaru.domain.deployment import Event, Report, State
from otaru.domain.health import Kind, Told
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, TenantId, Version
from otaru.domain.rollout import RolloutState
from otaru.errors import InvalidInputError
from otaru.ports.store import Tx
from otaru.services.control import artifacts, devices, feedback, health, releases, rollouts, tenants
from otaru.services.control.desk import Desk
from otaru.services.control.devices import NewDevice
from otaru.services.control.listening import listen
from otaru.services.control.looks import Looks
from otaru.services.control.poll import Due, poll
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.stepping import step_due
from otaru.services.control.trials import end_trials
from otaru.services.control.world import SYSTEM, World

TENANT = TenantId("DEFAULT")
TICK_S = 60.0
AT_ONCE = 500
"""Devices that act together: what they write meets in one commit."""
ENDED = frozenset({RolloutState.FINISHED, RolloutState.STOPPED})


class StoryClock(SystemClock):
    """The story's time; chance from the scenario's seed where it decides who is first."""

    def __init__(self, seed: int) -> None:
        """Begin at the beginning."""
        super().__init__()
        self.at_s = 0.0
        self._seed = seed

    def now(self) -> datetime:
        """The story's time."""
        return BEGINNING + timedelta(seconds=self.at_s)

    def seed(self) -> int:
        """The same draw in every telling."""
        return self._seed


@dataclass(slots=True)
class _Device:
    """A device in the story."""

    name: DeviceId
    life: ScenarioLife
    contacts: int = 0
    steps: Iterator[model.Step] | None = None
    action: ActionId = ActionId(0)  # noqa: RUF009 - a number
    holds: bool = False
    """Whether it has downloaded, and waits to be told to install."""
    said: int = 0
    heard_s: float = 0.0
    """When it told of its health last."""
    asked_at_s: float | None = None
    """When the server wants it to come again, where it said so."""


@dataclass(slots=True)
class Horizon:
    """A story under way."""

    scenario: Scenario
    world: World
    clock: StoryClock
    account: Account
    rollout: RolloutId
    _heap: list[tuple[float, int]] = field(default_factory=list)
    _devices: Sequence[_Device] = ()
    _heard: list[Contact] = field(default_factory=list)
    _looks: Looks = field(default_factory=Looks)

    async def tell(self, heard: Callable[[Account], object]) -> Account:
        """The whole story; `heard` is called each hour of it."""
        self._devices = [_Device(DeviceId(name), self._life(name)) for name in self.scenario.names()]
        self._heap = [(device.life.comes_up_s(), index) for index, device in enumerate(self._devices)]
        heapify(self._heap)
        next_hour = 0.0
        while self.clock.at_s < self.scenario.until_s:
            if self.clock.at_s >= next_hour:
                await self._look(heard)
                if self._judged:
                    await self._listen()
                next_hour += 3600
            await self._minute()
            if self._tried:
                await self._try()
            while await step_due(self.world, self._looks):
                pass
            self.clock.at_s += TICK_S
            if await self._is_over():
                break
        await self._look(heard)
        return self.account

    @property
    def _tried(self) -> bool:
        """Whether it matters to the minute who was heard of: contacts are written behind, which here may be days."""
        return bool(self.scenario.rollout.get("validate_s"))

    @property
    def _judged(self) -> bool:
        """Whether it matters to the hour."""
        return self.scenario.rollout.get("judge") == "sequential"

    async def _try(self) -> None:
        """Write who was heard of, and end the trials that are over."""
        await self._hear()
        await end_trials(self.world)

    async def _listen(self) -> None:
        """Write who was heard of, and see who is not any more."""
        await self._hear()
        await listen(self.world)

    async def _hear(self) -> None:
        heard, self._heard = self._heard, []
        if heard:
            await self.world.store.write(record_contacts, heard)

    def _life(self, name: str) -> ScenarioLife:
        return ScenarioLife(self.scenario, name, nature(self.scenario, name), lambda: self.clock.at_s)

    async def _look(self, heard: Callable[[Account], object]) -> None:
        progress = await rollouts.progress(self.world, TENANT, self.rollout, among=0)
        self.account.take([device.life for device in self._devices])
        self.account.brought_back = await self._brought_back()
        rollout, whole = progress.rollout, progress.evidence.whole
        counts = {str(state): members for state, members in whole.counts.items() if members}
        held = tuple(segment.name for segment in rollout.segments if segment.held)
        self.account.hour(self.clock.at_s, str(rollout.state), rollout.reason, counts, held)
        heard(self.account)

    async def _brought_back(self) -> int:
        """Devices that a rollback has brought back."""

        def look(tx: Tx) -> int:
            back = tx.rollouts.rolling_back(TENANT, [self.rollout]).get(self.rollout, [])
            return sum(tx.rollouts.evidence(TENANT, one).whole.of(State.SUCCEEDED) for one in back)

        return await self.world.store.glance(look)

    async def _is_over(self) -> bool:
        """Whether the rollout has ended, and whatever brings its devices back."""

        def look(tx: Tx) -> bool:
            back = tx.rollouts.rolling_back(TENANT, [self.rollout]).get(self.rollout, [])
            known = (tx.rollouts.get(TENANT, one) for one in (self.rollout, *back))
            return all(rollout is not None and rollout.state in ENDED for rollout in known)

        return await self.world.store.glance(look)

    async def _minute(self) -> None:
        until = self.clock.at_s + TICK_S
        while self._heap and self._heap[0][0] < until:
            due: list[int] = []
            while self._heap and self._heap[0][0] < until and len(due) < AT_ONCE:
                due.append(heappop(self._heap)[1])
            again = await asyncio.gather(*(self._turn(self._devices[index]) for index in due))
            for index, at_s in zip(due, again, strict=True):
                if at_s is not None:
                    heappush(self._heap, (max(at_s, until), index))

    async def _turn(self, device: _Device) -> float | None:
        """What a device does at its moment, and when it acts next; None: never again."""
        now_s = self.clock.at_s
        if device.life.gone():
            return None
        if away_s := device.life.away_s(device.contacts):
            return now_s + away_s
        device.contacts += 1
        await self._tell(device)
        if device.steps is not None and (rest_s := await self._go_on(device)) is not None:
            return now_s + rest_s
        if device.steps is None and await self._ask(device):
            return now_s
        return now_s + self._until_next_s(device)

    def _until_next_s(self, device: _Device) -> float:
        """How long until it polls again: by its own habit, or as the server asked."""
        own_s = device.life.until_next_s(device.contacts, 0.0)
        return own_s if device.asked_at_s is None else min(own_s, device.asked_at_s - self.clock.at_s)

    async def _tell(self, device: _Device) -> None:
        """What it has to tell of its health since it was heard last."""
        crashes = device.life.crashes(device.heard_s, device.contacts) if self.scenario.ails else 0
        device.heard_s, device.asked_at_s = self.clock.at_s, None
        told = [Told(f"{device.contacts}-{n}", Kind.CRASH, "the main task crashed") for n in range(crashes)]
        if self.scenario.telemetry or self.scenario.drains:
            holds = device.life.battery(device.contacts)
            told += [] if holds is None else [Told(f"{device.contacts}-b", Kind.SAMPLE, name="battery", value=holds)]
        if told:
            await health.tell(self.world, TENANT, device.name, told)
            self.account.crashes += crashes

    async def _poll(self, device: _Device) -> Due | None:
        tenant = await self.world.registry.tenant(TENANT)
        entry = await self.world.registry.device(TENANT, device.name)
        if tenant is None or entry is None:
            raise LookupError(device.name)
        self.account.polls += 1
        if self._tried or self._judged:
            self._heard.append((TENANT, device.name, self.clock.now(), ""))
        else:
            self.world.registry.touch(TENANT, device.name, self.clock.now(), "")
        entry, told, ask_at = await poll(self.world, tenant, entry)
        open_ = entry.subject.open
        device.holds = (
            told is None and open_ is not None and (open_.action, open_.state) == (device.action, State.DOWNLOADED)
        )
        device.asked_at_s = None if ask_at is None else (ask_at - BEGINNING).total_seconds()
        return told

    async def _ask(self, device: _Device) -> bool:
        """Poll; whether there is something to do."""
        told = await self._poll(device)
        if told is None:
            return False
        membership = told.membership
        if membership.state is State.CANCELLING:
            await self._say(device, membership.action, Event.CANCEL_DONE, "Cancelled; nothing was changed.")
            return False
        if membership.state in {State.AWAITING_CONSENT, State.POSTPONED}:
            await self._say(device, membership.action, Event.CONSENT, "The owner says yes.")
            return True
        device.action = membership.action
        device.steps = device.life.steps(membership.action, told.plan.release.version)
        self.account.bytes += self.scenario.size
        return True

    async def _go_on(self, device: _Device) -> float | None:
        """Take steps until one takes time: how long; None at the end of them."""
        steps = device.steps
        while steps is not None and (step := next(steps, None)) is not None:
            match step:
                case model.Say():
                    await self._say(device, device.action, _MEANS[step.word], step.sentence)
                case model.Load() | model.Rest() | model.Restart():
                    return step.takes_s if isinstance(step, model.Load) else step.span_s
                case model.Ask():
                    told = await self._poll(device)
                    if device.holds:
                        device.steps = chain([step], steps)
                        return self._until_next_s(device)
                    if told is None or told.membership.action != device.action or _is_taken_back(told):
                        break
                case model.Check():
                    pass
        device.steps = None
        return None

    async def _say(self, device: _Device, action: ActionId, event: Event, words: str) -> None:
        device.said += 1
        digest = f"{device.name}/{device.said}".encode()
        report = Report(device.name, action, self.clock.now(), event, str(event), "", (words,), digest)
        await feedback.report(self.world, TENANT, report)
        self.account.reports += 1


_MEANS = {
    model.Word.DOWNLOADING: Event.DOWNLOAD,
    model.Word.DOWNLOADED: Event.DOWNLOAD_DONE,
    model.Word.INSTALLING: Event.INSTALL,
    model.Word.REBOOTING: Event.REBOOT,
    model.Word.SUCCEEDED: Event.SUCCEED,
    model.Word.FAILED: Event.FAIL,
}


def _is_taken_back(told: Due) -> bool:
    return told.membership.state is State.CANCELLING


def tell(scenario: Scenario, heard: Callable[[Account], object], folder: Path | None = None) -> Account:
    """Tell a whole story; `heard` is called each hour of it. Its data stay in `folder`, where one is given.

    Raises:
        InvalidInputError: the rollout makes no sense, as the REST API says it.
    """

    async def whole() -> Account:
        async with prepared(scenario, folder) as horizon:
            return await horizon.tell(heard)

    with runner() as loop:
        return loop.run(whole())


@asynccontextmanager
async def prepared(scenario: Scenario, folder: Path | None = None) -> AsyncIterator[Horizon]:
    """A server with the scenario's fleet, release and rollout, before the first device wakes; over an empty `folder`.

    Raises:
        InvalidInputError: the rollout makes no sense, as the REST API says it.
    """
    with _place(folder) as place:
        async with _world(place, StoryClock(scenario.seed)) as (world, clock):
            await tenants.ensure_default(world, polling_s=300)
            await _fill(world, scenario)
            rollout = await rollouts.create(world, TENANT, SYSTEM, intended(scenario).parsed())
            yield Horizon(scenario, world, clock, Account(scenario), rollout.id)


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="otaru-scenario-") as passing:
        yield Path(passing)


def intended(scenario: Scenario) -> RolloutIn:
    """The rollout of a scenario, as the REST API would take it.

    Raises:
        InvalidInputError: it makes no sense.
    """
    plain: dict[str, Any] = {"release": f"{scenario.product}:{scenario.version}", "target": "id==*", "start": True}
    try:
        return RolloutIn.model_validate({**plain, **scenario.rollout})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "rollout"
        raise InvalidInputError(f"the scenario's rollout makes no sense: {place}: {first['msg']}") from None


@asynccontextmanager
async def _world(folder: Path, clock: StoryClock) -> AsyncIterator[tuple[World, StoryClock]]:
    bus, url = LocalBus(), f"sqlite:///{folder / 'otaru.db'}"
    upgrade(url)
    store = open_store(url, bus)
    try:
        async with open_registry(store, bus, clock) as registry:
            keyring, notary = FolderKeyring(folder / "keys"), FolderNotary(folder / "log")
            director = LocalDirector(store, Desk(FolderKeyring(folder / "director")), clock)
            blobs, inspector, differ = LocalBlobs(folder / "artifacts"), ProcessInspector(), ProcessDiffer()
            world = World(
                store, registry, blobs, clock, PolicyJudge(), bus, keyring, notary, inspector, director, differ
            )
            yield world, clock
    finally:
        await store.close()


async def _release(world: World, scenario: Scenario, version: Version) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield f"{scenario.product} {version}".encode()

    blob = (await artifacts.store(world, TENANT, content())).blob.sha256
    part = Part(blob, "image.bin", scenario.product, sorted({hardware for hardware, _ in scenario.hardware}, key=str))
    await releases.create(world, TENANT, SYSTEM, NewRelease(ProductName(scenario.product), version, (part,)))


async def _fill(world: World, scenario: Scenario) -> None:
    for version in dict.fromkeys((scenario.installed, scenario.version)):  # what they run is where they go back to
        await _release(world, scenario, Version(version))
    installed = {scenario.product: Version(scenario.installed)}
    names = scenario.names()
    for start in range(0, len(names), devices.MAX_BATCH):
        new = [
            NewDevice(DeviceId(name), nature(scenario, name).me.hardware, installed=installed)
            for name in names[start : start + devices.MAX_BATCH]
        ]
        await devices.add_many(world, TENANT, SYSTEM, new)
