"""What a rollout would be, looked at before it is made: who, in which order, how much, and how it would go."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from otaru.analysis.replay import Course, replay
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.release import Release
from otaru.domain.rollout import Rollout, RolloutEvent, Segment, Stratum, laid_out, obey
from otaru.domain.rollout.outlook import Outlook
from otaru.domain.targeting import parse
from otaru.ports.store import Tx
from otaru.services.control.judging import taught
from otaru.services.control.rollouts import Intention, check_intention, draft
from otaru.services.control.world import World


@dataclass(frozen=True, slots=True)
class Foresight:
    """A plan: `Intention.planned` makes it again, as long as the fleet stays as it is."""

    rollout: Rollout
    """As it would be planned; its id is 0."""
    left_out: Mapping[str, int]
    warnings: tuple[str, ...]
    strata: tuple[Stratum, ...]
    """One for each of the rollout's segments."""
    outlook: Outlook
    volume: int
    """Bytes that its members would fetch."""
    expected: Course | None
    """How it would go where every update succeeds; None where nobody is a member."""
    bad: Course | None
    """How it would go where so many failed as was asked for; None where nothing was asked."""

    @property
    def canaries(self) -> int:
        """How many come first, of all segments; 0 where all are told at once."""
        return sum(stratum.canaries for stratum in self.strata) if self.rollout.policy.staged else 0

    @property
    def segments(self) -> list[tuple[Segment, Stratum]]:
        """Each with what is known of it."""
        return list(zip(self.rollout.segments, self.strata, strict=True))


async def plan(world: World, tenant: TenantId, intention: Intention, failure: float | None = None) -> Foresight:
    """What `rollouts.create` would make of it, and how that would go; with `failure`, also if so many updates failed.

    Raises:
        QuerySyntaxError, InvalidInputError, NotFoundError, InvalidStateError, NeverDueError: as `create`.
    """
    check_intention(intention)
    now = world.clock.now()
    parse(intention.target, now)
    seed = world.clock.seed() if intention.planned is None else intention.planned.seed

    def look(tx: Tx) -> Foresight:
        drafted = draft(tx, tenant, intention, RolloutId(0), seed, now)
        members, left_out = tx.rollouts.candidates(tenant, drafted.query, drafted.release)
        strata = drafted.strata or ((Stratum((), members),) if members else ())
        outlook = tx.rollouts.foresee(tenant, drafted.rollout, drafted.query, drafted.release, drafted.strata)
        rollout = laid_out(drafted.rollout, strata)
        rollout = obey(replace(rollout, policy=taught(tx, tenant, rollout)), RolloutEvent.PLAN, "", now).rollout
        warnings = tuple(drafted.release.warnings(now))
        volume = _volume(drafted.release, outlook)
        return Foresight(rollout, left_out, warnings, strata, outlook, volume, None, None)

    found = await world.store.read(look)
    return await asyncio.to_thread(_played, world, found, failure) if found.rollout.size else found


def _played(world: World, found: Foresight, failure: float | None) -> Foresight:
    """With how it would go; that takes seconds where there are many segments and waves."""
    start = found.rollout.start_at or found.rollout.created_at

    def play(failing: float) -> Course:
        ruling = world.judge.ruling
        return replay(found.rollout, found.strata, found.outlook, ruling, start=start, failure=failing)

    return replace(found, expected=play(0.0), bad=None if failure is None else play(failure))


def _volume(release: Release, outlook: Outlook) -> int:
    parts = ((release.artifacts_for(hardware), devices) for hardware, devices in outlook.hardware.items())
    return sum(artifact.blob.size * devices for artifacts, devices in parts for artifact in artifacts)
