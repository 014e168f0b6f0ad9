"""The states of a rollout and what moves it between them."""

from enum import StrEnum

from otaru.domain.machine import Machine


class RolloutState(StrEnum):
    """Where a rollout is."""

    DRAFT = "draft"
    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"


class RolloutEvent(StrEnum):
    """What moves a rollout."""

    PLAN = "plan"
    ASK_APPROVAL = "ask_approval"
    APPROVE = "approve"
    SCHEDULE = "schedule"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    HALT_DONE = "halt_done"
    FINISH = "finish"
    REOPEN = "reopen"
    SUPERSEDE = "supersede"
    """A newer release of its channel takes its place: nobody new is told, who was told goes on."""


ROLLOUT: Machine[RolloutState, RolloutEvent] = Machine(
    "rollout",
    RolloutState.DRAFT,
    frozenset({RolloutState.STOPPED, RolloutState.FINISHED}),
    {
        (RolloutState.DRAFT, RolloutEvent.PLAN): RolloutState.PLANNED,
        (RolloutState.PLANNED, RolloutEvent.ASK_APPROVAL): RolloutState.AWAITING_APPROVAL,
        (RolloutState.PLANNED, RolloutEvent.SCHEDULE): RolloutState.SCHEDULED,
        (RolloutState.PLANNED, RolloutEvent.START): RolloutState.RUNNING,
        (RolloutState.PLANNED, RolloutEvent.STOP): RolloutState.STOPPING,
        (RolloutState.AWAITING_APPROVAL, RolloutEvent.APPROVE): RolloutState.SCHEDULED,
        (RolloutState.AWAITING_APPROVAL, RolloutEvent.STOP): RolloutState.STOPPING,
        (RolloutState.SCHEDULED, RolloutEvent.START): RolloutState.RUNNING,
        # Planned before its tenant wanted four eyes: it does not start by itself.
        (RolloutState.SCHEDULED, RolloutEvent.ASK_APPROVAL): RolloutState.AWAITING_APPROVAL,
        (RolloutState.SCHEDULED, RolloutEvent.STOP): RolloutState.STOPPING,
        (RolloutState.RUNNING, RolloutEvent.PAUSE): RolloutState.PAUSED,
        # Between waves: the next one opens.
        (RolloutState.RUNNING, RolloutEvent.APPROVE): RolloutState.RUNNING,
        (RolloutState.RUNNING, RolloutEvent.STOP): RolloutState.STOPPING,
        (RolloutState.RUNNING, RolloutEvent.FINISH): RolloutState.FINISHED,
        (RolloutState.PAUSED, RolloutEvent.RESUME): RolloutState.RUNNING,
        (RolloutState.PAUSED, RolloutEvent.STOP): RolloutState.STOPPING,
        # Retrying the failed members of a finished rollout gives it members to wait for again.
        (RolloutState.FINISHED, RolloutEvent.REOPEN): RolloutState.RUNNING,
        (RolloutState.STOPPING, RolloutEvent.HALT_DONE): RolloutState.STOPPED,
        # Nobody has been told of these; the others wait for those that were.
        (RolloutState.PLANNED, RolloutEvent.SUPERSEDE): RolloutState.FINISHED,
        (RolloutState.AWAITING_APPROVAL, RolloutEvent.SUPERSEDE): RolloutState.FINISHED,
        (RolloutState.SCHEDULED, RolloutEvent.SUPERSEDE): RolloutState.FINISHED,
        (RolloutState.RUNNING, RolloutEvent.SUPERSEDE): RolloutState.RUNNING,
        (RolloutState.PAUSED, RolloutEvent.SUPERSEDE): RolloutState.RUNNING,
    },
)

ACTIVE = frozenset({RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.STOPPING})
"""Rollouts whose members a poll has to look at."""

PERSONS = frozenset(
    {RolloutEvent.START, RolloutEvent.PAUSE, RolloutEvent.RESUME, RolloutEvent.STOP, RolloutEvent.APPROVE}
)
"""The events that are orders of people; the others are the machine's own."""
