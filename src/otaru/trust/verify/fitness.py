"""Whether targets that are verified are for this device, now: hardware, counters, what has to be there, all or nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tuf.api.metadata import Root

from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, TenantId, Version
from otaru.trust.permit import check_permit
from otaru.trust.verify.proof import LogPolicy
from otaru.trust.verify.refusals import (
    BelowFloorError,
    BelowFuseError,
    BundleError,
    PrerequisiteError,
    TargetFormError,
    WrongHardwareError,
)
from otaru.trust.verify.target import Order, Target


@dataclass(frozen=True, slots=True)
class Me:
    """What a device knows of itself."""

    tenant: TenantId
    id: DeviceId
    hardware: Collection[Hardware]
    installed: Mapping[str, Version] = field(default_factory=dict)
    """The version that runs in each component."""
    fuses: Mapping[str, int] = field(default_factory=dict)
    """Security counters that the hardware itself has burnt, by component."""
    log: LogPolicy | None = None
    """Releases have to be shown in the transparency log."""


def check_fitness(me: Me, target: Target) -> None:
    """Check that a target is made for this device, and that what it needs is there.

    Raises:
        WrongHardwareError, BelowFuseError, PrerequisiteError: it is not.
    """
    if not any(made_for.fits(own) for made_for in target.hardware for own in me.hardware):
        made = ", ".join(map(str, target.hardware))
        raise WrongHardwareError(f"{target.path} is made for {made}", path=target.path)
    fuse = me.fuses.get(target.component, 0)
    if target.counter < fuse:
        raise BelowFuseError(
            f"{target.path} has the security counter {target.counter}, the hardware has burnt {fuse}", fuse=fuse
        )
    for needed in target.prerequisites:
        if not needed.met_by(me.installed.get(needed.component)):
            raise PrerequisiteError(f"{target.path} needs {needed}", needed=str(needed))


def check_counter(
    me: Me, target: Target, order: Order, counters: Mapping[str, int], image_root: Root, now: datetime
) -> None:
    """Check that a target is not below the floor of its component, or permitted.

    Raises:
        BelowFloorError: it is, and nothing permits it.
        PermitError, MetadataError: there is a permission, and it does not hold.
    """
    floor = counters.get(target.component, 0)
    if target.counter >= floor:
        return
    if order.permit is None:
        raise BelowFloorError(
            f"{target.path} has the security counter {target.counter}, the device has burnt {floor}", floor=floor
        )
    check_permit(
        order.permit,
        image_root,
        tenant=me.tenant,
        device=me.id,
        component=target.component,
        counter=target.counter,
        now=now,
    )


def check_bundle(orders: Sequence[tuple[Target, Order]]) -> None:
    """Check that what belongs together is together: several targets are one bundle, and all of it is there.

    Raises:
        BundleError: something is missing, or does not belong.
        TargetFormError: two targets are for one component.
    """
    components = [target.component for target, _ in orders]
    if len(set(components)) != len(components):
        raise TargetFormError("two targets are for the same component")
    groups = {(order.bundle, order.bundle_size) for _, order in orders}
    if len(groups) > 1 or any(size != len(orders) for _, size in groups):
        sizes = max(size for _, size in groups)
        raise BundleError(f"{len(orders)} targets came of a bundle of {sizes}", came=len(orders))
    if len(orders) > 1 and orders[0][1].bundle is None:
        raise BundleError(f"{len(orders)} targets came and name no bundle", came=len(orders))
