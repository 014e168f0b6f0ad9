"""A rollout: the intention to bring a release to a set of devices under a policy, and the functions that move it."""

from otaru.domain.rollout.machine import ACTIVE, PERSONS, ROLLOUT, RolloutEvent, RolloutState
from otaru.domain.rollout.plan import Draw, Rollout, Wave, WaveState, draw, layout
from otaru.domain.rollout.policy import (
    DEFAULT_RULE,
    MAX_POSTPONEMENTS,
    MAX_WAVES,
    ClassicRule,
    OnError,
    Policy,
    Share,
    Urgency,
    check,
    share,
)
from otaru.domain.rollout.stepping import STOP_PATIENCE, Order, Step, obey, reopened, step

__all__ = [
    "ACTIVE",
    "DEFAULT_RULE",
    "MAX_POSTPONEMENTS",
    "MAX_WAVES",
    "PERSONS",
    "ROLLOUT",
    "STOP_PATIENCE",
    "ClassicRule",
    "Draw",
    "OnError",
    "Order",
    "Policy",
    "Rollout",
    "RolloutEvent",
    "RolloutState",
    "Share",
    "Step",
    "Urgency",
    "Wave",
    "WaveState",
    "check",
    "draw",
    "layout",
    "obey",
    "reopened",
    "share",
    "step",
]
