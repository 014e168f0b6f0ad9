"""The fleet at a glance, and what of it waits for a person. Only reads; none of them grows with the number of devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.domain.deployment import OPEN, WAITING, State
from otaru.domain.device import Lifecycle
from otaru.domain.evidence import Tally
from otaru.domain.fleet import SILENCE, Component, Counts, history
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.rollout import ACTIVE, OnError, Rollout, RolloutState, Wave, WaveState
from otaru.errors import InvalidInputError
from otaru.ports.store import Tx
from otaru.services.control.world import World

MAX_ROLLOUTS = 50
"""Active rollouts that a summary holds."""
STOPPED_SHOWN = timedelta(days=7)
STUCK_POLLS = 10
"""Polls within which devices of an open wave do something, if they poll at all."""
MAX_AWAITED = 500
"""Members of a wave that are asked for when they last polled."""
_AMONG = 2000
MAX_DAYS = 365
MAX_TIMES = 120
"""Points of a history."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A rollout with its members counted by wave."""

    rollout: Rollout
    tallies: Mapping[int, Tally]


@dataclass(frozen=True, slots=True)
class Summary:
    """The fleet in one snapshot."""

    at: datetime
    counts: Counts
    members: Mapping[tuple[RolloutState, State], int]
    """Members of active rollouts by the state of both."""
    active: Sequence[Standing]
    """Running, paused and stopping rollouts, newest first; no more than MAX_ROLLOUTS."""
    stopped: Sequence[Rollout]
    """Rollouts that their own rule has stopped within STOPPED_SHOWN, newest first."""
    asking: Sequence[Rollout] = ()
    """Rollouts that wait for approval, of their start or of a wave, newest first."""

    def of(self, lifecycle: Lifecycle) -> int:
        """How many devices have this lifecycle."""
        return self.counts.lifecycles.get(lifecycle, 0)

    @property
    def awaiting(self) -> int:
        """Devices that were told of an update and wait for their owner's consent."""
        return sum(n for (_, state), n in self.members.items() if state in WAITING)

    @property
    def waiting(self) -> int:
        """Devices that wait for a person: to be accepted, or for consent."""
        return self.awaiting + self.of(Lifecycle.PENDING)

    @property
    def healthy(self) -> int:
        """Active devices that have been heard of, did not fail their last update and wait for nobody; or are silent.

        Who was told of an update, and so may have failed or wait, has been heard of.
        """
        counts = self.counts
        never = self.unheard - counts.unheard_aside
        return max(0, self.of(Lifecycle.ACTIVE) - counts.failed - self.awaiting + counts.aside - never)

    @property
    def unheard(self) -> int:
        """Devices that have never been heard of."""
        return max(0, self.counts.devices - self.counts.heard)

    @property
    def running(self) -> int:
        """How many rollouts run, of those shown."""
        return sum(standing.rollout.state is RolloutState.RUNNING for standing in self.active)

    @property
    def holdable(self) -> int:
        """Devices that a halt holds back: members of running rollouts that have not begun."""
        held = {State.SCHEDULED, *WAITING}
        return sum(
            n for (rollout, state), n in self.members.items() if rollout is RolloutState.RUNNING and state in held
        )


@dataclass(frozen=True, slots=True)
class Stall:
    """A wave that some of its members moved on, and that waits for the others: none of those polls any more."""

    rollout: Rollout
    wave: Wave
    awaited: Sequence[DeviceId]


@dataclass(frozen=True, slots=True)
class History:
    """How many devices ran each version at each of `times`."""

    times: Sequence[datetime]
    versions: Mapping[Component, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Begun:
    """What of a first rollout is there already."""

    devices: bool
    releases: bool
    rollouts: bool


async def summary(world: World, tenant: TenantId) -> Summary:
    """The fleet now."""
    now = world.clock.now()
    return await world.store.read(lambda tx: summary_in(tx, tenant, now))


def summary_in(tx: Tx, tenant: TenantId, now: datetime) -> Summary:
    """The fleet now, within a transaction."""
    active = tx.rollouts.page(tenant, ACTIVE, None, MAX_ROLLOUTS)
    ended = tx.rollouts.page(tenant, [RolloutState.STOPPED], None, MAX_ROLLOUTS)
    asking = tx.rollouts.page(tenant, [RolloutState.AWAITING_APPROVAL], None, MAX_ROLLOUTS)
    return Summary(
        at=now,
        counts=tx.fleet.counts(tenant, now - SILENCE),
        members=tx.fleet.members(tenant),
        active=[Standing(rollout, tx.rollouts.evidence(tenant, rollout.id).waves) for rollout in active],
        stopped=[r for r in ended if _by_rule(r) and r.ended_at is not None and r.ended_at > now - STOPPED_SHOWN],
        asking=[*asking, *(rollout for rollout in active if rollout.unapproved is not None)],
    )


async def stalled(world: World, tenant: TenantId, seen: Summary, polling: timedelta) -> list[Stall]:
    """Which of a summary's rollouts wait for nobody but devices that do not poll. At most MAX_AWAITED are asked for each."""
    before = seen.at - polling * STUCK_POLLS

    def look(tx: Tx) -> list[Stall]:
        found = []
        for standing in seen.active:
            if (waiting := awaited(standing, before)) is None:
                continue
            wave, number = waiting
            of_wave = (tenant, standing.rollout.id, wave.index)
            if len(silent := tx.deployments.unheard(*of_wave, before, number, _AMONG)) == number:
                found.append(Stall(standing.rollout, wave, silent))
        return found

    return await world.store.read(look)


def awaited(standing: Standing, before: datetime) -> tuple[Wave, int] | None:
    """The wave whose members keep the next one, or a verdict, waiting since before `before`, and how many they are.

    None where nothing waits for them, where nobody has been told yet, or where they are too many to be asked for.
    """
    rollout, wave = standing.rollout, standing.rollout.wave
    plain = len(rollout.waves) == 1 and rollout.policy.rule is None
    if rollout.state is not RolloutState.RUNNING or rollout.policy.window is not None or plain or wave is None:
        return None
    tally = standing.tallies.get(wave.index)
    if tally is None or wave.state is not WaveState.OPEN or wave.opened_at is None or wave.opened_at > before:
        return None
    waiting = tally.of(State.SCHEDULED, *OPEN)
    return (wave, waiting) if 0 < waiting <= MAX_AWAITED and tally.of(State.SCHEDULED) < tally.members else None


async def versions(world: World, tenant: TenantId, days: int) -> History:
    """How the versions that run changed over so many days, to the hour, in at most MAX_TIMES steps.

    Raises:
        InvalidInputError: not 1 to MAX_DAYS days.
    """
    now = world.clock.now()
    return await world.store.read(lambda tx: versions_in(tx, tenant, now, days))


def versions_in(tx: Tx, tenant: TenantId, now: datetime, days: int) -> History:
    """The same within a transaction."""
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInputError(f"a history has 1 to {MAX_DAYS} days")
    hours = -(-days * 24 // MAX_TIMES)
    last = now.replace(minute=0, second=0, microsecond=0)
    times = [last - timedelta(hours=n) for n in range(0, days * 24 + 1, hours)][::-1]
    present = tx.fleet.counts(tenant, now - SILENCE).versions
    found = history(present, tx.fleet.moves(tenant, times[0]), times)
    return History(times, {component: devices for component, devices in found.items() if any(devices)})


async def begun(world: World, tenant: TenantId) -> Begun:
    """What of a first rollout is there already."""

    def look(tx: Tx) -> Begun:
        return Begun(
            devices=bool(tx.devices.page(tenant, None, None, 1)),
            releases=bool(tx.releases.page(tenant, None, None, 1)),
            rollouts=bool(tx.rollouts.page(tenant, (), None, 1)),
        )

    return await world.store.read(look)


def _by_rule(rollout: Rollout) -> bool:
    failed = any(wave.state is WaveState.FAILED for wave in rollout.waves)
    return failed and rollout.policy.on_error in {OnError.STOP, OnError.ROLLBACK}
