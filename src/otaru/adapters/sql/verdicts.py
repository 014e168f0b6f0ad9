"""What judges found, over time."""

from collections.abc import Sequence

from otaru.adapters.sql.lean import AnyRow, fetch, run_each
from otaru.adapters.sql.packed import pack, unpack_texts
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros, moment
from otaru.domain.evidence import Call, Finding, Said
from otaru.domain.ids import RolloutId, TenantId
from otaru.ports.store.verdicts import MAX_VERDICTS

_WHOLE = -1
"""Stands for all members where a segment's number stands."""

_FIELDS = "number, at, segment, call, log_e, log_threshold, failed, tried, words"
_LAST = "SELECT coalesce(max(number), 0) FROM verdict WHERE tenant = ? AND rollout = ?"
_ADD = f"INSERT INTO verdict (tenant, rollout, {_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NEWEST = f"""
SELECT {_FIELDS} FROM verdict v WHERE tenant = ? AND rollout = ? AND number = (
  SELECT max(number) FROM verdict n WHERE n.tenant = v.tenant AND n.rollout = v.rollout AND n.segment = v.segment)"""
_OF_ROLLOUT = f"""
SELECT {_FIELDS} FROM verdict WHERE tenant = ? AND rollout = ? AND number < ? AND (? OR segment = ?)
ORDER BY number DESC LIMIT ?"""
_END = 2**31 - 1


class SqlVerdicts:
    """Implements `ports.store.Verdicts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, tenant: TenantId, rollout: RolloutId, said: Sequence[Said]) -> int:
        ((last,),) = fetch(self._session, _LAST, tenant, rollout)
        kept = said[: max(0, MAX_VERDICTS - last)]
        rows = [(tenant, rollout, last + 1 + i, *_columns(one)) for i, one in enumerate(kept)]
        run_each(self._session, _ADD, rows)
        return len(kept)

    def newest(self, tenant: TenantId, rollout: RolloutId) -> dict[int | None, Said]:
        found = [_said(row) for row in fetch(self._session, _NEWEST, tenant, rollout)]
        return {said.finding.segment: said for _, said in found}

    def of_rollout(
        self, tenant: TenantId, rollout: RolloutId, before: int | None, limit: int, segment: int | None = -1
    ) -> list[tuple[int, Said]]:
        everything = segment == -1
        number = _WHOLE if segment is None else segment
        below = _END if before is None else before
        rows = fetch(self._session, _OF_ROLLOUT, tenant, rollout, below, everything, number, limit)
        return [_said(row) for row in rows]


def _columns(said: Said) -> tuple[object, ...]:
    finding = said.finding
    return (
        micros(said.at),
        _WHOLE if finding.segment is None else finding.segment,
        finding.call.value,
        finding.log_e,
        finding.log_threshold,
        finding.failed,
        finding.tried,
        pack(finding.words),
    )


def _said(row: AnyRow) -> tuple[int, Said]:
    number, at, segment, call, log_e, log_threshold, failed, tried, words = row
    finding = Finding(
        segment=None if segment == _WHOLE else segment,
        call=Call(call),
        log_e=log_e,
        log_threshold=log_threshold,
        failed=failed,
        tried=tried,
        words=unpack_texts(words),
    )
    return number, Said(moment(at), finding)
