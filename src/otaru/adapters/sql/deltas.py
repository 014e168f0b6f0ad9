"""Deltas between artifacts, and the queue of those to be made."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from otaru.adapters.sql.lean import AnyRow, fetch, fetch_keyed, run, run_keyed
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.delta import Delta, DeltaState, Pair
from otaru.domain.ids import ProductName, Sha256, TenantId, Version

_KEY = "to_sha256, from_sha256, codec"
_KEPT = (
    "product, source_version, target_version, state, due_at, created_at, window_size, attempts, patch, size, full_size, "
    "memory, reason, ended_at"
)
_COLUMNS = f"{_KEY}, {_KEPT}"
_ORDER = f"""
INSERT INTO delta (tenant, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_SAVE = f"""
UPDATE delta SET {", ".join(f"{name} = ?" for name in _KEPT.split(", "))}
WHERE tenant = ? AND to_sha256 = ? AND from_sha256 = ? AND codec = ?"""
_GET = f"SELECT {_COLUMNS} FROM delta WHERE tenant = ? AND to_sha256 = ? AND from_sha256 = ? AND codec = ?"
_TARGETS = (("sha256", "text"),)
_OF = f"""
SELECT {", ".join(f"d.{name}" for name in _COLUMNS.split(", "))} FROM k CROSS JOIN delta d
WHERE d.tenant = ? AND d.to_sha256 = k.sha256"""
_PAGE = f"""{_OF} AND (d.to_sha256, d.from_sha256, d.codec) > (?, ?, ?)
ORDER BY d.to_sha256, d.from_sha256, d.codec LIMIT ?"""
_WAITING = "SELECT count(*) FROM delta WHERE tenant = ? AND state IN ('waiting', 'making')"
_DUE = f"""
SELECT tenant, {_COLUMNS} FROM (
  SELECT d.*, row_number() OVER (PARTITION BY tenant ORDER BY due_at, {_KEY}) AS turn FROM delta d
  WHERE state IN ('waiting', 'making') AND due_at <= ?) AS due
ORDER BY turn, due_at, tenant LIMIT ?"""
_NOWHERE = """to_sha256 IN (SELECT sha256 FROM k) AND NOT EXISTS (
  SELECT 1 FROM artifact a CROSS JOIN release r WHERE a.tenant = delta.tenant AND a.sha256 = delta.to_sha256
  AND r.tenant = a.tenant AND r.product = a.product AND r.version = a.version AND r.state IN ('published', 'deprecated'))"""
_PATCHES = f"SELECT patch FROM delta WHERE tenant = ? AND patch IS NOT NULL AND {_NOWHERE}"
_FORGET = f"DELETE FROM delta WHERE tenant = ? AND {_NOWHERE}"


@dataclass(frozen=True, slots=True)
class SqlDeltas:
    """`ports.store.Deltas`."""

    session: Session

    def order(self, tenant: TenantId, deltas: Collection[Delta]) -> list[Pair]:
        return [one.pair for one in deltas if run(self.session, _ORDER, tenant, *_keys(one.pair), *_kept(one))]

    def save(self, tenant: TenantId, delta: Delta) -> bool:
        return run(self.session, _SAVE, *_kept(delta), tenant, *_keys(delta.pair)) == 1

    def get(self, tenant: TenantId, pair: Pair) -> Delta | None:
        return next(map(_delta, fetch(self.session, _GET, tenant, *_keys(pair))), None)

    def page(self, tenant: TenantId, targets: Collection[Sha256], after: Pair | None, limit: int) -> list[Delta]:
        keys = [(target,) for target in sorted(targets)]
        place = ("", "", "") if after is None else _keys(after)
        return [_delta(row) for row in fetch_keyed(self.session, _TARGETS, keys, _PAGE, tenant, *place, limit)]

    def waiting(self, tenant: TenantId) -> int:
        waiting: int = fetch(self.session, _WAITING, tenant)[0][0]
        return waiting

    def every_due(self, now: datetime, limit: int) -> list[tuple[TenantId, Delta]]:
        return [(TenantId(row[0]), _delta(row[1:])) for row in fetch(self.session, _DUE, micros(now), limit)]

    def forget(self, tenant: TenantId, targets: Collection[Sha256]) -> list[Sha256]:
        keys = [(target,) for target in sorted(targets)]
        patches = [Sha256(patch) for (patch,) in fetch_keyed(self.session, _TARGETS, keys, _PATCHES, tenant)]
        run_keyed(self.session, _TARGETS, keys, _FORGET, tenant)
        return patches


def _keys(pair: Pair) -> tuple[str, str, str]:
    return pair.target, pair.source, pair.codec


def _kept(delta: Delta) -> tuple[object, ...]:
    return (
        delta.product,
        delta.source_version,
        delta.target_version,
        delta.state.value,
        micros(delta.due_at),
        micros(delta.created_at),
        delta.window,
        delta.attempts,
        delta.patch,
        delta.size,
        delta.full,
        delta.memory,
        delta.reason,
        None if delta.ended_at is None else micros(delta.ended_at),
    )


def _delta(row: AnyRow) -> Delta:
    target, source, codec, product, old, new, state, due, created, window, attempts, patch, size, full, memory, *end = (
        row
    )
    reason, ended = end
    return Delta(
        pair=Pair(Sha256(source), Sha256(target), codec),
        product=ProductName(product),
        source_version=Version(old),
        target_version=Version(new),
        state=DeltaState(state),
        due_at=moment(due),
        created_at=moment(created),
        window=window,
        attempts=attempts,
        patch=None if patch is None else Sha256(patch),
        size=size,
        full=full,
        memory=memory,
        reason=reason,
        ended_at=None if ended is None else moment(ended),
    )
