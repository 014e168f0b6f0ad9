"""A new rollout: what, to whom, how, when. What it would do is told while it is typed."""

from dataclasses import dataclass, replace

from starlette.responses import Response

from otaru.apps.console import policy_words
from otaru.apps.console.call import Call, Fields
from otaru.apps.console.planned_once import plan_once
from otaru.apps.console.rollout_form import CHOICES, FIELDS, TICKS, Draft, Mode, When
from otaru.apps.console.rollout_reading import read
from otaru.domain.access import Permission
from otaru.domain.release import ReleaseState
from otaru.errors import (
    ForbiddenError,
    IdempotencyConflictError,
    InvalidInputError,
    InvalidStateError,
    NeverDueError,
    NotFoundError,
    NothingToDoError,
    OtaruError,
    QuerySyntaxError,
)
from otaru.services.control import planning, releases, rollouts, survey
from otaru.services.control.planning import Foresight
from otaru.services.control.rollouts import Preview

RELEASES = 200
"""Releases to choose from; older ones can be typed."""
BAD = 0.3
"""The share of updates that fails where a plan is played as if its release were bad."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a draft would do, as far as can be told."""

    draft: Draft
    preview: Preview | None = None
    matching: int | None = None
    """Devices of the target, where no release says yet whom it is for."""

    @property
    def left_out(self) -> list[tuple[str, int]]:
        """Why devices of the target would be no members, and how many."""
        return [(why, n) for why, n in self.preview.left_out.items() if n] if self.preview else []

    @property
    def sentences(self) -> list[str]:
        """What it would do, in words; nothing where that cannot be told."""
        wanted, preview = self.draft.intention, self.preview
        if wanted is None or preview is None or preview.members == 0 or self.draft.wrong:
            return []
        sentences = policy_words.summary(wanted, preview)
        if wanted.start_at is None and self.draft.typed["when"] == When.AT:
            sentences[-1] = "It starts by itself at the time you give."
        return sentences


async def show(call: Call) -> Response:
    """The form, with what the address names filled in."""
    asked = {name: value for name in FIELDS if (value := call.asked(name))}
    foreseen = await _foresee(call, _read(call, asked).mended)
    return await _page(call, foreseen)


async def preview(call: Call) -> Response:
    """The parts of the form that tell what it would do."""
    foreseen = await _foresee(call, _read(call, _typed(await call.fields())).mended)
    return await _told(call, foreseen)


async def plan(call: Call) -> Response:
    """The plan in full: what takes longer to find out than a keystroke."""
    draft = _read(call, _typed(await call.fields()))
    foreseen = await _foresee(call, draft)
    wanted, found = draft.intention, None
    if wanted is not None and foreseen.preview and foreseen.preview.members and not foreseen.draft.wrong:
        found = await planning.plan(call.world, call.tenant, wanted, BAD)
    return await _told(call, foreseen, found)


async def create(call: Call) -> Response:
    """Plan the rollout, and start it where that was asked for."""
    fields = await call.fields()
    draft = _read(call, _typed(fields))
    if draft.wrong or draft.intention is None:
        return await _page(call, await _foresee(call, draft), 422)
    try:
        return call.lead(f"/rollouts/{await plan_once(call, fields, draft.intention)}")
    except (NotFoundError, InvalidStateError, NothingToDoError, InvalidInputError, IdempotencyConflictError) as error:
        return await _page(call, Foreseen(await _blamed(call, draft, error)), 422)


def _typed(fields: Fields) -> Fields:
    """A form that was sent, where a box that is not ticked sends nothing."""
    return {**dict.fromkeys(TICKS, ""), **fields}


def _read(call: Call, fields: Fields) -> Draft:
    draft = read(fields, call.now)
    if draft.typed["ignore_blackout"] and not call.visitor.may(Permission.WRITE_TENANT):
        refused = ForbiddenError(f"the role {call.visitor.role} may not ignore blackouts", hint="An admin may.")
        return draft.blamed("ignore_blackout", refused)
    return draft


async def _blamed(call: Call, draft: Draft, error: OtaruError) -> Draft:
    """With an error of a service beside the field that it is about."""
    wanted = draft.intention
    match error:
        case QuerySyntaxError() | NothingToDoError():
            return draft.blamed("target", error)
        case NeverDueError():
            return draft.blamed(next((name for name in _TIMES if draft.typed[name]), ""), error)
        case NotFoundError() | InvalidStateError() if wanted is not None and wanted.policy.after is not None:
            alone = replace(wanted, policy=replace(wanted.policy, after=None))
            try:
                await rollouts.preview(call.world, call.tenant, alone)
            except (NotFoundError, InvalidStateError):
                return draft.blamed("release", error)
            return draft.blamed("after", error)
        case NotFoundError() | InvalidStateError():
            return draft.blamed("release", error)
        case InvalidInputError() if draft.typed["mode"] == Mode.EXPONENTIAL:
            return draft.blamed("first", error)
        case _:
            return draft.blamed("", error)


_BESIDE = tuple(name for name in FIELDS if name not in {"target", "waves", "consent", *CHOICES})
"""Fields beside which stands what is wrong with them, and nothing else."""
_TIMES = ("expires", "end_at", "install_takes", "window")
"""Fields that may leave a rollout no time, those first that are most often alone to blame."""


async def _foresee(call: Call, draft: Draft) -> Foreseen:
    wanted = draft.intention
    try:
        if wanted is not None:
            return Foreseen(draft, await rollouts.preview(call.world, call.tenant, wanted))
        if (target := draft.typed["target"]) and "target" not in draft.wrong:
            page = await survey.devices(call.world, call.tenant, target, None, 1, count=True)
            return Foreseen(draft, matching=page.total)
    except (NotFoundError, InvalidStateError, InvalidInputError) as error:
        return Foreseen(await _blamed(call, draft, error))
    return Foreseen(draft)


async def _told(call: Call, foreseen: Foreseen, plan: Foresight | None = None) -> Response:
    return await call.show(
        "rollout_foreseen.html",
        foreseen=foreseen,
        draft=foreseen.draft,
        fields=_BESIDE,
        choices=CHOICES,
        plan=plan,
        bad_share=BAD,
    )


async def _page(call: Call, foreseen: Foreseen, status: int = 200) -> Response:
    choice = await releases.newest(call.world, call.tenant, [ReleaseState.PUBLISHED], RELEASES)
    return await call.show(
        "rollout_new.html",
        status,
        foreseen=foreseen,
        draft=foreseen.draft,
        releases=choice,
        choices=CHOICES,
        key=call.world.clock.token(),
    )
