"""How a rollout goes about it, in sentences: what one would do, and the policy of one that is."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from otaru.apps.console.rendering import number
from otaru.apps.console.rollout_words import devices, percent
from otaru.domain.rollout import (
    MAX_PRIORITY,
    Abort,
    Approve,
    FailureType,
    Limits,
    OnError,
    Policy,
    RateRule,
    Rollout,
    Segment,
    Urgency,
    Wave,
)
from otaru.domain.units import span as told_span
from otaru.services.control.rollouts import Intention, Preview


def heights(waves: Sequence[Wave]) -> str:
    """`2, then 10, then all 48`; of many waves the first and the last ones."""
    if not waves:
        return "nobody"
    words = [number(wave.height) for wave in waves[:-1]]
    if len(words) >= _TOLD:
        words = [*words[:2], "…", words[-1]]
    return ", then ".join([*words, f"all {number(waves[-1].height)}"]).replace("then …, then", "…,")


def summary(intention: Intention, preview: Preview) -> list[str]:
    """What a rollout would do, in sentences."""
    policy, waves = intention.policy, preview.waves
    whom = f"Brings {intention.product} {intention.version} to {devices(preview.members)}"
    first = (
        f" in {len(waves)} waves: {heights(waves)}."
        if 1 < len(waves) <= _TOLD
        else f" in {len(waves)} waves, from {devices(waves[0].height)} on."
        if len(waves) > 1
        else f", {_pace(policy.rate)}."
        if policy.rate is not None
        else ", at its next poll."
        if preview.members == 1
        else ", each at its next poll."
    )
    manner = [*_judging(policy), *_manner(policy), *_room(policy)]
    return [whom + first, *_split(preview.segments), *manner, *_beginning(intention)]


_TOLD = 6
"""Up to so many waves are told one by one."""


def _split(segments: Sequence[Segment]) -> Iterator[str]:
    if len(segments) > 1:
        yield f"They are of {len(segments)} kinds. The canaries of each come first, and one that fails can be held alone."


_DOES: Mapping[OnError, str] = {
    OnError.ADVISE: "says so and goes on",
    OnError.PAUSE: "pauses",
    OnError.STOP: "stops for good",
    OnError.ROLLBACK: "stops for good, and devices that took it are brought back where that is safe",
}


def _judging(policy: Policy) -> Iterator[str]:
    if policy.sequential is not None:
        alpha = percent(policy.sequential.alpha)
        yield f"How fast depends on what is seen; a good release is stopped or held wrongly with a chance of {alpha} at most."
        yield f"When it does badly, the rollout {_DOES[policy.on_error]}; one kind that does badly is held."
    if policy.rate is not None:
        yield from (f"When {_abort(one)}, the rollout {_DOES[policy.on_error]}." for one in policy.rate.aborts)
    if policy.rule is None:
        return
    watched = f" and {told_span(policy.observe)} more have gone by" if policy.observe else ""
    yield f"A wave passes when {percent(policy.rule.success)} of its devices succeeded{watched}."
    yield f"When more than {percent(policy.rule.error)} failed, the rollout {_DOES[policy.on_error]}."


def _manner(policy: Policy) -> Iterator[str]:
    if policy.validate:
        yield f"A device succeeds after {_trial(policy)}."
    if policy.consent:
        yield f"Each device or its owner is asked first{_deadline(policy)}."
    if policy.urgency is Urgency.SOFT:
        late = f" until {_minute(policy.forced_at)}" if policy.forced_at else ""
        yield f"Devices choose the moment themselves{late}."
    if policy.conditions:
        yield f"A device begins only where this holds: {', '.join(map(str, policy.conditions))}."
    if policy.window:
        yield f"Devices are told only in the window {policy.window}."
    if policy.download_only:
        yield "Devices download it, and install it when that is ordered."
    elif policy.downloads_first:
        yield "They download it at any time before."
    if policy.ignore_blackout:
        yield "Blackouts are ignored."


def _room(policy: Policy) -> Iterator[str]:
    """Who else it leaves room for, and how long it lasts."""
    if policy.limits.any:
        yield f"Limited to {', '.join(_limits(policy.limits)).removeprefix('at most ')}."
    if policy.priority != Policy().priority:
        yield f"Its priority is {policy.priority} of 0 to {MAX_PRIORITY}."
    if policy.continuous:
        yield "Devices that match later join it."
    if policy.end_at:
        yield f"Nothing new is offered from {_minute(policy.end_at)} on."
    if policy.expires_after:
        yield f"Who is not reached {told_span(policy.expires_after)} after the start is skipped."


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _trial(policy: Policy) -> str:
    allowed = policy.validate_events
    bad = "a bad health event" if allowed == 1 else f"{number(allowed)} bad health events"
    return f"{told_span(policy.validate)} on trial, heard of and without {bad}"


def _beginning(intention: Intention) -> Iterator[str]:
    approve = intention.policy.approve
    if approve is Approve.WAVES:
        yield "Somebody else approves its start, and each further wave."
    elif approve is Approve.START:
        yield "Somebody else approves its start."
    waits = "once it is approved" if approve is not Approve.NONE else "at once"
    if intention.start_at is not None:
        yield f"It starts by itself on {intention.start_at:%Y-%m-%d at %H:%M} UTC."
    elif intention.policy.after is not None:
        yield f"It starts when rollout {intention.policy.after} has finished well."
    else:
        yield f"It starts {waits}." if intention.start else "Nobody is offered anything until somebody starts it."


def policy_words(rollout: Rollout) -> Iterator[tuple[str, str]]:
    """A policy by what each part is about."""
    policy = rollout.policy
    if policy.rate is None and policy.rule is None and len(rollout.waves) < 2:
        yield "Waves", "none: every device is offered it at its next poll"
    else:
        yield "Waves", f"first {heights(rollout.waves)}" if len(rollout.waves) > 1 else "one, of all"
    yield from _rule_words(policy)
    if policy.split:
        yield "Segments", f"by {', '.join(policy.split)}; each can be held on its own"
    if policy.validate:
        yield "Succeeds", f"a device after {_trial(policy)}"
    yield from _kind_words(policy)
    yield from _manner_words(rollout)


def _kind_words(policy: Policy) -> Iterator[tuple[str, str]]:
    if policy.approve is not Approve.NONE:
        yield "Approval", "of the start" + (" and of each further wave" if policy.approve is Approve.WAVES else "")
    if policy.after is not None:
        yield "After", f"rollout {policy.after} has finished well"
    if policy.continuous:
        yield "Continuous", "devices that match later join it, until it is stopped, expires or ends"
    if policy.priority != Policy().priority:
        yield "Priority", f"{policy.priority} of 0 to {MAX_PRIORITY}; the highest goes first"


def _manner_words(rollout: Rollout) -> Iterator[tuple[str, str]]:
    policy = rollout.policy
    soft = policy.urgency is Urgency.SOFT
    late = f", forced from {policy.forced_at:%Y-%m-%d %H:%M} UTC on" if policy.forced_at else ""
    yield "Moment", f"the device's choice (soft){late}" if soft else "as soon as the device can (forced)"
    if policy.conditions:
        yield "Requires", ", ".join(map(str, policy.conditions))
    yield "Consent", _consent(policy)
    if policy.window:
        yield "Window", f"devices are told in {policy.window}" + ("" if policy.window.rule else ", each day")
    if policy.download_only:
        yield "Installed", _ordered(rollout)
    if policy.downloads_first:
        yield "Downloads", "at any time" if rollout.download_window is None else "in the window"
    if policy.install_takes:
        yield "Installing", f"takes {told_span(policy.install_takes)}: so much of the window has to be left"
    if policy.limits.any:
        yield "Limits", "; ".join(_limits(policy.limits))
    if policy.ignore_blackout:
        yield "Blackouts", "are ignored: it is an emergency"
    if policy.end_at:
        yield "Ends", f"{policy.end_at:%Y-%m-%d %H:%M} UTC; then who has not been told is skipped"
    yield "Expires", _expiry(policy.expires_after)


def _ordered(rollout: Rollout) -> str:
    install = rollout.install
    if install is None:
        return "when that is ordered"
    return "in the window" if install.in_window else f"from {install.at:%Y-%m-%d %H:%M} UTC on"


def _limits(limits: Limits) -> Iterator[str]:
    if limits.in_flight is not None:
        yield f"at most {devices(limits.in_flight)} in flight"
    if limits.per_minute is not None:
        yield f"{devices(limits.per_minute)} a minute"
    for place in limits.places:
        among = f"of those tagged {place.tag}" if place.tag else f"for each {place.attribute}"
        yield f"{devices(place.most)} in flight {among}"


def _consent(policy: Policy) -> str:
    if not policy.consent:
        return "not asked"
    postponed = f", postponed at most {policy.postponements} times for {told_span(policy.postpone_for)}"
    often = postponed if policy.postponements else ", never postponed"
    return f"asked of each device or its owner{_deadline(policy)}{often}; not for a security release"


def _deadline(policy: Policy) -> str:
    if policy.consent_deadline is None:
        return ""
    return f"; who says nothing for {told_span(policy.consent_deadline)} has consented"


def _pace(rate: RateRule) -> str:
    what = "succeeded" if rate.succeeded else "were told"
    more = f"times {rate.factor:g} for each {number(rate.every)} that {what}"
    return f"{devices(rate.base)} a minute, {more}, at most {number(rate.maximum)}"


def _abort(one: Abort) -> str:
    kind = {FailureType.ALL: "failed in any way", FailureType.TIMED_OUT: "timed out"}.get(one.failure, str(one.failure))
    return f"{one.threshold:g}% of at least {number(one.minimum)} have {kind}"


def _rule_words(policy: Policy) -> Iterator[tuple[str, str]]:
    does = _DOES[policy.on_error]
    if policy.sequential is not None:
        past, alpha = policy.sequential.releases, percent(policy.sequential.alpha)
        yield "Judge", f"by e-values; a good release is stopped or held by mistake in {alpha} of rollouts at most"
        learned = f"what {past} past {'release' if past == 1 else 'releases'} did"
        yield "Tolerates", learned if past else "a cautious guess: no past"
        if policy.sequential.telemetry:
            yield "Compares", ", ".join(f"{m.name} ({m.worse} is worse)" for m in policy.sequential.telemetry)
        back = ", and its devices are brought back where that is safe" if policy.on_error is OnError.ROLLBACK else ""
        yield "Stopped", f"the rollout {does}; a bad segment is held{back}"
    if policy.rate is not None:
        yield "Rate", _pace(policy.rate)
        yield from (("Aborts", f"when {_abort(one)}; then the rollout {does}") for one in policy.rate.aborts)
    if policy.rule is not None:
        yield "Passes", f"when {percent(policy.rule.success)} of a wave succeeded"
        yield "Fails", f"when more than {percent(policy.rule.error)} failed; then the rollout {does}"
        late = f", or after {told_span(policy.wave_timeout)}" if policy.wave_timeout is not None else ""
        yield "Complete", f"when {percent(policy.quorum)} of a wave have ended{late}"
        if policy.observe:
            yield "Watched", f"for {told_span(policy.observe)} before the next wave opens"


def _expiry(after: timedelta | None) -> str:
    return "never" if after is None else f"{told_span(after)} after the start; then who is not reached is skipped"
