"""The life of a few rollouts, whose process dies at a statement of its choice: `python -m tests.support.killed FOLDER`.

People, devices and the worker are written as such must be who live with crashes: each looks at what is, does what is still
to do, and may be begun anew at any time. A device remembers on its own disk what it has said. So after a death at any
statement the same story goes on to the same end, or the engine has lost or doubled something.

A death is real: the process is a fork that leaves by `os._exit` in the middle of a transaction, before its COMMIT, or after
it and before anybody hears of it. Each line of standard output is one story: where it died, and how it ended.
"""

import asyncio
import json
import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from otaru.adapters.clock import SystemClock
from otaru.adapters.sql.migrate import upgrade
from otaru.domain.deployment import Event, Report, State
from otaru.domain.device import Hardware
from otaru.domain.events import START
from otaru.domain.ids import DeviceId, ProductName, RolloutId, TokenId, Version
from otaru.domain.rollout import ClassicRule, OnError, Policy, Rollout, RolloutEvent, RolloutState, Share
from otaru.services.control import artifacts, devices, feedback, releases, rollouts, survey
from otaru.services.control.devices import NewDevice
from otaru.services.control.once import Answer, Answers, Named
from otaru.services.control.poll import poll
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollouts import Intention
from otaru.services.control.stepping import step_due
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import a_world

DEAD = 137
APP = ProductName("app")
BOARD = Hardware("board")
NAMES = [DeviceId(f"d{number}") for number in range(9)]
ALL = Share(100, percent=True)
WAVES = (Share(3, percent=False), ALL)
RULE = ClassicRule(success=0.6, error=0.34)

PLANS = (
    Intention(APP, Version("2"), "id==*", Policy(WAVES, RULE), name="two waves, some fail, and again", start=True),
    Intention(
        APP, Version("3"), "id==*", Policy(WAVES, ClassicRule(1, 0), on_error=OnError.ROLLBACK), name="bad", start=True
    ),
    Intention(APP, Version("4"), "id==*", Policy(), name="stopped by hand", start=True),
)


def outcome(device: DeviceId, version: Version) -> Event:
    """How a device's first attempt ends: of the first rollout three fail, of the bad one every second."""
    bad = (version == "3" and int(device[1:]) % 2 == 1) or (version == "2" and int(device[1:]) % 3 == 1)
    return Event.FAIL if bad else Event.SUCCEED


class SteadyClock(SystemClock):
    """Draws the same lots in every life."""

    def seed(self) -> int:
        return 7


@dataclass
class Story:
    """Everybody's part, over a world that may have died before."""

    world: World
    disk: Path
    """The devices' own memory."""
    said: dict[str, list[str]] = field(default_factory=dict)

    async def live(self) -> None:
        """Until there is nothing left to do for anybody."""
        if self.disk.exists():
            self.said = json.loads(self.disk.read_text())
        busy = True
        while busy:
            busy = False
            while await self._fleet():
                busy = True
            while await step_due(self.world):
                busy = True
            busy = await self._people() or busy

    async def _people(self) -> bool:
        made = await self._rollouts()
        if any(r.rolls_back is not None and r.state is not RolloutState.FINISHED for r in made):
            return False  # they wait until the devices are back
        known = {r.name: r for r in made}
        for number, plan in enumerate(PLANS):
            rollout = known.get(plan.name)
            if rollout is None:
                await self._create(number, plan)
                return True
            if await self._look_after(rollout):
                return True
            if rollout.state not in {RolloutState.FINISHED, RolloutState.STOPPED}:
                return False
        return False

    async def _look_after(self, rollout: Rollout) -> bool:
        counts = await self._counts(rollout.id)
        if rollout.state is RolloutState.PAUSED:
            await rollouts.order(self.world, ACME, SYSTEM, rollout.id, RolloutEvent.RESUME, reason="seen")
            return True
        if rollout.name == PLANS[0].name and rollout.state is RolloutState.FINISHED and counts[State.FAILED] > 0:
            await rollouts.retry(self.world, ACME, SYSTEM, rollout.id)
            return True
        if rollout.name == PLANS[2].name and rollout.state is RolloutState.RUNNING and counts[State.INSTALLING]:
            await rollouts.order(self.world, ACME, SYSTEM, rollout.id, RolloutEvent.STOP, reason="enough")
            return True
        return False

    async def _create(self, number: int, plan: Intention) -> None:
        def shown(tx: object, made: Rollout) -> Answer:
            del tx
            return Answer(201, str(made.id).encode())

        named = Named(ACME, TokenId("token"), f"plan {number}", str(number).encode(), "credential")
        await Answers(self.world).give(named, lambda world: rollouts.create(world, ACME, SYSTEM, plan), shown)

    async def _fleet(self) -> bool:
        return any([await self._device(name) for name in NAMES])

    async def _device(self, name: DeviceId) -> bool:
        tenant, entry = await self.world.registry.tenant(ACME), await self.world.registry.device(ACME, name)
        assert tenant is not None
        assert entry is not None
        after, told, _ = await poll(self.world, tenant, entry)
        open_ = after.subject.open
        if told is None or open_ is None:
            return False
        attempt = open_.attempt + (told.plan.rollout.rolls_back is not None)  # what ran before runs again
        say = self._next(name, open_.state, told.plan.release.version, attempt)
        if say is None:
            return False
        self.said.setdefault(f"{name} {open_.action}", []).append(str(say))
        self.disk.write_text(json.dumps(self.said))  # before it says so: a device that dies says it again
        digest = f"{name} {open_.action} {say}".encode()
        report = Report(name, open_.action, self.world.clock.now(), say, "closed", "", (str(say),), digest)
        return await feedback.report(self.world, ACME, report) is not open_.state

    def _next(self, name: DeviceId, state: State, version: Version, attempt: int) -> Event | None:
        if state is State.CANCELLING:
            return Event.CANCEL_DONE if int(name[1:]) % 2 else Event.SUCCEED
        if state is State.OFFERED:
            return Event.INSTALL
        if version == "4":
            return None  # it takes so long that somebody stops it
        return Event.SUCCEED if attempt > 1 else outcome(name, version)

    async def _rollouts(self) -> list[Rollout]:
        return list(await self.world.store.read(lambda tx: tx.rollouts.page(ACME, (), None, 100)))

    async def _counts(self, rollout: RolloutId) -> Counter[State]:
        progress = await rollouts.progress(self.world, ACME, rollout)
        counts: Counter[State] = Counter()
        for tally in progress.tallies.values():
            counts.update(tally.counts)
        return counts

    async def told(self) -> dict[str, Any]:
        """How it ended, without times: what no death may change."""
        made = await self._rollouts()
        ended = []
        for rollout in sorted(made, key=lambda r: r.id):
            shown, rows = await self.world.store.read(
                lambda tx, of=rollout.id: (tx.rollouts.evidence(ACME, of), tx.rollouts.recounted(ACME, of))  # type: ignore[misc]
            )
            counts = [
                {f"{cell}": {str(s): n for s, n in t.counts.items() if n} for cell, t in found.cells.items()}
                for found in (shown, rows)
            ]
            waves = [(w.start, w.height, str(w.state), w.reason) for w in rollout.waves]
            ended.append([rollout.name, str(rollout.state), rollout.reason, waves, *counts])
        histories = {}
        for name in NAMES:
            past = await survey.history(self.world, ACME, name, 100)
            histories[name] = sorted([r.name, d.attempt, d.action, str(d.state), d.reason] for d, r in past)
        happened = await self.world.store.read(lambda tx: tx.events.page(ACME, START, 10_000))
        record = sorted(f"{e.what.kind} {e.what.subject} {json.dumps(e.what.data, sort_keys=True)}" for e in happened)
        inventory = {}
        for name in NAMES:
            entry = await self.world.registry.device(ACME, name)
            assert entry is not None
            inventory[name] = sorted(entry.subject.installed)
        return {"rollouts": ended, "histories": histories, "record": record, "inventory": inventory}


class Death:
    """Counts what the writer does, and dies at one point: `s12` at its 12th statement, `c3` just after its 3rd COMMIT."""

    def __init__(self, at: str) -> None:
        self._at = at
        self.statements = 0
        self.commits = 0
        self._writing = False

    def connected(self, connection: sqlite3.Connection, record: object) -> None:
        del record
        connection.set_trace_callback(self._traced)

    def _traced(self, statement: str) -> None:
        """Before each statement of a connection that writes."""
        if statement.startswith("BEGIN IMMEDIATE"):
            self._writing = True
        if self._writing:
            self.statements += 1
            self._die_at(f"s{self.statements}")
        if statement.startswith(("COMMIT", "ROLLBACK")):
            self._writing = False

    def committed(self, commit: object) -> None:
        """After a COMMIT that recorded something, before anybody hears of it."""
        del commit
        self.commits += 1
        self._die_at(f"c{self.commits}")

    def _die_at(self, point: str) -> None:
        if point == self._at:
            os._exit(DEAD)


def prepare(folder: Path) -> None:
    """A tenant with devices and three releases."""
    upgrade(url_of(folder))

    async def fill() -> None:
        async with a_world(url_of(folder), folder) as (world, _):
            for version in ("2", "3", "4"):

                async def content(of: str = version) -> AsyncIterator[bytes]:
                    yield of.encode()

                blob = (await artifacts.store(world, ACME, content())).blob.sha256
                part = Part(blob, "app.bin", "app", (BOARD,))
                await releases.create(world, ACME, SYSTEM, NewRelease(APP, Version(version), (part,)))
            for name in NAMES:
                await devices.add(world, ACME, SYSTEM, NewDevice(name, BOARD))

    asyncio.run(fill())


def play(folder: Path, at: str) -> dict[str, Any]:
    """The story from where it is in `folder`; this process ends at the point `at`, if it comes to it."""
    death = Death(at)

    async def live() -> dict[str, Any]:
        async with a_world(url_of(folder), folder) as (world, _):
            world.store.follow(death.committed)
            death.statements = death.commits = 0
            story = Story(replace(world, clock=SteadyClock()), folder / "devices.json")
            await story.live()
            return {**await story.told(), "statements": death.statements, "commits": death.commits}

    event.listen(Engine, "connect", death.connected)
    return asyncio.run(live())


def url_of(folder: Path) -> str:
    """Of the database of a story."""
    return f"sqlite:///{folder / 'otaru.db'}"


def in_fork(work: Callable[[], object]) -> tuple[int, str]:
    """What it returned, as JSON, and its exit status: in a process of its own, which may die of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            found = json.dumps(work())
            with os.fdopen(writing, "w") as out:
                out.write(found)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - said, and told by the status
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as answer:
        words = answer.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), words


@contextmanager
def copied(folder: Path) -> Iterator[Path]:
    """A copy of a story, for one death."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    try:
        yield copy
    finally:
        shutil.rmtree(copy)


def main(folder: Path, every: int, first: int) -> None:
    """Die at every so many-th point from the `first` on, go on each time, and print how it ended."""
    base = folder / "base"
    base.mkdir()
    status, _ = in_fork(lambda: prepare(base))
    assert status == 0
    with copied(base) as copy:
        status, whole = in_fork(lambda: play(copy, "never"))
    assert status == 0
    print(whole, flush=True)  # noqa: T201 - to the test
    counted = json.loads(whole)
    points = [f"c{n}" for n in range(1, counted["commits"] + 1)] + [
        f"s{n}" for n in range(1, counted["statements"] + 1)
    ]
    for point in points[first::every]:
        with copied(base) as copy:
            died, _ = in_fork(lambda at=point: play(copy, at))  # type: ignore[misc]
            status, ended = in_fork(lambda: play(copy, "never"))
        print(json.dumps({"point": point, "died": died, "status": status, **json.loads(ended or "{}")}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
