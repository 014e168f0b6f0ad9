"""Standing orders. That one is stirred is asked of all of them by one statement, each second: two index look-ups for each."""

from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.sql.functions import count

from otaru.adapters.sql.lean import fetch, run
from otaru.adapters.sql.packed import pack, unpack_growth, unpack_policy
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import following as table
from otaru.adapters.sql.tables import micros
from otaru.domain.following import Following, Look, Stream
from otaru.domain.group import GroupName
from otaru.domain.ids import ProductName, TenantId

SIGHT = """
COALESCE((SELECT r.version FROM release r WHERE r.tenant = following.tenant AND r.product = following.product
AND r.channel = following.channel AND r.state = 'published' ORDER BY r.sort_key DESC, r.version DESC LIMIT 1), '')
|| ' ' || COALESCE((SELECT CAST(o.rollout AS text) || ' ' || o.state FROM rollout o WHERE o.tenant = following.tenant
AND o.follows_group = following.name AND o.product = following.product AND o.follows_channel = following.channel
ORDER BY o.rollout DESC LIMIT 1), '')"""
"""The newest published version of an order's channel, and the last rollout that it made with its state."""

_PUT = """
INSERT INTO following (tenant, name, product, channel, policy, growth, reason, created_at, updated_at, created_by, edition)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, name, product, channel) DO UPDATE SET policy = excluded.policy, growth = excluded.growth,
reason = excluded.reason, created_at = excluded.created_at, updated_at = excluded.updated_at,
created_by = excluded.created_by, edition = excluded.edition, dealt = ''"""
_OF_IT = "tenant = ? AND name = ? AND product = ? AND channel = ?"
_REMOVE = f"DELETE FROM following WHERE {_OF_IT}"
_DEAL = f"UPDATE following SET waits = ?, stuck = CAST(? AS boolean), dealt = {SIGHT} WHERE {_OF_IT}"
_STIRRED = f"""
SELECT following.tenant, following.name, following.product, following.channel FROM following
JOIN tenant t ON t.tenant = following.tenant WHERE NOT t.halted AND following.dealt <> ({SIGHT})
ORDER BY following.tenant, following.name, following.product, following.channel LIMIT ?"""
_AGAIN = f"""
SELECT following.tenant, following.name, following.product, following.channel FROM following
JOIN tenant t ON t.tenant = following.tenant
WHERE NOT t.halted AND (following.waits <> '' OR following.dealt <> ({SIGHT}))
ORDER BY following.tenant, following.name, following.product, following.channel LIMIT ?"""


class SqlFollowings:
    """Implements `ports.store.Followings`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, tenant: TenantId, stream: Stream) -> Following | None:
        group, product, channel = stream.group, stream.product, stream.channel
        found = select(table).where(
            table.c.tenant == tenant, table.c.name == group, table.c.product == product, table.c.channel == channel
        )
        return next(map(_following, self._session.connection.execute(found)), None)

    def put(self, tenant: TenantId, following: Following) -> None:
        growth = None if following.growth is None else pack(following.growth)
        times = (micros(following.created_at), micros(following.updated_at))
        said = (pack(following.policy), growth, following.reason, *times, following.created_by, following.edition)
        run(self._session, _PUT, tenant, *_key(following.stream), *said)

    def remove(self, tenant: TenantId, stream: Stream) -> bool:
        return run(self._session, _REMOVE, tenant, *_key(stream)) == 1

    def deal(self, tenant: TenantId, stream: Stream, found: Look) -> None:
        run(self._session, _DEAL, found.waits, found.stuck, tenant, *_key(stream))

    def page(
        self,
        tenant: TenantId,
        after: Stream | None,
        limit: int,
        *,
        group: GroupName | None = None,
        product: ProductName | None = None,
        channel: str | None = None,
        stuck: bool = False,
    ) -> list[Following]:
        order = (table.c.name, table.c.product, table.c.channel)
        found = select(table).where(table.c.tenant == tenant).order_by(*order).limit(limit)
        if after is not None:
            found = found.where(tuple_(*order) > _key(after))
        for column, wanted in zip(order, (group, product, channel), strict=True):
            if wanted is not None:
                found = found.where(column == wanted)
        if stuck:
            found = found.where(table.c.stuck)
        return [_following(row) for row in self._session.connection.execute(found)]

    def count(self, tenant: TenantId, *, stuck: bool = False) -> int:
        found = select(count()).select_from(table).where(table.c.tenant == tenant)
        if stuck:
            found = found.where(table.c.stuck)
        number: int = self._session.connection.execute(found).scalar_one()
        return number

    def every_stirred(self, limit: int, *, again: bool = False) -> list[tuple[TenantId, Stream]]:
        rows = fetch(self._session, _AGAIN if again else _STIRRED, limit)
        return [(TenantId(t), Stream(GroupName(g), ProductName(p), c)) for t, g, p, c in rows]


def _key(stream: Stream) -> tuple[str, str, str]:
    return stream.group, stream.product, stream.channel


def _following(row: Any) -> Following:
    return Following(
        stream=Stream(GroupName(row.name), ProductName(row.product), row.channel),
        policy=unpack_policy(row.policy),
        growth=unpack_growth(row.growth),
        reason=row.reason,
        created_at=row.created_at,
        updated_at=row.updated_at,
        created_by=row.created_by,
        edition=row.edition,
        waits=row.waits,
        stuck=row.stuck,
    )
