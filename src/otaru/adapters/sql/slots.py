"""What rollouts have taken of their limits, counted from what is there: nothing is kept that could go astray.

In flight are the counters of members, at a place the open deployments of the devices that are there; only the minutes of
rollouts that limit them, or have a window, have rows of their own. PostgreSQL serializes whoever reads this and takes more.
"""

from collections.abc import Collection

from otaru.adapters.sql.lean import fetch, run
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import OPEN_STATES
from otaru.domain.deployment import State
from otaru.domain.ids import DeviceId, RolloutId, TenantId
from otaru.domain.rollout import Place, Rollout, Taken

_BY_STATE = """
SELECT state, CAST(sum(members) AS bigint) FROM deployment_count WHERE tenant = ? AND rollout = ? GROUP BY state"""

_TAKEN = "SELECT taken FROM offer_slot WHERE tenant = ? AND rollout = ? AND minute = ?"
_TAKE = """
INSERT INTO offer_slot (tenant, rollout, minute, taken) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, rollout, minute) DO UPDATE SET taken = offer_slot.taken + excluded.taken"""

_WHERE_IT_IS = "SELECT value FROM device_attribute WHERE tenant = ? AND device = ? AND name = ?"

# From the devices of the place, which are few, each with its open deployment, which the partial index has.
# The index is of all that are open; of those some count.
_THERE = f"""
SELECT count(*) FROM (
  SELECT 1 FROM device_attribute a CROSS JOIN deployment d
  WHERE a.tenant = ? AND a.name = ? AND a.value = ? AND d.tenant = a.tenant AND d.device = a.device
  AND d.state IN ({OPEN_STATES}) AND d.state IN ({{states}}) AND d.rollout = ? LIMIT ?
) AS there"""

_TAGGED = "SELECT 1 FROM device_tag WHERE tenant = ? AND device = ? AND tag = ?"

# The other way round: a tag may be on a whole fleet.
_THERE_BY_TAG = """
SELECT count(*) FROM (
  SELECT 1 FROM deployment d CROSS JOIN device_tag t
  WHERE d.tenant = ? AND d.rollout = ? AND d.state IN ({states}) AND d.current
  AND t.tenant = d.tenant AND t.device = d.device AND t.tag = ? LIMIT ?
) AS there"""


def _listed(states: Collection[State]) -> str:
    return ", ".join(f"'{state}'" for state in sorted(states))


def taken(session: Session, tenant: TenantId, rollout: Rollout, device: DeviceId, minute: int) -> Taken:
    """As a device finds it."""
    limits = rollout.policy.limits
    by_state = {State(state): members for state, members in fetch(session, _BY_STATE, tenant, rollout.id)}
    paced = limits.per_minute is not None or rollout.policy.rate is not None or rollout.download_window is not None
    told = fetch(session, _TAKEN, tenant, rollout.id, minute) if paced else []
    places: list[tuple[Place, str, int]] = []
    counted = _listed(rollout.policy.in_flight)
    alike, tagged = _THERE.format(states=counted), _THERE_BY_TAG.format(states=counted)
    for place in limits.places:
        if place.tag:
            if fetch(session, _TAGGED, tenant, device, place.tag):
                ((there,),) = fetch(session, tagged, tenant, rollout.id, place.tag, place.most)
                places.append((place, "", there))
            continue
        for (value,) in fetch(session, _WHERE_IT_IS, tenant, device, place.attribute):
            ((there,),) = fetch(session, alike, tenant, place.attribute, value, rollout.id, place.most)
            places.append((place, value, there))
    return Taken(
        in_flight=sum(by_state.get(state, 0) for state in rollout.policy.in_flight),
        told=told[0][0] if told else 0,
        waiting=sum(by_state.get(state, 0) for state in _waiting(rollout)),
        places=tuple(places),
    )


def _waiting(rollout: Rollout) -> tuple[State, ...]:
    """Members that are still to be told, of something or again."""
    return (State.SCHEDULED, State.DOWNLOADED) if rollout.policy.downloads_first else (State.SCHEDULED,)


def reserve(session: Session, tenant: TenantId, rollout: RolloutId, minute: int, wanted: int, capacity: int) -> int:
    """Take so many of a minute's places, as far as there are any left; how many were taken."""
    rows = fetch(session, _TAKEN, tenant, rollout, minute)
    granted = max(min(wanted, capacity - (rows[0][0] if rows else 0)), 0)
    if granted:
        run(session, _TAKE, tenant, rollout, minute, granted)
    return granted
