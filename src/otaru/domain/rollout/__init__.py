"""A rollout: the intention to bring a release to a set of devices under a policy, and the functions that move it."""

from otaru.domain.rollout.holding import Order, Step, hold, release
from otaru.domain.rollout.limits import MAX_LIMIT, MAX_PLACES, Limits, Place, Taken, ask_again, full, minute, place
from otaru.domain.rollout.machine import ACTIVE, PERSONS, ROLLOUT, RolloutEvent, RolloutState
from otaru.domain.rollout.plan import Draw, Rollout, Wave, WaveState, draw, laid_out, layout
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
from otaru.domain.rollout.rate import Abort, FailureType, RateRule, check_rate
from otaru.domain.rollout.segment import CRITICAL, MAX_SEGMENTS, MAX_SPLITS, Segment, Stratum, cut, segments
from otaru.domain.rollout.stepping import STOP_PATIENCE, obey, reopened, step

__all__ = [
    "ACTIVE",
    "CRITICAL",
    "DEFAULT_RULE",
    "MAX_LIMIT",
    "MAX_PLACES",
    "MAX_POSTPONEMENTS",
    "MAX_SEGMENTS",
    "MAX_SPLITS",
    "MAX_WAVES",
    "PERSONS",
    "ROLLOUT",
    "STOP_PATIENCE",
    "Abort",
    "ClassicRule",
    "Draw",
    "FailureType",
    "Limits",
    "OnError",
    "Order",
    "Place",
    "Policy",
    "RateRule",
    "Rollout",
    "RolloutEvent",
    "RolloutState",
    "Segment",
    "Share",
    "Step",
    "Stratum",
    "Taken",
    "Urgency",
    "Wave",
    "WaveState",
    "ask_again",
    "check",
    "check_rate",
    "cut",
    "draw",
    "full",
    "hold",
    "laid_out",
    "layout",
    "minute",
    "obey",
    "place",
    "release",
    "reopened",
    "segments",
    "share",
    "step",
]
