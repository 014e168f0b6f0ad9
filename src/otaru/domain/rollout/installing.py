"""Download first, install later: the order to install what devices have fetched.

In such a rollout (`Policy.download_only`) every member is told to fetch the release as soon as it runs, whatever its wave;
waves and the judge are about the installation, and the first of them opens when the order's moment has come. A rollout has
one such order, which counts once however often it is given, and can be moved or withdrawn until its moment. One that goes by
the window comes true at every opening, so that it can always be withdrawn: who has been told by then goes on.
"""

from dataclasses import replace
from datetime import datetime

from otaru.domain.rollout.holding import Step
from otaru.domain.rollout.machine import RolloutState
from otaru.domain.rollout.plan import Install, Rollout
from otaru.domain.rollout.policy import Policy
from otaru.domain.rollout.stepping import opened
from otaru.errors import InvalidInputError, InvalidStateError, NeverDueError, NothingToDoError

LAST_YEAR = 9000
"""No order is for later: what counts from it has to be a time, too."""


def installable(rollout: Rollout) -> bool:
    """Whether an order to install means anything for it now."""
    return rollout.policy.download_only and rollout.is_live


def settled(rollout: Rollout, now: datetime) -> bool:
    """Whether the moment of its order has come, so that nothing of it can be changed."""
    install = rollout.install
    return install is not None and not install.in_window and now >= install.at


def check_install(policy: Policy, install: Install | None, now: datetime) -> None:
    """Check an order to install as a person gave it.

    Raises:
        InvalidInputError: it makes no sense for such a rollout.
        NeverDueError: it comes after the rollout's end.
    """
    if install is None:
        return
    if not policy.download_only:
        raise InvalidInputError(
            "an order to install is for a rollout that only downloads", hint="Say download_only (--download-only) too."
        )
    if install.in_window and policy.window is None:
        raise InvalidInputError("it has no window to install in", hint="Give it a window, or a moment to install at.")
    if install.at.year > LAST_YEAR:
        raise InvalidInputError(f"an installation is ordered for before the end of the year {LAST_YEAR}")
    if install.at < now:
        raise InvalidInputError(f"{install.at:%Y-%m-%d %H:%M} UTC has passed", hint="Give a moment to come, or none.")
    if policy.end_at is not None and install.at >= policy.end_at:
        raise NeverDueError(f"it would be installed after its end, {policy.end_at:%Y-%m-%d %H:%M} UTC")


def order_install(rollout: Rollout, install: Install, now: datetime) -> Step:
    """Carry out a person's order to install, or move one whose moment has not come.

    Raises:
        InvalidStateError: the rollout does not wait for one, or the moment of the one that was given has come.
        NothingToDoError: just this was ordered already.
        InvalidInputError, NeverDueError: as `check_install`.
    """
    before = _of_open(rollout)
    if settled(rollout, now) and before is not None:
        if install.at == now and not install.in_window:
            raise NothingToDoError(f"rollout {rollout.id} was ordered to install at {_said(before.at)}")
        raise _too_late(rollout, before)
    if before == install or (before is not None and before.in_window and install.in_window):
        raise NothingToDoError(f"that is what rollout {rollout.id} was ordered already")
    check_install(rollout.policy, install, now)
    after = replace(rollout, install=install, edition=rollout.edition + 1)
    if rollout.state is RolloutState.RUNNING and after.may_install(now):
        after = opened(after, now)
    moved = "moved: " if before is not None else ""
    return Step(after, notes=(f"{moved}{install.words(now)}",))


def withdraw_install(rollout: Rollout, now: datetime) -> Step:
    """Take the order to install back. Who has been told to install goes on.

    Raises:
        InvalidStateError: the rollout does not wait for one, or its moment has come.
        NothingToDoError: there is none.
    """
    before = _of_open(rollout)
    if before is None:
        raise NothingToDoError(f"rollout {rollout.id} has no order to install")
    if settled(rollout, now):
        raise _too_late(rollout, before)
    return Step(
        replace(rollout, install=None, edition=rollout.edition + 1), notes=("the order to install is withdrawn",)
    )


def _of_open(rollout: Rollout) -> Install | None:
    if not rollout.policy.download_only:
        raise InvalidStateError(
            f"rollout {rollout.id} waits for no order to install: devices install what they download",
            hint="A rollout waits for it that was made with download_only (--download-only).",
        )
    if not installable(rollout):
        why = rollout.reason if rollout.superseded_by is not None else str(rollout.state)
        raise InvalidStateError(f"rollout {rollout.id} is {why}: nobody new of it installs any more")
    return rollout.install


def _too_late(rollout: Rollout, before: Install) -> InvalidStateError:
    return InvalidStateError(
        f"rollout {rollout.id} installs since {_said(before.at)}: its order can be moved or withdrawn before its moment",
        hint="Pause it, and nobody new is told to install; or stop it.",
    )


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
