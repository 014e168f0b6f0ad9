"""What is due for a device, in the words of the native road."""

from collections.abc import Sequence
from datetime import datetime

from otaru.domain import link
from otaru.domain.consent import automatic_at, is_asked
from otaru.domain.deployment import WAITING, State
from otaru.domain.link import Asking, Offer, Opening, Patch
from otaru.domain.offer import Subject, window_of
from otaru.domain.release import Artifact
from otaru.domain.schedule import Window
from otaru.domain.tenant import Tenant
from otaru.services.control.consent import Asked
from otaru.services.control.poll import Due, only_downloads
from otaru.trust.tuf.files import installer_by


def offered(
    due: Due,
    subject: Subject,
    tenant: Tenant,
    asked: Asked | None,
    files: Sequence[link.File],
    now: datetime,
) -> Offer:
    """A deployment as the device is told of it. `asked` is known where it waits for consent."""
    policy, release = due.plan.rollout.policy, due.plan.release
    return Offer(
        action=due.membership.action,
        rollout=due.plan.rollout.id,
        product=release.product,
        version=release.version,
        type=release.terms.type,
        files=tuple(files),
        urgency=policy.urgency_at(now),
        forced_at=policy.forced_at,
        notes=release.notes,
        consent=_consent(due, asked) if is_asked(policy, release) else None,
        conditions=tuple(map(str, policy.conditions)),
        window=_window(due.plan.rollout.install_window, subject, tenant, now),
        takes=policy.install_takes,
        validate=policy.validate,
        hold=only_downloads(due.plan, due.membership.state),
    )


def offered_file(artifact: Artifact, addresses: Sequence[str], patches: Sequence[Patch]) -> link.File:
    """A file as the device is told of it."""
    return link.File(
        component=artifact.component,
        hardware=str(artifact.hardware),
        filename=artifact.filename,
        size=artifact.blob.size,
        sha256=artifact.blob.sha256,
        installer=artifact.installer or installer_by(artifact.filename),
        addresses=tuple(addresses),
        patches=tuple(patches),
    )


def _consent(due: Due, asked: Asked | None) -> link.Consent:
    policy, state = due.plan.rollout.policy, due.membership.state
    if state not in WAITING or asked is None:
        return link.Consent(Asking.GIVEN)
    put_off = asked.delay if state is State.POSTPONED else None
    return link.Consent(
        Asking.ASKED if put_off is None else Asking.POSTPONED,
        until=None if put_off is None else put_off.until,
        automatic_at=automatic_at(policy, asked.since),
        postponements=max(0, policy.postponements - (0 if asked.delay is None else asked.delay.times)),
        longest=policy.postpone_for,
    )


def _window(window: Window | None, subject: Subject, tenant: Tenant, now: datetime) -> Opening | None:
    if window is None:
        return None
    window = window_of(subject, window, tenant.calendar)
    closes = window.closes_at(now)
    return Opening(closes is not None, closes, None if closes is not None else window.next_opening(now))
