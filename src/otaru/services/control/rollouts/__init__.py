"""People plan, start, pause, resume, stop and retry rollouts, and cancel single deployments."""

from otaru.services.control.rollouts.applying import STOPPABLE, apply, check_edition, found, stop_all
from otaru.services.control.rollouts.approving import awaited, check_told_apart, watched
from otaru.services.control.rollouts.attempts import RETRIED_IN, cancel, retry
from otaru.services.control.rollouts.drafting import (
    LAST_YEAR,
    Drafted,
    Intention,
    Planned,
    Planning,
    Preview,
    aimed,
    check_intention,
    check_policy,
    create,
    create_in,
    draft,
    preview,
)
from otaru.services.control.rollouts.ordering import (
    allowed,
    hold_segment,
    install,
    order,
    release_segment,
    segments_move,
    withdraw,
)
from otaru.services.control.rollouts.progress import MAX_REASONS, Progress, progress, progress_in

__all__ = [
    "LAST_YEAR",
    "MAX_REASONS",
    "RETRIED_IN",
    "STOPPABLE",
    "Drafted",
    "Intention",
    "Planned",
    "Planning",
    "Preview",
    "Progress",
    "aimed",
    "allowed",
    "apply",
    "awaited",
    "cancel",
    "check_edition",
    "check_intention",
    "check_policy",
    "check_told_apart",
    "create",
    "create_in",
    "draft",
    "found",
    "hold_segment",
    "install",
    "order",
    "preview",
    "progress",
    "progress_in",
    "release_segment",
    "retry",
    "segments_move",
    "stop_all",
    "watched",
    "withdraw",
]
