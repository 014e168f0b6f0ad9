"""Products, releases and the bytes that they are made of."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from otaru.domain.delta import Delta, Pair
from otaru.domain.ids import ProductName, Sha256, TenantId, Version
from otaru.domain.release import Blob, Release, ReleaseState
from otaru.domain.terms import UpdateType
from otaru.domain.versions import VersionOrder
from otaru.images.facts import Facts, Format


class Releases(Protocol):
    """Products and their releases."""

    def products(
        self, tenant: TenantId, after: ProductName | None, limit: int
    ) -> list[tuple[ProductName, datetime, int]]:
        """Products by name: with time of making and number of releases."""
        ...

    def get(self, tenant: TenantId, product: ProductName, version: Version) -> Release | None: ...
    def add(self, tenant: TenantId, release: Release) -> bool:
        """Add a release, with its product on first use; False where this version exists (nothing is changed)."""
        ...

    def save(self, tenant: TenantId, release: Release) -> None:
        """Replace state, published_at, notes and edition; artifacts and terms never change."""
        ...

    def page(
        self, tenant: TenantId, product: ProductName | None, after: tuple[ProductName, Version] | None, limit: int
    ) -> list[Release]:
        """Releases by product and version."""
        ...

    def newest(self, tenant: TenantId, states: Collection[ReleaseState], limit: int) -> list[Release]:
        """Releases in one of `states`, those published (else made) last first."""
        ...

    def latest(
        self, tenant: TenantId, product: ProductName | None, after: tuple[ProductName, Version] | None, limit: int
    ) -> list[Release]:
        """Releases by time of making, newest first; nothing after one that is not there."""
        ...

    def latest_of(self, tenant: TenantId, products: Collection[ProductName]) -> dict[ProductName, Release]:
        """The release of each that was made last."""
        ...

    def ranked(
        self,
        tenant: TenantId,
        product: ProductName | None,
        after: tuple[ProductName, Version] | None,
        limit: int,
        channel: str | None = None,
        type_: UpdateType | None = None,
    ) -> list[Release]:
        """Releases by product, newest version first in its order; nothing after one that is not there."""
        ...

    def newest_of(self, tenant: TenantId, product: ProductName, channel: str) -> Release | None:
        """The newest published release of a channel, in the product's order; of equally new ones the last by text."""
        ...

    def orders(self, tenant: TenantId, products: Collection[str]) -> dict[str, VersionOrder]:
        """The version order of each product that is there."""
        ...

    def states(self, tenant: TenantId) -> dict[ReleaseState, int]:
        """How many releases are in each state; none where there are none."""
        ...

    def versions(self, tenant: TenantId, product: ProductName) -> list[Version]:
        """The versions of all of a product's releases."""
        ...

    def set_order(self, tenant: TenantId, name: ProductName, order: VersionOrder) -> None:
        """Have a product follow an order, which all its versions are of the form of."""
        ...

    def burnt_before(self, tenant: TenantId, product: ProductName, component: str, place: str) -> int:
        """The highest security floor of releases up to a place (`versions.key`), itself among them; 0 where none burns."""
        ...


@dataclass(frozen=True, slots=True)
class Inspection:
    """What bytes were found to say of themselves: `facts`, or why they are `broken`."""

    facts: Facts | None
    broken: str | None
    reader: int
    """The edition of the readers (`images.recognise.EDITION`)."""
    at: datetime
    stale: bool = False
    """Whether its signatures were judged by other trust anchors than the tenant has now."""


class Inspections(Protocol):
    """What was found in tenants' bytes. It goes with the bytes' row."""

    def of(self, tenant: TenantId, digests: Collection[Sha256]) -> dict[Sha256, Inspection]:
        """What is known of those of `digests` that somebody has read."""
        ...

    def put(self, tenant: TenantId, sha256: Sha256, found: Inspection) -> None:
        """Keep what was found, in place of what was found before; nothing where the tenant has no such bytes."""
        ...

    def expire(self, tenant: TenantId, form: Format) -> None:
        """Say of all images of a format that their signatures have to be judged anew."""
        ...

    def every_stale(self, limit: int) -> list[tuple[TenantId, Sha256]]:
        """Images, of all tenants, whose signatures have to be judged anew."""
        ...


class Deltas(Protocol):
    """Deltas between tenants' bytes, and the queue of those that are to be made."""

    def order(self, tenant: TenantId, deltas: Collection[Delta]) -> list[Pair]:
        """Queue those that are not there; which ones. One that is there stays as it is."""
        ...

    def save(self, tenant: TenantId, delta: Delta) -> bool:
        """Replace all of a delta but what it is between; False where it is not there any more."""
        ...

    def get(self, tenant: TenantId, pair: Pair) -> Delta | None: ...
    def page(self, tenant: TenantId, targets: Collection[Sha256], after: Pair | None, limit: int) -> list[Delta]:
        """Those that make one of `targets`, by target, source and codec."""
        ...

    def waiting(self, tenant: TenantId) -> int:
        """How many are still to be made."""
        ...

    def every_due(self, now: datetime, limit: int) -> list[tuple[TenantId, Delta]]:
        """Of all tenants: those that are to be made or whose making is to be given up, the longest due first.

        One of each tenant is in it before a second one of any is.
        """
        ...

    def forget(self, tenant: TenantId, targets: Collection[Sha256]) -> list[Sha256]:
        """Remove those that make one of `targets` where no release that is out has it; the bytes that were made for them."""
        ...


class BlobRows(Protocol):
    """Which tenant owns which bytes. The bytes themselves are in `ports/blobs`."""

    def get(self, tenant: TenantId, sha256: Sha256) -> tuple[Blob, datetime] | None: ...
    def add(self, tenant: TenantId, blob: Blob, at: datetime, *, uploaded: bool = True) -> bool:
        """False where the tenant has these bytes already: they are what they were.

        Uploaded bytes stay until somebody removes them; others until nothing names them any more (`drop`).
        """
        ...

    def claim(self, tenant: TenantId, sha256: Sha256) -> None:
        """Bytes that are here already were uploaded, too."""
        ...

    def used(self, tenant: TenantId) -> int:
        """Bytes that count against the quota."""
        ...

    def page(self, tenant: TenantId, after: Sha256 | None, limit: int) -> list[tuple[Blob, datetime, int]]:
        """By digest: with time of making and in how many releases they stand."""
        ...

    def remove(self, tenant: TenantId, sha256: Sha256) -> bool:
        """Remove them because somebody says so; False where they stand in a release, are a delta's, or are not there."""
        ...

    def drop(self, tenant: TenantId, sha256: Sha256) -> bool:
        """Remove them where nobody names them any more: no upload, no release, no delta, no backup."""
        ...

    def every_known(self, digests: Collection[Sha256]) -> set[Sha256]:
        """Those of `digests` that some tenant has a row for."""
        ...

    def begin_upload(
        self, tenant: TenantId, upload: str, limit: int, filename: str, at: datetime, size: int | None = None
    ) -> None:
        """Keep that an upload has begun; `size` is what it has to hold in the end, where that was announced."""
        ...

    def upload(self, tenant: TenantId, upload: str) -> tuple[int, str, int | None] | None:
        """Limit, file name and announced size of an upload of this tenant."""
        ...

    def end_upload(self, tenant: TenantId, upload: str) -> None: ...
    def open_uploads(self, tenant: TenantId) -> int:
        """How many uploads have begun and not ended."""
        ...

    def prune_uploads(self, before: datetime) -> int:
        """Forget uploads, of all tenants, that were begun before; how many."""
        ...
