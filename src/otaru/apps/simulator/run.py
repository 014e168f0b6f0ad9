"""Runs a fleet in a process of its own until it is done, the time is over, or somebody interrupts it."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from otaru.apps.simulator.fleet import Fleet, running
from otaru.apps.simulator.options import Plan
from otaru.apps.simulator.report import Tally

TELL_S = 5.0
"""How often progress is told."""
FINISHED = "finished"
"""Until no rollout of the server goes on by itself."""

Tell = Callable[[Tally], object]


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a fleet."""

    tally: Tally
    stories: str
    """One number for what all devices went through (`report.fingerprint`)."""
    reached: bool
    """Whether it ran as long as it was to; False where it was interrupted before."""
    took_s: float

    def facts(self) -> dict[str, Any]:
        """As JSON-able facts."""
        return {**self.tally.facts(), "stories": self.stories, "reached": self.reached, "took_s": round(self.took_s, 3)}


def run(plan: Plan, until: float | str | None, tell: Tell) -> Run:
    """Run a fleet until FINISHED, for so many (real) seconds, or, with None, until SIGINT or SIGTERM.

    Raises:
        OtaruError: the devices cannot be added to the server.
    """
    with runner() as loop:
        return loop.run(_run(plan, until, tell))


def runner() -> asyncio.Runner:
    """A runner on uvloop, or on asyncio's own loop where there is none."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - not a part of the extra, but faster where it is there
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=new_event_loop)


async def _run(plan: Plan, until: float | str | None, tell: Tell) -> Run:
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, interrupted.set)
    begun = loop.time()
    async with running(plan) as fleet:
        telling = asyncio.create_task(_telling(fleet, tell))
        reached = await _wait(fleet, until, interrupted)
        telling.cancel()
    return Run(fleet.tally, fleet.stories(), reached, loop.time() - begun)


async def _wait(fleet: Fleet, until: float | str | None, interrupted: asyncio.Event) -> bool:
    """Whether the fleet ran as long as it was to."""
    stop = asyncio.create_task(interrupted.wait())
    if until is None:
        goal: asyncio.Task[Any] = stop
    elif isinstance(until, str):
        goal = asyncio.create_task(fleet.settled())
    else:
        goal = asyncio.create_task(asyncio.sleep(until))
    waiting: set[asyncio.Future[Any]] = {stop, goal, fleet.accident}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if fleet.accident.done():
            fleet.accident.result()
        if goal.done():
            goal.result()
        return goal.done()
    finally:
        for task in waiting:
            task.cancel()


async def _telling(fleet: Fleet, tell: Tell) -> None:
    while True:
        await asyncio.sleep(TELL_S)
        tell(fleet.tally)
