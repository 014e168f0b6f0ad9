"""How far a rollout is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from otaru.domain.deployment import FAILURES, State
from otaru.domain.evidence import Evidence, Ruling, Said, Tally
from otaru.domain.ids import RolloutId, TenantId
from otaru.domain.rollout import Rollout, RolloutState, Waiting, waiting
from otaru.ports.store import Tx
from otaru.services.control.rollouts.applying import found
from otaru.services.control.world import World


@dataclass(frozen=True, slots=True)
class Progress:
    """A rollout with its members counted by segment and wave, and the most frequent reasons of failure, in one snapshot."""

    rollout: Rollout
    evidence: Evidence
    failures: Sequence[tuple[State, str, int]]
    verdicts: Mapping[int | None, Said] = field(default_factory=dict)
    """The newest finding of each segment and of all members (None), where it is judged by e-values."""
    rolled_back_by: Sequence[RolloutId] = ()
    """The rollouts that bring its devices back."""

    @property
    def holding(self) -> int:
        """Members that have downloaded it and wait to be told to install it."""
        return self.evidence.whole.of(State.DOWNLOADED) if self.rollout.policy.downloads_first else 0

    @property
    def tallies(self) -> Mapping[int, Tally]:
        """Members by wave."""
        return self.evidence.waves


MAX_REASONS = 20


async def progress(world: World, tenant: TenantId, rollout: RolloutId, *, among: int | None = None) -> Progress:
    """A rollout and how far it is. `among` is how many failures of each state are asked for their reasons; None is all.

    Raises:
        NotFoundError: there is none.
    """
    return await world.store.read(lambda tx: progress_in(tx, tenant, found(tx, tenant, rollout), among=among))


@dataclass(frozen=True, slots=True)
class Present:
    """What the judge says now, whether or not it was worth keeping, and what the next wave waits for."""

    findings: Sequence[Said] = ()
    waiting: Waiting | None = None


async def judged(
    world: World, tenant: TenantId, rollout: RolloutId, *, among: int | None = None
) -> tuple[Progress, Ruling]:
    """As `progress`, with what its judge says: what it said before, where no counter has moved since.

    Raises:
        NotFoundError: there is none.
    """
    now = world.clock.now()

    def look(tx: Tx) -> tuple[Progress, Ruling]:
        so_far = progress_in(tx, tenant, found(tx, tenant, rollout), among=among)
        return so_far, world.looks.glance(tx, tenant, so_far.rollout, world.judge, now).ruling

    return await world.store.read(look)


async def shown(world: World, tenant: TenantId, rollout: RolloutId) -> tuple[Progress, Present]:
    """A rollout, how far it is and what its judge says now: in one snapshot.

    Raises:
        NotFoundError: there is none.
    """
    now = world.clock.now()

    def look(tx: Tx) -> tuple[Progress, Present]:
        so_far = progress_in(tx, tenant, found(tx, tenant, rollout))
        if so_far.rollout.state is not RolloutState.RUNNING:
            return so_far, Present()
        ruling = world.looks.glance(tx, tenant, so_far.rollout, world.judge, now).ruling
        findings = [Said(now, finding) for finding in ruling.findings]
        return so_far, Present(findings, waiting(so_far.rollout, ruling))

    return await world.store.read(look)


def progress_in(tx: Tx, tenant: TenantId, rollout: Rollout, *, among: int | None = None) -> Progress:
    """As `progress`, within a transaction. Where nobody is asked for reasons it costs the same at any size."""
    evidence = tx.rollouts.evidence(tenant, rollout.id)
    ask = among != 0 and evidence.whole.of(*FAILURES, State.REJECTED) > 0
    reasons = tx.deployments.reasons(tenant, rollout.id, MAX_REASONS, among) if ask else []
    judged = rollout.policy.sequential is not None
    verdicts = tx.verdicts.newest(tenant, rollout.id) if judged else {}
    back = tx.rollouts.rolling_back(tenant, [rollout.id]).get(rollout.id, ())
    return Progress(rollout, evidence, reasons, verdicts, back)
