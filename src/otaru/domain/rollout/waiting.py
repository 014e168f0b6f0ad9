"""What the wave of a running rollout that is next waits for."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from otaru.domain.evidence import Ruling
from otaru.domain.rollout.machine import RolloutState
from otaru.domain.rollout.plan import Rollout, WaveState


class For(StrEnum):
    """What is waited for."""

    APPROVAL = "approval"
    ORDER = "order"
    WATCH = "watch"
    PACE = "pace"
    VERDICT = "verdict"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the next wave waits for, in words. `until` is the moment that ends it, where that is known."""

    what: For
    words: str
    until: datetime | None = None


def waiting(rollout: Rollout, ruling: Ruling) -> Waiting | None:
    """What it waits for; None where nothing runs, or every wave has passed, or nobody judges."""
    wave, policy = rollout.wave, rollout.policy
    if rollout.state is not RolloutState.RUNNING:
        return None
    if rollout.superseded_by is not None:
        return Waiting(For.LAST, f"Nobody new is told: {rollout.reason}. It ends when those who were told have")
    if wave is None:
        return None
    number, count = wave.index + 1, len(rollout.waves)
    name = f"Wave {number} of {count}" if count > 1 else "It"
    if rollout.unapproved is not None:
        return Waiting(For.APPROVAL, f"Wave {number} of {count} opens when somebody approves it")
    if policy.download_only and rollout.install is None and wave.state is WaveState.PENDING:
        return Waiting(For.ORDER, "Devices download it; nobody installs it before that is ordered")
    if wave.state is WaveState.OBSERVING and wave.complete_at is not None:
        return Waiting(For.WATCH, f"{name} is complete and watched; that ends", wave.complete_at + policy.observe)
    if policy.rule is None and policy.sequential is None and policy.rate is None:
        return None
    if wave.state is WaveState.PENDING and ruling.ahead is not None:
        most = max(ruling.ahead, rollout.watermark)
        budget = f"the harm budget lets {most} {'device' if most == 1 else 'devices'} have it until those have run it for a day"
        return Waiting(For.PACE, f"{name} waits: {budget}, and it goes up to {wave.height}")
    last = max((w.index for w in rollout.waves if w.state is WaveState.OPEN), default=wave.index)
    if last > wave.index:
        name = f"Waves {number} to {last + 1} of {count} are open, the first of them:"
        return Waiting(For.VERDICT, f"{name} {ruling.waves[wave.index].reason}")
    return Waiting(For.VERDICT, f"{name} is open: {ruling.waves[wave.index].reason}")
