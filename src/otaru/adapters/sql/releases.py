"""Products and their releases."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, tuple_, update

from otaru.adapters.sql.lean import fetch_keyed, run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import artifact, micros, product, release
from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, TenantId, Version
from otaru.domain.release import Artifact, Blob, Release, ReleaseState
from otaru.errors import NotFoundError

_ADD_PRODUCT = (
    "INSERT INTO product (tenant, product, created_at) VALUES (?, ?, ?) ON CONFLICT (tenant, product) DO NOTHING"
)

_ADD = """
INSERT INTO release (tenant, product, version, state, notes, created_at, published_at, edition)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, product, version) DO NOTHING"""

# A device was told of what has an action; one that is only scheduled has not been.
_RELEASES = (("product", "text"), ("version", "text"))
_ARTIFACTS = """
SELECT a.product, a.version, a.component, a.model, a.hardware_revision, a.filename, b.sha256, b.sha1, b.md5, b.size
FROM k CROSS JOIN artifact a CROSS JOIN blob b
WHERE a.tenant = ? AND a.product = k.product AND a.version = k.version AND b.tenant = a.tenant AND b.sha256 = a.sha256
ORDER BY a.component, a.model, a.hardware_revision"""


class SqlReleases:
    """Implements `ports.store.Releases`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def products(
        self, tenant: TenantId, after: ProductName | None, limit: int
    ) -> list[tuple[ProductName, datetime, int]]:
        releases = (
            select(func.count())
            .select_from(release)
            .where(release.c.tenant == tenant, release.c.product == product.c.product)
            .scalar_subquery()
        )
        found = (
            select(product.c.product, product.c.created_at, releases)
            .where(product.c.tenant == tenant, product.c.product > (after or ""))
            .order_by(product.c.product)
            .limit(limit)
        )
        return [(name, at, number) for name, at, number in self._session.connection.execute(found)]

    def get(self, tenant: TenantId, product: ProductName, version: Version) -> Release | None:
        where = and_(release.c.product == product, release.c.version == version)
        return next(iter(self._load(tenant, where, 1)), None)

    def add(self, tenant: TenantId, release: Release) -> bool:
        published = None if release.published_at is None else micros(release.published_at)
        created = micros(release.created_at)
        key = (tenant, release.product, release.version)
        row = (*key, release.state.value, release.notes, created, published, release.edition)
        if run(self._session, _ADD, *row) == 0:
            return False
        run(self._session, _ADD_PRODUCT, tenant, release.product, created)
        made_of = [
            {
                "tenant": tenant,
                "product": release.product,
                "version": release.version,
                "component": a.component,
                "model": a.hardware.model,
                "hardware_revision": a.hardware.revision,
                "filename": a.filename,
                "sha256": a.blob.sha256,
            }
            for a in release.artifacts
        ]
        if made_of:
            self._session.connection.execute(insert(artifact), made_of)
        return True

    def save(self, tenant: TenantId, release: Release) -> None:
        changed = _update(tenant, release)
        if self._session.connection.execute(changed).rowcount != 1:
            raise NotFoundError(f"there is no release {release.product} {release.version}")

    def page(
        self, tenant: TenantId, product: ProductName | None, after: tuple[ProductName, Version] | None, limit: int
    ) -> list[Release]:
        where: list[ColumnElement[bool]] = []
        if product is not None:
            where.append(release.c.product == product)
        if after is not None:
            where.append(tuple_(release.c.product, release.c.version) > after)
        return self._load(tenant, and_(release.c.tenant == tenant, *where), limit)

    def newest(self, tenant: TenantId, states: Collection[ReleaseState], limit: int) -> list[Release]:
        last = func.coalesce(release.c.published_at, release.c.created_at).desc()
        where = release.c.state.in_(sorted(state.value for state in states))
        return self._load(tenant, where, limit, [last, release.c.product, release.c.version])

    def latest(
        self, tenant: TenantId, product: ProductName | None, after: tuple[ProductName, Version] | None, limit: int
    ) -> list[Release]:
        where: list[ColumnElement[bool]] = []
        if product is not None:
            where.append(release.c.product == product)
        if after is not None:
            last = self.get(tenant, *after)
            if last is None:
                return []
            at, name = release.c.created_at, tuple_(release.c.product, release.c.version)
            where += [at <= last.created_at, or_(at < last.created_at, name < after)]
        order = [release.c.created_at.desc(), release.c.product.desc(), release.c.version.desc()]
        return self._load(tenant, and_(release.c.tenant == tenant, *where), limit, order)

    def latest_of(self, tenant: TenantId, products: Collection[ProductName]) -> dict[ProductName, Release]:
        last_first = func.row_number().over(
            partition_by=release.c.product, order_by=[release.c.created_at.desc(), release.c.version.desc()]
        )
        ranked = (
            select(release.c.product, release.c.version, last_first.label("place"))
            .where(release.c.tenant == tenant, release.c.product.in_(sorted(products)))
            .subquery()
        )
        firsts = select(ranked.c.product, ranked.c.version).where(ranked.c.place == 1)
        found = self._load(tenant, tuple_(release.c.product, release.c.version).in_(firsts), len(products))
        return {r.product: r for r in found}

    def _load(
        self,
        tenant: TenantId,
        where: ColumnElement[bool],
        limit: int,
        order: Sequence[ColumnElement[Any]] = (release.c.product, release.c.version),
    ) -> list[Release]:
        found = select(release).where(release.c.tenant == tenant, where).order_by(*order).limit(limit)
        rows = self._session.connection.execute(found).all()
        made_of = self._artifacts(tenant, [(row.product, row.version) for row in rows])
        return [
            Release(
                product=row.product,
                version=row.version,
                state=ReleaseState(row.state),
                artifacts=tuple(made_of.get((row.product, row.version), ())),
                created_at=row.created_at,
                published_at=row.published_at,
                notes=row.notes,
                edition=row.edition,
            )
            for row in rows
        ]

    def _artifacts(
        self, tenant: TenantId, releases: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], list[Artifact]]:
        made_of: dict[tuple[str, str], list[Artifact]] = {}
        for row in fetch_keyed(self._session, _RELEASES, releases, _ARTIFACTS, tenant):
            product, version, component, model, revision, filename, *digests = row
            made_of.setdefault((product, version), []).append(
                Artifact(component, Hardware(model, revision), filename, Blob(*digests))
            )
        return made_of


def _update(tenant: TenantId, changed: Release) -> Any:
    return (
        update(release)
        .where(release.c.tenant == tenant, release.c.product == changed.product, release.c.version == changed.version)
        .values(
            state=changed.state.value,
            published_at=changed.published_at,
            notes=changed.notes,
            edition=changed.edition,
        )
    )
