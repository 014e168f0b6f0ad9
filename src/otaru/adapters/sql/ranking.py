"""The ranking of a rollout's members as SQL: `domain.rollout.segment` and `domain.rollout.draw`, over sets.

What is ranked comes out in the order of ids, which is the order of every index on it: a tree that grows at its end is
written once. It is sorted here, where a row is a few columns wide, which all that `members.enlist` adds would make thirteen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from sqlalchemy import ColumnElement, FromClause, Label, Subquery, and_, case, exists, func, literal_column, select

from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import device, device_attribute, device_component, device_tag
from otaru.domain.device import LOT_PRIME
from otaru.domain.ids import TenantId
from otaru.domain.release import Release
from otaru.domain.rollout import CRITICAL, MAX_SEGMENTS, Rollout, Stratum, Wave, cut, draw
from otaru.domain.rollout.segment import ATTRIBUTE, HARDWARE, UNIT, VERSION, canaries

_CRITICAL = device_tag.alias("critical")
_APART = 1 << 32
"""Above every lot, and above what PostgreSQL takes for a number of 32 bits."""


def strata(
    session: Session, tenant: TenantId, them: ColumnElement[bool], release: Release, split: Sequence[str]
) -> tuple[Stratum, ...]:
    """The devices `them` by what splits them."""
    keys, found = _keyed(split, release)
    critical: ColumnElement[int] = literal_column("0")
    if _some_critical(session, tenant):
        found, critical = _with_critical(found)
    each = select(*keys, critical.label("critical")).select_from(found).where(them).subquery()
    same = [each.c[key.name] for key in keys]
    sizes = select(*same, func.count(), func.coalesce(func.sum(each.c.critical), 0))
    if same:
        sizes = sizes.group_by(*same).order_by(func.count().desc(), *same).limit(MAX_SEGMENTS + 1)
    biggest = [Stratum(tuple(key), size, int(few)) for *key, size, few in session.connection.execute(sizes)]
    if len(biggest) <= MAX_SEGMENTS:
        return tuple(stratum for stratum in biggest if stratum.size)
    (everybody,) = strata(session, tenant, them, release, ())
    return cut(biggest, everybody.size, everybody.critical)


def _some_critical(session: Session, tenant: TenantId) -> bool:
    tagged = exists().where(device_tag.c.tenant == tenant, device_tag.c.tag == CRITICAL)
    return bool(session.connection.execute(select(tagged)).scalar_one())


def drawn(rollout: Rollout, them: ColumnElement[bool]) -> Subquery:
    """Members by the draw, in one segment."""
    rank = func.row_number().over(order_by=(_lot(rollout), device.c.device)) - 1
    ranked = select(device.c.device, literal_column("0").label("segment"), rank.label("rank"))
    return ranked.where(them).order_by(device.c.device).subquery()


def stratified(rollout: Rollout, release: Release, strata: Sequence[Stratum], them: ColumnElement[bool]) -> Subquery:
    """Members in the order of `domain.rollout.segment`, each with its segment."""
    keys, found = _keyed(rollout.policy.split, release)
    critical: ColumnElement[int] = literal_column("0")
    if any(stratum.critical for stratum in strata):
        found, critical = _with_critical(found)
    inside = _segment_of(keys, {stratum.key: index for index, stratum in enumerate(strata)})
    # One number to sort by: segments one after the other, in each the critical devices last, else by the draw.
    key = (2 * inside + critical) * literal_column(str(_APART)) + _lot(rollout)
    each = select(device.c.device, key.label("key")).select_from(found).where(them).subquery()
    at = func.row_number().over(order_by=(each.c.key, each.c.device)) - 1
    if len(strata) == 1:
        alone = select(each.c.device, literal_column("0").label("segment"), at.label("rank"))
        return alone.order_by(each.c.device).subquery()
    lined = select(each.c.device, at.label("at")).subquery()
    # Sizes are known, so the place in this line says the segment, the index in it and who is critical.
    starts = list(accumulate((stratum.size for stratum in strata), initial=0))
    segment = by_halves([_Step(number, starts[number]) for number in range(len(strata))], lined.c.at)
    inner = select(lined, segment.label("segment")).subquery()
    index = inner.c.at - _of_segment(starts[:-1], inner.c.segment)
    size = _of_segment([stratum.size for stratum in strata], inner.c.segment)
    first = _of_segment([starts[n] + canaries(stratum.size) for n, stratum in enumerate(strata)], inner.c.segment)
    last = _of_segment([starts[n] + s.size - s.critical for n, s in enumerate(strata)], inner.c.segment)
    turn = case((inner.c.at >= last, 2), (inner.c.at < first, 0), else_=1)
    place = (2 * index + 1) * literal_column(str(UNIT)) // (2 * size)
    # One number again; no two members have the same.
    turn_first = (turn * literal_column(str(UNIT)) + place) * literal_column(str(MAX_SEGMENTS)) + inner.c.segment
    rank = func.row_number().over(order_by=turn_first) - 1
    return select(inner.c.device, inner.c.segment, rank.label("rank")).order_by(inner.c.device).subquery()


def _lot(rollout: Rollout) -> ColumnElement[int]:
    ranking = draw(rollout.seed)
    return (device.c.lot * ranking.a + ranking.b) % LOT_PRIME


def _with_critical(found: FromClause) -> tuple[FromClause, ColumnElement[int]]:
    tagged = _of_device(_CRITICAL, _CRITICAL.c.tag == CRITICAL)
    return found.outerjoin(_CRITICAL, tagged), case((_CRITICAL.c.tag.is_(None), 0), else_=1)


def _of_device(table: FromClause, also: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(table.c.tenant == device.c.tenant, table.c.device == device.c.device, also)


def _keyed(split: Sequence[str], release: Release) -> tuple[list[Label[str]], FromClause]:
    """What splits, as columns, and what they are read from."""
    keys: list[ColumnElement[str]] = []
    found: FromClause = device
    for number, by in enumerate(split):
        if by == HARDWARE:
            with_revision = device.c.model + ":" + device.c.hardware_revision
            keys.append(case((device.c.hardware_revision == "", device.c.model), else_=with_revision))
        elif by == VERSION:
            runs = device_component.alias(f"runs_{number}")
            component = release.component
            found = found.outerjoin(runs, _of_device(runs, runs.c.component == component))
            keys.append(func.coalesce(runs.c.version, ""))
        else:
            has = device_attribute.alias(f"has_{number}")
            name = by.removeprefix(ATTRIBUTE)
            found = found.outerjoin(has, _of_device(has, has.c.name == name))
            keys.append(func.coalesce(has.c.value, ""))
    return [key.label(f"key_{number}") for number, key in enumerate(keys)], found


def _segment_of(keys: Sequence[ColumnElement[str]], found: Mapping[tuple[str, ...] | None, int]) -> ColumnElement[int]:
    """The segment of a member by its keys, one after the other; who is in none of `found` is of the others."""
    others: ColumnElement[int] = literal_column(str(found.get(None, len(found) - 1)))
    named = {key: index for key, index in found.items() if key is not None}

    def below(level: int, these: Mapping[tuple[str, ...], int]) -> ColumnElement[int]:
        if level == len(keys):
            return literal_column(str(next(iter(these.values()))))
        by_value: dict[str, dict[tuple[str, ...], int]] = {}
        for key, index in these.items():
            by_value.setdefault(key[level], {})[key] = index
        choices = {value: below(level + 1, its) for value, its in by_value.items()}
        return case(choices, value=keys[level], else_=others)

    return below(0, named)


def _of_segment(facts: Sequence[int], segment: ColumnElement[int]) -> ColumnElement[int]:
    return by_halves([_Step(fact, index) for index, fact in enumerate(facts)], segment)


@dataclass(frozen=True, slots=True)
class _Step:
    """A value from `start` on, up to the next one's."""

    index: int
    start: int


def by_halves(steps: Sequence[Wave | _Step], number: ColumnElement[int]) -> ColumnElement[int]:
    """Which step a number is on, by halves: a member of a hundred waves costs seven comparisons."""
    if len(steps) == 1:
        return literal_column(str(int(steps[0].index)))
    middle = len(steps) // 2
    below = number < literal_column(str(int(steps[middle].start)))
    return case((below, by_halves(steps[:middle], number)), else_=by_halves(steps[middle:], number))
