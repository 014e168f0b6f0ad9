"""Releases of several components: a device has taken one when all of them run, and not before."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from otaru.domain.deployment import Event, Report
from otaru.domain.ids import TenantId, Version
from otaru.domain.offer import Subject
from otaru.services.control.world import World


async def whole(
    world: World, tenant: TenantId, subject: Subject, said: Sequence[Report], runs: Mapping[str, Version]
) -> Sequence[Report]:
    """What a device says, where it also says what runs: a success is a failure where one of several runs something else.

    What it does not name is believed to run. Nothing is asked of releases of one component, whose version a device may
    call by another name.
    """
    share = subject.open
    if share is None or not runs or not any(one.event is Event.SUCCEED for one in said):
        return said
    plan = await world.registry.plan(tenant, share.rollout)
    if plan is None or len(plan.release.components) == 1:
        return said
    release = plan.release
    lacking = [
        f"{a.component} runs {runs[a.component]}"
        for a in release.artifacts_for(subject.hardware)
        if a.component in runs and runs[a.component] != release.version
    ]
    if not lacking:
        return said
    words = f"bundle_incomplete: success was said of {release.product} {release.version}, but {', '.join(lacking)}"
    return [
        replace(one, event=Event.FAIL, messages=(*one.messages, words))
        if one.event is Event.SUCCEED and one.action == share.action
        else one
        for one in said
    ]
