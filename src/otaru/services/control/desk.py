"""What the director's signer does: it looks up in the store whether a device is to be told what it is asked to sign.

Its policy, in this order, fails closed:

1. no device has more signed than `BURST`, and one a minute after that;
2. the tenant has a director root that has not ended, and the keys that it names are here;
3. the device is active, and told of this very share: rollout, attempt and number;
4. the rollout runs (or pauses: what was told goes on), and the release log has it under a signed checkpoint;
5. the release is out, and the product's role has signed this file, by the chain of the image repository, which the
   release log has too; its counter is not below what the device has burnt, or a permission of the offline keys allows it.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, TargetFile

from otaru.domain.deployment import TOLD
from otaru.domain.device import Lifecycle
from otaru.domain.events import Kind
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.release import Artifact, Release, ReleaseState
from otaru.domain.rollout import RolloutState
from otaru.errors import AssignmentRefusedError, MetadataError, PermitError
from otaru.ports.director import Assignment
from otaru.ports.signing import Keyring
from otaru.ports.store import Tx
from otaru.services.control.signing import role_for
from otaru.trust.log.entries import Log
from otaru.trust.permit import check_permit, read_permit
from otaru.trust.tuf.director import Issued, KeptPermit, Share, directed, in_force, issue
from otaru.trust.tuf.files import files_of
from otaru.trust.tuf.kept import DIRECTOR, IMAGE, Kept
from otaru.trust.tuf.metadata import AnyMetadata, as_root, as_targets, check_signatures, read, signed
from otaru.trust.tuf.names import ROOT, TARGETS

T = TypeVar("T")

BURST = 60
"""So many times a device's metadata is signed at once."""
REST = timedelta(minutes=1)
"""After that, once in so long."""
_GOES_ON = frozenset({RolloutState.RUNNING, RolloutState.PAUSED})
_OUT = frozenset({ReleaseState.PUBLISHED, ReleaseState.DEPRECATED})
_MAX_REMEMBERED = 100_000
_PAGE, _PAGES = 200, 50


class Desk:
    """Implements `ports.director.Desk`. What has been verified once is remembered by its digest."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._roots: dict[bytes, Metadata[Root]] = {}
        self._files: dict[bytes, Mapping[str, TargetFile]] = {}
        self._logged: OrderedDict[tuple[TenantId, str, str], None] = OrderedDict()
        self._free: OrderedDict[tuple[TenantId, DeviceId], datetime] = OrderedDict()

    def make(self, tenant: TenantId) -> Key:
        """See the port."""
        return self._keyring.online(tenant).key

    def held(self, tenant: TenantId, keys: Collection[str]) -> frozenset[str]:
        """See the port."""
        return frozenset(self._keyring.of(tenant, keys))

    def sign(self, tx: Tx, assignments: Sequence[Assignment], now: datetime) -> list[Issued | AssignmentRefusedError]:
        """See the port."""
        done: list[Issued | AssignmentRefusedError] = []
        seen = _Seen(tx)
        for assignment in assignments:
            try:
                done.append(self._signed(seen, assignment, now))
            except AssignmentRefusedError as error:
                done.append(error)
            except (MetadataError, PermitError) as error:
                done.append(AssignmentRefusedError(error.message))
        return done

    def _signed(self, seen: "_Seen", asked: Assignment, now: datetime) -> Issued:
        tx = seen.tx
        tenant, device, share = asked.tenant, asked.device, asked.share
        self._hold_back(tenant, device, now)
        root = seen.once(("root", tenant), lambda: self._root(tx, tenant, now))
        before = tx.directions.get(tenant, device)
        version = 1 if before is None else before.version + 1
        permits = tx.directions.permits(tenant, device)
        files = {} if share is None else self._target(seen, asked, share, permits, now)
        targets, snapshot, timestamp, ends = issue(device, version, files, self._signer(tenant, root), now)
        return Issued(
            version, root.signed.version, share, in_force(permits, now), targets, snapshot, timestamp, now, ends
        )

    def _hold_back(self, tenant: TenantId, device: DeviceId, now: datetime) -> None:
        """Count this one: each puts the moment at which all of the burst is free again further off."""
        free = max(self._free.pop((tenant, device), now), now) + REST
        if free - now > BURST * REST:
            self._free[tenant, device] = free - REST
            raise AssignmentRefusedError(f"{device} has had its metadata signed {BURST} times in a short time")
        self._free[tenant, device] = free
        if len(self._free) > _MAX_REMEMBERED:
            self._free.popitem(last=False)

    def _root(self, tx: Tx, tenant: TenantId, now: datetime) -> Metadata[Root]:
        kept = tx.signatures.newest(tenant, DIRECTOR, [ROOT]).get(ROOT)
        if kept is None:
            raise AssignmentRefusedError("the tenant has no director repository")
        digest = sha256(kept.content).digest()
        root = self._roots.get(digest)
        if root is None:
            root = as_root(read(ROOT, kept.content))
            _verify(root.signed, ROOT, root)
            _remember(self._roots, digest, root)
        _check_end(ROOT, root, now)
        return root

    def _signer(self, tenant: TenantId, root: Metadata[Root]) -> Callable[[str, AnyMetadata], AnyMetadata]:
        def sign(role: str, found: AnyMetadata) -> AnyMetadata:
            keys = root.signed.roles[role]
            held = self._keyring.of(tenant, keys.keyids)
            if len(held) < keys.threshold:
                raise AssignmentRefusedError(f"keys of the director's {role} are not here")
            for name, signer in held.items():
                found = signed(found, name, signer.sign(found.signed_bytes))
            return found

        return sign

    def _target(
        self, seen: "_Seen", asked: Assignment, share: Share, permits: Sequence[KeptPermit], now: datetime
    ) -> dict[str, TargetFile]:
        tx, tenant, device = seen.tx, asked.tenant, asked.device
        entry = tx.devices.entry(tenant, device)
        if entry is None or entry.subject.lifecycle is not Lifecycle.ACTIVE:
            raise AssignmentRefusedError(f"the device {device} is not active")
        (row,) = tx.deployments.current(tenant, [(share.rollout, device)])
        if row is None or (row.attempt, row.action) != (share.attempt, share.action) or row.state not in TOLD:
            raise AssignmentRefusedError(f"{device} has not been told of action {share.action}")
        plan = seen.once(("plan", tenant, share.rollout), lambda: tx.rollouts.plan(tenant, share.rollout))
        if plan is None or plan.rollout.state not in _GOES_ON:
            raise AssignmentRefusedError(f"rollout {share.rollout} does not run")
        self._check_logged(tx, tenant, Kind.ROLLOUT_MOVED, str(share.rollout), "to", str(RolloutState.RUNNING))
        release = plan.release
        artifacts = release.artifacts_for(entry.subject.hardware)
        if not artifacts or release.state not in _OUT:
            raise AssignmentRefusedError(f"{release.product} {release.version} is not for {device} (any more)")
        role = role_for(release)
        files = seen.once(("files", tenant, role), lambda: self._image(tx, tenant, role, now))
        found = {}
        for artifact in artifacts:
            path, file = _listed(files, release, artifact)
            permit = None
            if release.counter < entry.subject.counter_of(artifact.component):
                permit = self._permitted(tx, asked, artifact.component, release.counter, permits, now)
            found[path] = directed(file, share, permit, len(artifacts))
        return found

    def _permitted(
        self,
        tx: Tx,
        asked: Assignment,
        component: str,
        counter: int,
        permits: Sequence[KeptPermit],
        now: datetime,
    ) -> Mapping[str, Any]:
        """The permission by which a device may go below its counter."""
        tenant, device = asked.tenant, asked.device
        kept = next((one for one in permits if one.component == component), None)
        if kept is None:
            raise AssignmentRefusedError(f"{device} would go below its security counter in {component}")
        permit = read_permit(kept.content)
        root = as_root(read(ROOT, tx.signatures.newest(tenant, IMAGE, [ROOT])[ROOT].content))
        _verify(root.signed, ROOT, root)
        check_permit(permit, root.signed, tenant=tenant, device=device, component=component, counter=counter, now=now)
        return permit.to_dict()

    def _image(self, tx: Tx, tenant: TenantId, role: str, now: datetime) -> Mapping[str, TargetFile]:
        """What a product's role lists, by signatures from the image root down to it, and logged."""
        kept = tx.signatures.newest(tenant, IMAGE, [ROOT, TARGETS, role])
        if len(kept) < 3:
            raise AssignmentRefusedError(f"nobody has signed {role}")
        if any(one.expires_at <= now for one in kept.values()):
            raise AssignmentRefusedError(f"{role}, or what delegates to it, has ended")
        digest = sha256(b"".join(sha256(kept[name].content).digest() for name in (ROOT, TARGETS, role))).digest()
        files = self._files.get(digest)
        if files is None:
            files = _verified(kept, role)
            self._check_logged(tx, tenant, Kind.METADATA_SIGNED, role, "sha256", sha256(kept[role].content).hexdigest())
            _remember(self._files, digest, files)
        return files

    def _check_logged(self, tx: Tx, tenant: TenantId, kind: Kind, subject: str, name: str, value: str) -> None:
        """Look whether a signed checkpoint of the release log covers an entry that says so."""
        told = (tenant, f"{kind} {subject}", value)
        if told in self._logged:
            return
        covered = tx.logs.tree(tenant, Log.RELEASE).signed
        before: int | None = covered
        for _ in range(_PAGES):
            entries = tx.logs.found(tenant, Log.RELEASE, subject, before, _PAGE)
            if any(draft.kind is kind and _says(draft.entry, name, value) for _, draft in entries):
                _remember(self._logged, told, None)
                return
            if len(entries) < _PAGE:
                break
            before = entries[-1][0]
        raise AssignmentRefusedError(f"the release log does not (yet) say it of {subject}: {kind}")


class _Seen:
    """What is looked up once for all devices of a frame: of one snapshot it cannot change."""

    def __init__(self, tx: Tx) -> None:
        self.tx = tx
        self._kept: dict[tuple[object, ...], Any] = {}

    def once(self, name: tuple[object, ...], look: Callable[[], T]) -> T:
        if name not in self._kept:
            self._kept[name] = look()
        found: T = self._kept[name]
        return found


def _listed(files: Mapping[str, TargetFile], release: Release, artifact: Artifact) -> tuple[str, TargetFile]:
    """The artifact as the image repository lists it."""
    role = role_for(release)
    for path, wanted in files_of(role, release).items():
        hardware = (wanted.custom or {}).get("hardwareIds", [])
        if wanted.hashes["sha256"] == artifact.blob.sha256 and str(artifact.hardware) in hardware:
            if files.get(path) != wanted:
                break
            return path, wanted
    raise AssignmentRefusedError(f"{role} does not list {release.product} {release.version} as it is")


def _verified(kept: Mapping[str, Kept], role: str) -> Mapping[str, TargetFile]:
    root = as_root(read(ROOT, kept[ROOT].content))
    targets, product = (as_targets(read(name, kept[name].content)) for name in (TARGETS, role))
    _verify(root.signed, ROOT, root)
    _verify(root.signed, TARGETS, targets)
    _verify(targets.signed, role, product)
    return dict(product.signed.targets)


def _verify(delegator: Any, role: str, found: AnyMetadata) -> None:
    try:
        check_signatures(delegator, role, found)
    except MetadataError as error:
        raise AssignmentRefusedError(error.message) from None


def _check_end(role: str, found: AnyMetadata, now: datetime) -> None:
    if found.signed.is_expired(now):
        raise AssignmentRefusedError(f"the director's {role} has ended")


def _says(entry: bytes, name: str, value: str) -> bool:
    told = json.loads(entry).get("data", {})
    return isinstance(told, dict) and told.get(name) == value


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _MAX_REMEMBERED // 100:
        known.clear()
    known[key] = value
