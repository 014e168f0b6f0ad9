"""The device's decision: from two repositories and what it knows of itself to what it may install (docs/attacks.md).

1. The time is known and has not gone backwards (`clock`).
2. Director: root, timestamp, snapshot, targets; the targets are for this device.
3. Nothing due: that is all. Else the image repository, down to the role that lists each target.
4. Director and image repository say the same of each target.
5. It is made for this hardware, not below the floors, what it needs is there, the bundle is complete.
6. Where asked for: the release is in the transparency log, seen by witnesses.

What follows is not metadata: bytes (`payload`), the installer's own check, and `committed` once all of it runs. Refusing is
the default: whatever is not understood is refused with a code.

Director's timestamp and snapshot are kept only together with targets for this device: those of another device of the tenant
are signed by the same keys, and their versions would lock this device out.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from tuf.api.metadata import TargetFile, Targets

from otaru.errors import MetadataFormError
from otaru.trust.tuf.repository import check_delegated, check_delegations, check_root
from otaru.trust.verify.chain import Chain, Found, Rules, find, refresh
from otaru.trust.verify.fitness import Me, check_bundle, check_counter, check_fitness
from otaru.trust.verify.proof import MAX_PROOF, check_logged, subject_of
from otaru.trust.verify.refusals import BundleError, TargetFormError, WrongDeviceError
from otaru.trust.verify.state import State
from otaru.trust.verify.steps import Source, Steps, Want
from otaru.trust.verify.target import (
    MAX_TARGETS,
    Order,
    Target,
    check_agreement,
    check_path,
    read_order,
    read_target,
)

IMAGE_RULES = Rules(check_root, check_delegations, check_delegated)


@dataclass(frozen=True, slots=True)
class Wish:
    """A target that somebody who may wants this device to run."""

    path: str
    order: Order
    agrees: Callable[[TargetFile], None]
    """Raises where the image repository says something else of it."""


@dataclass(frozen=True, slots=True)
class Update:
    """A target that may be installed, and what the director says of it."""

    target: Target
    order: Order
    role: str
    """The image repository's role that lists it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is due: nothing, one target, or a bundle of which all or none is to be installed."""

    state: State
    """To be stored before anything is installed."""
    updates: tuple[Update, ...] = ()

    @property
    def not_before(self) -> datetime | None:
        """When it may be installed; at once where there is none."""
        return max((u.order.not_before for u in self.updates if u.order.not_before is not None), default=None)


def verify(state: State, me: Me, now: datetime) -> Steps[Verdict]:
    """Ask both repositories what is due. `now` is of `trusted_time`; an earlier one than the state's is not believed.

    Raises:
        OtaruError: it is refused, see `REFUSALS`.
    """
    now = max(now, state.time)
    director = yield from refresh(Source.DIRECTOR, state.director, director_rules(me), now)
    state = replace(state, director=director.trusted, time=now)
    orders = director.targets.signed.targets.values()
    if not orders:
        return Verdict(state)
    image = yield from refresh(Source.IMAGE, state.image, IMAGE_RULES, now)
    return (yield from agreed(image, me, orders, state, now))


def agreed(image: Chain, me: Me, orders: Iterable[TargetFile], state: State, now: datetime) -> Steps[Verdict]:
    """What the director orders, where the image repository says the same of it and it is fit for this device."""
    wishes = [Wish(one.path, read_order(one), partial(check_agreement, one)) for one in orders]
    image, updates = yield from select(image, me, wishes, state, now)
    return Verdict(replace(state, image=image.trusted), updates)


def director_rules(me: Me) -> Rules:
    """What the director's repository holds for a device."""

    def targets(found: Targets) -> None:
        named = found.unrecognized_fields.get("deviceId")
        if named != me.id:
            raise WrongDeviceError(f"the director's targets are for {str(named)[:128]!r}, not for {me.id}")
        if found.delegations is not None:
            raise MetadataFormError("the director's targets delegate")
        if len(found.targets) > MAX_TARGETS:
            raise MetadataFormError(f"the director names more than {MAX_TARGETS} targets")
        for path in found.targets:
            check_path(path)

    return Rules(check_root, targets, whole=True)


def select(
    image: Chain, me: Me, wishes: Iterable[Wish], state: State, now: datetime
) -> Steps[tuple[Chain, tuple[Update, ...]]]:
    """What of the image repository is wished for, each of it checked, and all of it together."""
    updates: list[Update] = []
    for wish in wishes:
        image, found = yield from find(image, wish.path)
        wish.agrees(found.target)
        target = read_target(found.target)
        if target.delta is not None:
            raise TargetFormError(f"{target.path} is a patch: what is due has to be named in full")
        check_fitness(me, target)
        check_counter(me, target, wish.order, state.counters, image.root, now)
        yield from _logged(me, found, target)
        updates.append(Update(target, wish.order, found.role))
    check_bundle([(update.target, update.order) for update in updates])
    return image, tuple(updates)


def committed(state: State, updates: Collection[Update], healthy: Collection[str]) -> State:
    """The state once the components `healthy` run what was installed: only now do counters rise, and never fall.

    A device that burns a counter before the new software has shown that it runs can no longer go back.

    Raises:
        BundleError: not all of the updates run; then none of them is committed.
    """
    missing = {update.target.component for update in updates} - set(healthy)
    if missing:
        raise BundleError(f"{', '.join(sorted(missing))} does not run what was installed")
    return burnt(state, {update.target.component: update.target.counter for update in updates})


def burnt(state: State, counters: Mapping[str, int]) -> State:
    """The state with these counters risen: for who has kept the verified targets' over a reboot. See `committed`."""
    risen = {name: max(counter, state.counters.get(name, 0)) for name, counter in counters.items()}
    return replace(state, counters={**state.counters, **risen})


def _logged(me: Me, found: Found, target: Target) -> Steps[None]:
    if me.log is not None:
        proof = yield Want(Source.LOG, subject_of(found, target), None, MAX_PROOF)
        check_logged(me.log, found, target, proof)
