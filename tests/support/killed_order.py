"""A standing order that brings a newer release, whose process dies: `python -m tests.support.killed_order FOLDER EVERY`.

As `tests.support.killed`: each line of standard output is one life, where it died and how the order stood after the next one.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from otaru.adapters.sql.migrate import upgrade
from otaru.domain.deployment import Event
from otaru.domain.events import START
from otaru.services.control import groups
from otaru.services.control.following import Wanted, follow, tend
from otaru.services.control.groups import NewGroup
from otaru.services.control.stepping import step_due
from otaru.services.control.world import SYSTEM
from tests.support.killed import Death, copied, in_fork, url_of
from tests.support.stores import ACME
from tests.support.world import a_world
from tests.unit.services.control.test_following import ALICE, LAB, SIMPLE, STABLE, Lab


def prepare(folder: Path) -> None:
    """A group that follows a channel: one device installs the first release when the second one is published."""
    upgrade(url_of(folder))

    async def fill() -> None:
        async with a_world(url_of(folder), folder) as (world, _):
            lab = Lab(world)
            await groups.create(world, ACME, SYSTEM, NewGroup(LAB, "id==*"))
            await lab.add("a", "b", "c")
            await lab.release("1")
            await follow(world, ACME, ALICE, Wanted(STABLE, SIMPLE))
            await lab.poll("a")
            await lab.say("a", Event.INSTALL)
            await lab.release("2")

    asyncio.run(fill())


def work(folder: Path, at: str) -> dict[str, Any]:
    """The worker's rounds until nothing is left to do; this process ends at the point `at`, if it comes to it."""
    death = Death(at)

    async def live() -> dict[str, Any]:
        async with a_world(url_of(folder), folder) as (world, _):
            world.store.follow(death.committed)
            death.statements = death.commits = 0
            while await tend(world) + await step_due(world):
                pass
            lab = Lab(world)
            made = [(r.id, r.version, str(r.state), r.superseded_by, r.size) for r in await lab.standing()]
            shares = [
                {name: str(state) for name, state in (await lab.states(r.id)).items()} for r in await lab.standing()
            ]
            happened = await world.store.read(lambda tx: tx.events.page(ACME, START, 1000))
            record = [f"{e.what.kind} {e.what.subject} {json.dumps(e.what.data, sort_keys=True)}" for e in happened]
            end = {"rollouts": made, "shares": shares, "record": record}
            return {"end": end, "statements": death.statements, "commits": death.commits}

    event.listen(Engine, "connect", death.connected)
    return asyncio.run(live())


def main(folder: Path, every: int) -> None:
    """Die at every so many-th point, go on each time, and print how it ended."""
    base = folder / "base"
    base.mkdir()
    assert in_fork(lambda: prepare(base))[0] == 0
    with copied(base) as copy:
        status, whole = in_fork(lambda: work(copy, "never"))
    assert status == 0
    print(whole, flush=True)  # noqa: T201 - to the test
    counted = json.loads(whole)
    points = [f"c{n}" for n in range(1, counted["commits"] + 1)]
    points += [f"s{n}" for n in range(1, counted["statements"] + 1)]
    for point in points[::every]:
        with copied(base) as copy:
            died, _ = in_fork(lambda at=point: work(copy, at))  # type: ignore[misc]
            status, ended = in_fork(lambda: work(copy, "never"))
        print(json.dumps({"point": point, "died": died, "status": status, **json.loads(ended or "{}")}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
