"""People plan, start, pause, resume, stop and retry rollouts, and cancel single deployments."""

from otaru.services.control.rollouts.applying import STOPPABLE, apply, check_edition, found, stop_all
from otaru.services.control.rollouts.approving import watched
from otaru.services.control.rollouts.attempts import RETRIED_IN, cancel, retry
from otaru.services.control.rollouts.drafting import (
    LAST_YEAR,
    Drafted,
    Intention,
    Planned,
    Preview,
    check_intention,
    create,
    draft,
    preview,
)
from otaru.services.control.rollouts.ordering import allowed, hold_segment, order, release_segment, segments_move
from otaru.services.control.rollouts.progress import MAX_REASONS, Present, Progress, progress, progress_in, shown

__all__ = [
    "LAST_YEAR",
    "MAX_REASONS",
    "RETRIED_IN",
    "STOPPABLE",
    "Drafted",
    "Intention",
    "Planned",
    "Present",
    "Preview",
    "Progress",
    "allowed",
    "apply",
    "cancel",
    "check_edition",
    "check_intention",
    "create",
    "draft",
    "found",
    "hold_segment",
    "order",
    "preview",
    "progress",
    "progress_in",
    "release_segment",
    "retry",
    "segments_move",
    "shown",
    "stop_all",
    "watched",
]
