"""Which tenant owns which bytes, in SQL."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, distinct, exists, func, insert, select

from otaru.adapters.sql import tables
from otaru.adapters.sql.lean import run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros
from otaru.domain.ids import Sha256, TenantId
from otaru.domain.release import Blob

_B = tables.blob.c
_U = tables.upload.c
_A = tables.artifact.c
_D = tables.release_document.c
_P = tables.delta.c
_K = tables.device_backup.c
_SELECT = select(_B.sha256, _B.sha1, _B.md5, _B.size, _B.created_at)
_ADD = """
INSERT INTO blob (tenant, sha256, sha1, md5, size, created_at, uploaded) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING"""
_CLAIM = "UPDATE blob SET uploaded = true WHERE tenant = ? AND sha256 = ? AND NOT uploaded"
_HOLDS = (_A.tenant == _B.tenant, _A.sha256 == _B.sha256)
_SAVES = (_K.tenant == _B.tenant, _K.sha256 == _B.sha256)
_SAYS = (_D.tenant == _B.tenant, _D.sha256 == _B.sha256)
# No product's name holds a slash. A release counts twice that has the same bytes as a file and as a document.
_MADE_OF = select(func.count(distinct(_A.product.concat("/").concat(_A.version)))).where(*_HOLDS).scalar_subquery()
_TOLD_BY = select(func.count(distinct(_D.product.concat("/").concat(_D.version)))).where(*_SAYS).scalar_subquery()
_RELEASES = (_MADE_OF + _TOLD_BY).label("n")
_CHUNK = 500


def _blob(row: Row[*tuple[Any, ...]]) -> tuple[Blob, datetime]:
    return Blob(Sha256(row.sha256), row.sha1, row.md5, row.size), row.created_at


@dataclass(frozen=True, slots=True)
class SqlBlobRows:
    """`ports.store.BlobRows`."""

    session: Session

    def get(self, tenant: TenantId, sha256: Sha256) -> tuple[Blob, datetime] | None:
        query = _SELECT.where(_B.tenant == tenant, _B.sha256 == sha256)
        row = self.session.connection.execute(query).one_or_none()
        return None if row is None else _blob(row)

    def add(self, tenant: TenantId, blob: Blob, at: datetime, *, uploaded: bool = True) -> bool:
        about = (blob.sha256, blob.sha1, blob.md5, blob.size, micros(at), uploaded)
        return run(self.session, _ADD, tenant, *about) == 1

    def claim(self, tenant: TenantId, sha256: Sha256) -> None:
        run(self.session, _CLAIM, tenant, sha256)

    def used(self, tenant: TenantId) -> int:
        total = self.session.connection.execute(select(func.sum(_B.size)).where(_B.tenant == tenant)).scalar()
        return int(total or 0)

    def page(self, tenant: TenantId, after: Sha256 | None, limit: int) -> list[tuple[Blob, datetime, int]]:
        query = _SELECT.add_columns(_RELEASES).where(_B.tenant == tenant).order_by(_B.sha256).limit(limit)
        if after is not None:
            query = query.where(_B.sha256 > after)
        return [(*_blob(row), row.n) for row in self.session.connection.execute(query)]

    def remove(self, tenant: TenantId, sha256: Sha256) -> bool:
        return self._remove(tenant, sha256)

    def drop(self, tenant: TenantId, sha256: Sha256) -> bool:
        return self._remove(tenant, sha256, ~_B.uploaded, ~exists(select(_K.sha256).where(*_SAVES)))

    def _remove(self, tenant: TenantId, sha256: Sha256, *more: ColumnElement[bool]) -> bool:
        removed = self.session.connection.execute(
            delete(tables.blob).where(
                _B.tenant == tenant,
                _B.sha256 == sha256,
                ~exists(select(_A.sha256).where(*_HOLDS)),
                ~exists(select(_D.sha256).where(*_SAYS)),
                ~exists(select(_P.patch).where(_P.tenant == _B.tenant, _P.patch == _B.sha256)),
                *more,
            )
        )
        if removed.rowcount != 1:
            return False
        gone = delete(tables.inspection).where(
            tables.inspection.c.tenant == tenant, tables.inspection.c.sha256 == sha256
        )
        self.session.connection.execute(gone)
        return True

    def every_known(self, digests: Collection[Sha256]) -> set[Sha256]:
        known: set[Sha256] = set()
        asked = list(digests)
        for start in range(0, len(asked), _CHUNK):
            query = select(_B.sha256).where(_B.sha256.in_(asked[start : start + _CHUNK])).distinct()
            known.update(self.session.connection.execute(query).scalars())
        return known

    def begin_upload(
        self, tenant: TenantId, upload: str, limit: int, filename: str, at: datetime, size: int | None = None
    ) -> None:
        row = {"tenant": tenant, "upload": upload, "size_limit": limit, "filename": filename, "created_at": at}
        self.session.connection.execute(insert(tables.upload), {**row, "size": size})

    def upload(self, tenant: TenantId, upload: str) -> tuple[int, str, int | None] | None:
        query = select(_U.size_limit, _U.filename, _U.size).where(_U.tenant == tenant, _U.upload == upload)
        row = self.session.connection.execute(query).one_or_none()
        return None if row is None else (row.size_limit, row.filename, row.size)

    def open_uploads(self, tenant: TenantId) -> int:
        query = select(func.count()).select_from(tables.upload).where(_U.tenant == tenant)
        return int(self.session.connection.execute(query).scalar_one())

    def end_upload(self, tenant: TenantId, upload: str) -> None:
        self.session.connection.execute(delete(tables.upload).where(_U.tenant == tenant, _U.upload == upload))

    def prune_uploads(self, before: datetime) -> int:
        return self.session.connection.execute(delete(tables.upload).where(_U.created_at < before)).rowcount
