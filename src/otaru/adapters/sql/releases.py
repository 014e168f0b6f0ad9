"""Products and their releases."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, exists, func, insert, or_, select, tuple_, update

from otaru.adapters.sql.lean import fetch_keyed, run, run_each
from otaru.adapters.sql.packed import pack, unpack_texts
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import artifact, micros, product, release
from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, TenantId, Version
from otaru.domain.release import Artifact, Blob, Document, DocumentKind, Release, ReleaseState
from otaru.domain.terms import Requirement, Terms, UpdateType, requirement
from otaru.domain.versions import VersionOrder, key
from otaru.errors import NotFoundError

_ADD_PRODUCT = (
    "INSERT INTO product (tenant, product, created_at) VALUES (?, ?, ?) ON CONFLICT (tenant, product) DO NOTHING"
)

_ADD = """
INSERT INTO release (tenant, product, version, state, notes, created_at, published_at, edition,
type, channel, support_until, requires, floor, security_floor, no_way_back, counter, sort_key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, product, version) DO NOTHING"""

# A device was told of what has an action; one that is only scheduled has not been.
_RELEASES = (("product", "text"), ("version", "text"))
_ARTIFACTS = """
SELECT a.product, a.version, a.component, a.model, a.hardware_revision, a.filename, a.installer, a.installer_digest,
b.sha256, b.sha1, b.md5, b.size
FROM k CROSS JOIN artifact a CROSS JOIN blob b
WHERE a.tenant = ? AND a.product = k.product AND a.version = k.version AND b.tenant = a.tenant AND b.sha256 = a.sha256
ORDER BY a.place, a.component, a.model, a.hardware_revision"""
_DOCUMENTS = """
SELECT d.product, d.version, d.kind, d.form, b.sha256, b.sha1, b.md5, b.size
FROM k CROSS JOIN release_document d CROSS JOIN blob b
WHERE d.tenant = ? AND d.product = k.product AND d.version = k.version AND b.tenant = d.tenant AND b.sha256 = d.sha256
ORDER BY d.kind"""
_ADD_DOCUMENT = """
INSERT INTO release_document (tenant, product, version, kind, form, sha256) VALUES (?, ?, ?, ?, ?, ?)"""

_Row = Row[*tuple[Any, ...]]


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
        row = (release.state.value, release.notes, created, published, release.edition, *_terms_row(release))
        if run(self._session, _ADD, tenant, release.product, release.version, *row) == 0:
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
                "installer": a.installer,
                "installer_digest": a.installer_digest,
                "place": release.components.index(a.component),
            }
            for a in release.artifacts
        ]
        if made_of:
            self._session.connection.execute(insert(artifact), made_of)
        said = [(d.kind.value, d.form, d.blob.sha256) for d in release.documents]
        run_each(self._session, _ADD_DOCUMENT, [(tenant, release.product, release.version, *row) for row in said])
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

    def ranked(
        self,
        tenant: TenantId,
        product: ProductName | None,
        after: tuple[ProductName, Version] | None,
        limit: int,
        channel: str | None = None,
        type_: UpdateType | None = None,
    ) -> list[Release]:
        where: list[ColumnElement[bool]] = []
        if product is not None:
            where.append(release.c.product == product)
        if channel is not None:
            where.append(release.c.channel == channel)
        if type_ is not None:
            where.append(release.c.type == type_.value)
        if after is not None:
            name, version = after
            place = self._place(tenant, name, version)
            if place is None:
                return []
            older = tuple_(release.c.sort_key, release.c.version) < (place, version)
            where += [release.c.product >= name, or_(release.c.product > name, older)]
        order = [release.c.product, release.c.sort_key.desc(), release.c.version.desc()]
        return self._load(tenant, and_(release.c.tenant == tenant, *where), limit, order)

    def newest_of(self, tenant: TenantId, product: ProductName, channel: str) -> Release | None:
        of_it = and_(
            release.c.product == product,
            release.c.channel == channel,
            release.c.state == ReleaseState.PUBLISHED.value,
        )
        return next(iter(self._load(tenant, of_it, 1, [release.c.sort_key.desc(), release.c.version.desc()])), None)

    def _place(self, tenant: TenantId, product: ProductName, version: Version) -> str | None:
        of_it = (release.c.tenant == tenant, release.c.product == product, release.c.version == version)
        found: str | None = self._session.connection.execute(select(release.c.sort_key).where(*of_it)).scalar()
        return found

    def orders(self, tenant: TenantId, products: Collection[str]) -> dict[str, VersionOrder]:
        of_them = (product.c.tenant == tenant, product.c.product.in_(sorted(products)))
        found = select(product.c.product, product.c.version_order).where(*of_them)
        return {name: VersionOrder(order) for name, order in self._session.connection.execute(found)}

    def states(self, tenant: TenantId) -> dict[ReleaseState, int]:
        counted = select(release.c.state, func.count()).where(release.c.tenant == tenant).group_by(release.c.state)
        return {ReleaseState(state): number for state, number in self._session.connection.execute(counted)}

    def versions(self, tenant: TenantId, product: ProductName) -> list[Version]:
        of_it = (release.c.tenant == tenant, release.c.product == product)
        return [*self._session.connection.execute(select(release.c.version).where(*of_it)).scalars()]

    def set_order(self, tenant: TenantId, name: ProductName, order: VersionOrder) -> None:
        connection = self._session.connection
        of_it = (product.c.tenant == tenant, product.c.product == name)
        connection.execute(update(product).where(*of_it).values(version_order=order.value))
        places = [{"v": version, "place": key(order, version)} for version in self.versions(tenant, name)]
        if places:
            ranked = (release.c.tenant == tenant, release.c.product == name, release.c.version == bindparam("v"))
            connection.execute(update(release).where(*ranked).values(sort_key=bindparam("place")), places)

    def burnt_before(self, tenant: TenantId, product: ProductName, component: str, place: str) -> int:
        of_component = and_(
            artifact.c.tenant == tenant,
            artifact.c.product == product,
            artifact.c.version == release.c.version,
            artifact.c.component == component,
        )
        burnt = select(func.coalesce(func.max(release.c.security_floor), 0)).where(
            release.c.tenant == tenant,
            release.c.product == product,
            release.c.sort_key <= place,
            exists(select(artifact.c.version).where(of_component).correlate(release)),
        )
        highest: int = self._session.connection.execute(burnt).scalar_one()
        return highest

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
        of_it = and_(product.c.tenant == release.c.tenant, product.c.product == release.c.product)
        found = select(release, product.c.version_order).join(product, of_it)
        found = found.where(release.c.tenant == tenant, where).order_by(*order).limit(limit)
        rows = self._session.connection.execute(found).all()
        made_of = self._artifacts(tenant, [(row.product, row.version) for row in rows])
        documents = self._documents(tenant, [(row.product, row.version) for row in rows])
        requires = self._requirements(tenant, rows)
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
                terms=_terms(row, requires[row.requires]),
                counter=row.counter,
                order=VersionOrder(row.version_order),
                documents=tuple(documents.get((row.product, row.version), ())),
                listed_plainly=row.listed_plainly,
            )
            for row in rows
        ]

    def _requirements(self, tenant: TenantId, rows: Sequence[_Row]) -> dict[str, tuple[Requirement, ...]]:
        """What rows say they require, by what is stored, each with the order of the product it is named as."""
        said = {text: tuple(map(requirement, unpack_texts(text))) for text in {row.requires for row in rows}}
        named = {wanted.component for requires in said.values() for wanted in requires}
        if not named:
            return said
        orders = self.orders(tenant, named)
        return {
            text: tuple(replace(wanted, order=orders.get(wanted.component, wanted.order)) for wanted in requires)
            for text, requires in said.items()
        }

    def _artifacts(
        self, tenant: TenantId, releases: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], list[Artifact]]:
        made_of: dict[tuple[str, str], list[Artifact]] = {}
        for row in fetch_keyed(self._session, _RELEASES, releases, _ARTIFACTS, tenant):
            product, version, component, model, revision, filename, installer, inner, *digests = row
            made_of.setdefault((product, version), []).append(
                Artifact(component, Hardware(model, revision), filename, Blob(*digests), installer, inner)
            )
        return made_of

    def _documents(
        self, tenant: TenantId, releases: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], list[Document]]:
        found: dict[tuple[str, str], list[Document]] = {}
        for row in fetch_keyed(self._session, _RELEASES, releases, _DOCUMENTS, tenant):
            product, version, kind, form, *digests = row
            found.setdefault((product, version), []).append(Document(DocumentKind(kind), form, Blob(*digests)))
        return found


def _terms_row(release: Release) -> tuple[object, ...]:
    terms = release.terms
    return (
        terms.type.value,
        terms.channel,
        None if terms.support_until is None else terms.support_until.isoformat(),
        pack(tuple(map(str, terms.requires))),
        terms.floor,
        terms.security_floor,
        terms.no_way_back,
        release.counter,
        key(release.order, release.version),
    )


def _terms(row: _Row, requires: tuple[Requirement, ...]) -> Terms:
    return Terms(
        type=UpdateType(row.type),
        channel=row.channel,
        support_until=None if row.support_until is None else date.fromisoformat(row.support_until),
        requires=requires,
        floor=row.floor,
        security_floor=row.security_floor,
        no_way_back=row.no_way_back,
    )


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
