"""Plans of rollouts, as the API shows and takes them."""

from typing import Annotated

from pydantic import Field

from otaru.analysis.replay import Course
from otaru.apps.server.api.models.fields import Fraction, Out
from otaru.apps.server.api.models.rollouts import RolloutIn
from otaru.domain.rollout import RolloutState
from otaru.services.control.planning import Foresight

Span = Annotated[float | None, Field(description="Seconds from the start; null where that is further than is played.")]


class PreviewIn(RolloutIn):
    """A rollout to look at before it is made."""

    failure: Annotated[
        Fraction | None,
        Field(description="Dry run: also say what would happen if this share of the updates failed.", examples=[0.3]),
    ] = None


class PlannedWave(Out):
    """A wave that would be."""

    start: int
    height: int


class PlannedSegment(Out):
    """A segment that would be."""

    index: int
    name: str
    size: int
    canaries: Annotated[int, Field(description="Of them, those that come first.")]
    critical: Annotated[int, Field(description="Of them, those tagged critical, which come last.")]


class CourseOut(Out):
    """How a rollout would go, played on what is known of the fleet."""

    state: RolloutState
    reason: Annotated[str, Field(description="Why it would stop, where it would.")]
    ended_s: Span
    half_s: Span
    most_s: Annotated[float | None, Field(description="When 90 % would have succeeded, in seconds from the start.")]
    nearly_all_s: Annotated[float | None, Field(description="… and 99 %.")]
    told: Annotated[
        int, Field(description="Members that would be offered the release: the exposed ones, if it is bad.")
    ]
    failed: int
    told_by_hour: list[int]
    held: Annotated[list[str], Field(description="Segments that the judge would hold.")]
    step: Annotated[
        float,
        Field(
            description="From one look to the next so much of the time that has gone by passes; it is more where there are many "
            "segments and waves. Times come out late, the more waves the later."
        ),
    ]

    @classmethod
    def of(cls, course: Course) -> "CourseOut":
        """As it was played."""
        half, most, nearly_all = course.reached_s.values()
        return cls(
            state=course.state,
            reason=course.reason,
            ended_s=course.ended_s,
            half_s=half,
            most_s=most,
            nearly_all_s=nearly_all,
            told=course.told,
            failed=course.failed,
            told_by_hour=list(course.by_hour),
            held=list(course.held),
            step=round(course.step, 4),
        )


class PreviewOut(Out):
    """What a rollout would be."""

    members: int
    left_out: Annotated[dict[str, int], Field(description="How many are left out, by reason.")]
    waves: list[PlannedWave]
    segments: list[PlannedSegment]
    canaries: Annotated[int, Field(description="How many come first, of all segments; 0 where all are told at once.")]
    first: Annotated[list[str], Field(description="The first devices in their order.")]
    volume: Annotated[int, Field(description="Bytes that its members would fetch.")]
    unheard: Annotated[int, Field(description="Members that were never heard of, or not for a year.")]
    install_s: Annotated[
        float | None,
        Field(description="Median of the newest updates, from offer to success; null where none is known."),
    ]
    failure: Annotated[
        float | None, Field(description="The share of the newest updates that failed; null where none is known.")
    ]
    expected: Annotated[CourseOut | None, Field(description="How it would go where every update succeeds.")]
    bad: Annotated[CourseOut | None, Field(description="… and where so many failed as the request says.")]
    warnings: Annotated[list[str], Field(description="What speaks against the release, though nothing forbids it.")]
    seed: Annotated[str, Field(description="With it, and the members, `planned` makes just this plan.")]

    @classmethod
    def of(cls, found: Foresight) -> "PreviewOut":
        """As it was found."""
        outlook, rollout = found.outlook, found.rollout
        return cls(
            members=rollout.size,
            left_out=dict(found.left_out),
            waves=[PlannedWave(start=wave.start, height=wave.height) for wave in rollout.waves],
            segments=[
                PlannedSegment(
                    index=segment.index,
                    name=segment.name,
                    size=segment.size,
                    canaries=stratum.canaries if rollout.policy.staged else 0,
                    critical=stratum.critical,
                )
                for segment, stratum in found.segments
            ],
            canaries=found.canaries,
            first=list(outlook.first),
            volume=found.volume,
            unheard=outlook.unheard,
            install_s=outlook.install_s,
            failure=outlook.failure,
            expected=None if found.expected is None else CourseOut.of(found.expected),
            bad=None if found.bad is None else CourseOut.of(found.bad),
            warnings=list(found.warnings),
            seed=str(rollout.seed),
        )
