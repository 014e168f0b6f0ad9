"""How a state looks: a colour, the shape that says the same without colour, and its word (docs: console)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from otaru.domain.delta import DeltaState
from otaru.domain.deployment import State
from otaru.domain.device import Lifecycle
from otaru.domain.errand import State as ErrandState
from otaru.domain.release import ReleaseState
from otaru.domain.rollout import RolloutState, WaveState
from otaru.images.facts import Verdict


class Tone(StrEnum):
    """What a colour means, whatever wears it. Each has one shape (templates/parts.html)."""

    DONE = "done"
    """Green disc."""
    BUSY = "busy"
    """Blue half disc: under way."""
    HELD = "held"
    """Amber triangle: waits for somebody."""
    FAILED = "failed"
    """Red square."""
    IDLE = "idle"
    """Grey ring: not yet, or no more."""
    TRIAL = "trial"
    """Violet diamond: being watched."""


@dataclass(frozen=True, slots=True)
class Look:
    """A tone and a word."""

    tone: Tone
    word: str


_TONES: Mapping[type[StrEnum], Mapping[StrEnum, Tone]] = {
    State: {
        State.SCHEDULED: Tone.IDLE,
        State.OFFERED: Tone.BUSY,
        State.AWAITING_CONSENT: Tone.HELD,
        State.POSTPONED: Tone.HELD,
        State.DOWNLOADING: Tone.BUSY,
        State.DOWNLOADED: Tone.BUSY,
        State.INSTALLING: Tone.BUSY,
        State.REBOOTING: Tone.BUSY,
        State.ON_TRIAL: Tone.TRIAL,
        State.CANCELLING: Tone.HELD,
        State.SUCCEEDED: Tone.DONE,
        State.FAILED: Tone.FAILED,
        State.REVERTED: Tone.FAILED,
        State.REJECTED: Tone.FAILED,
        State.CANCELLED: Tone.IDLE,
        State.SKIPPED: Tone.IDLE,
        State.SILENT: Tone.HELD,
    },
    RolloutState: {
        RolloutState.DRAFT: Tone.IDLE,
        RolloutState.PLANNED: Tone.IDLE,
        RolloutState.AWAITING_APPROVAL: Tone.HELD,
        RolloutState.SCHEDULED: Tone.IDLE,
        RolloutState.RUNNING: Tone.BUSY,
        RolloutState.PAUSED: Tone.HELD,
        RolloutState.STOPPING: Tone.HELD,
        RolloutState.STOPPED: Tone.FAILED,
        RolloutState.FINISHED: Tone.DONE,
    },
    WaveState: {
        WaveState.PENDING: Tone.IDLE,
        WaveState.OPEN: Tone.BUSY,
        WaveState.OBSERVING: Tone.TRIAL,
        WaveState.PASSED: Tone.DONE,
        WaveState.FAILED: Tone.FAILED,
        WaveState.OVERRULED: Tone.HELD,
        WaveState.NEVER_OPENED: Tone.IDLE,
        WaveState.CUT_SHORT: Tone.IDLE,
    },
    Lifecycle: {
        Lifecycle.PENDING: Tone.HELD,
        Lifecycle.ACTIVE: Tone.DONE,
        Lifecycle.QUARANTINED: Tone.HELD,
        Lifecycle.DECOMMISSIONED: Tone.IDLE,
    },
    ReleaseState: {
        ReleaseState.DRAFT: Tone.IDLE,
        ReleaseState.SIGNED: Tone.IDLE,
        ReleaseState.PUBLISHED: Tone.DONE,
        ReleaseState.DEPRECATED: Tone.HELD,
        ReleaseState.WITHDRAWN: Tone.FAILED,
    },
    ErrandState: {
        ErrandState.WAITING: Tone.IDLE,
        ErrandState.TAKEN: Tone.BUSY,
        ErrandState.DONE: Tone.DONE,
        ErrandState.FAILED: Tone.FAILED,
        ErrandState.REFUSED: Tone.HELD,
        ErrandState.EXPIRED: Tone.HELD,
        ErrandState.CANCELLED: Tone.IDLE,
    },
    DeltaState: {
        DeltaState.WAITING: Tone.IDLE,
        DeltaState.MAKING: Tone.BUSY,
        DeltaState.MADE: Tone.DONE,
        DeltaState.USELESS: Tone.IDLE,
        DeltaState.FAILED: Tone.FAILED,
    },
    Verdict: {
        Verdict.NONE: Tone.IDLE,
        Verdict.VALID: Tone.DONE,
        Verdict.UNKNOWN: Tone.HELD,
        Verdict.BROKEN: Tone.FAILED,
    },
}
_WORDS: Mapping[StrEnum, str] = {
    Verdict.NONE: "unsigned",
    Verdict.VALID: "signature valid",
    Verdict.BROKEN: "signature broken",
}
"""What the state's own word does not say alone."""


def look(state: StrEnum | None) -> Look:
    """How a state looks; None is a device that nothing was ever asked of."""
    if state is None:
        return Look(Tone.IDLE, "idle")
    return Look(_TONES[type(state)][state], _WORDS.get(state, state.replace("_", " ")))
