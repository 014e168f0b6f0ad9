"""A rollout: the intention to bring a release to a set of devices under a policy, and the functions that move it."""

from otaru.domain.rollout.holding import Order, Step, hold, release
from otaru.domain.rollout.machine import ACTIVE, PERSONS, ROLLOUT, RolloutEvent, RolloutState
from otaru.domain.rollout.plan import Draw, Rollout, Wave, WaveState, cells, check_end, draw, laid_out, layout
from otaru.domain.rollout.policy import (
    DEFAULT_RULE,
    JUDGED_WAVES,
    MAX_BAD_EVENTS,
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
from otaru.domain.rollout.sequential import ALPHA, Learned, SequentialRule
from otaru.domain.rollout.shape import Growth, Shape, check_growth, grown
from otaru.domain.rollout.stepping import STOP_PATIENCE, obey, reopened, step

__all__ = [
    "ACTIVE",
    "ALPHA",
    "CRITICAL",
    "DEFAULT_RULE",
    "JUDGED_WAVES",
    "MAX_BAD_EVENTS",
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
    "Growth",
    "Learned",
    "OnError",
    "Order",
    "Policy",
    "RateRule",
    "Rollout",
    "RolloutEvent",
    "RolloutState",
    "Segment",
    "SequentialRule",
    "Shape",
    "Share",
    "Step",
    "Stratum",
    "Urgency",
    "Wave",
    "WaveState",
    "cells",
    "check",
    "check_end",
    "check_growth",
    "check_rate",
    "cut",
    "draw",
    "grown",
    "hold",
    "laid_out",
    "layout",
    "obey",
    "release",
    "reopened",
    "segments",
    "share",
    "step",
]
