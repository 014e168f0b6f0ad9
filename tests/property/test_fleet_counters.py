"""Counters shown are counters recounted, whatever was done to the members, by whichever worker."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.session import Session
from otaru.domain.deployment import FINAL, Deployment, State
from otaru.domain.evidence import Evidence
from otaru.domain.health import ARMS, Arm
from otaru.domain.ids import ActionId, DeviceId, RolloutId
from otaru.domain.rollout import Policy, Share
from tests.conftest import Databases
from tests.support.fleet import HERE, THERE, Shelf, a_device, a_rollout, later, shelf_on

ONE = RolloutId(1)
DEVICES = [DeviceId(f"dev-{n}") for n in range(6)]
POLICY = Policy(waves=(Share(1, percent=False), Share(3, percent=False)))


@dataclass(frozen=True)
class Save:
    """Some members' newest or, where there is one, previous attempts, saved in other states."""

    changes: dict[DeviceId, tuple[State, bool]]


@dataclass(frozen=True)
class MoveAll:
    states: set[State]
    target: State


@dataclass(frozen=True)
class Retry:
    states: set[State]


states = st.sampled_from(State)
some_states = st.sets(states, max_size=8)
acts = st.one_of(
    st.builds(Save, st.dictionaries(st.sampled_from(DEVICES), st.tuples(states, st.booleans()), max_size=6)),
    st.builds(MoveAll, some_states, states),
    st.builds(Retry, some_states | st.just(set(FINAL))),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(acts, st.integers(0, 15)), max_size=12))
def test_counters_are_what_a_recount_finds(made: Shelf, story: list[tuple[Save | MoveAll | Retry, int]]) -> None:
    with made.session.connection.begin_nested() as transaction:
        for act, shard in story:
            before = _members(made)
            moved = _done(shelf_on(Session(made.session.connection, shard)), act)
            evidence = made.rollouts.evidence(HERE, ONE)
            assert evidence == made.rollouts.recounted(HERE, ONE)
            assert evidence.whole.members == len(DEVICES)
            _check_arms(made, evidence)
            after = _members(made)
            assert {d.device: (d.rank, d.wave) for d in after} == {d.device: (d.rank, d.wave) for d in before}
            _check(act, moved, before, after)
        assert made.rollouts.evidence(THERE, ONE).whole.of(State.SCHEDULED) == len(DEVICES)
        transaction.rollback()


def _members(shelf: Shelf) -> list[Deployment]:
    return shelf.deployments.page(HERE, ONE, (), None, 100)


def _done(shelf: Shelf, act: Save | MoveAll | Retry) -> int:
    match act:
        case Save(changes):
            histories = {d: [x for x, _ in shelf.deployments.of_device(HERE, d, 100)] for d in changes}
            attempts = {d: sorted(histories[d], key=lambda x: x.attempt) for d in changes}
            saved = [
                (old, replace(old, state=state, action=ActionId(old.attempt), changed_at=later(1), reason=state.value))
                for device, (state, previous) in changes.items()
                for old in [attempts[device][-2 if previous and len(attempts[device]) > 1 else -1]]
                # The table has no edge that opens a past attempt again (and the schema would refuse it).
                if state in FINAL or old is attempts[device][-1]
            ]
            shelf.deployments.save(HERE, saved)
            return len(saved)
        case MoveAll(states, target):
            return shelf.rollouts.move_all(HERE, ONE, states, target, "moved", later(2))
        case Retry(states):
            return sum(shelf.rollouts.retry(HERE, ONE, states, later(3)).values())


def _check_arms(shelf: Shelf, evidence: Evidence) -> None:
    risk = shelf.health.risk(HERE, ONE)
    for arm in Arm:
        meant = [state for state, of in ARMS.items() if of is arm]
        assert risk.at_risk(0, arm, 2**31) == evidence.whole.of(*meant)


def _check(act: Save | MoveAll | Retry, moved: int, before: list[Deployment], after: list[Deployment]) -> None:
    match act:
        case MoveAll(states, target):
            meant = [d.state in states - {target} for d in before]
            assert moved == sum(meant)
            assert [d.state for d in after] == [target if m else d.state for m, d in zip(meant, before, strict=True)]
        case Retry(states):
            meant = [d.state in states & FINAL for d in before]
            assert moved == sum(meant)
            assert [d.attempt for d in after] == [d.attempt + m for m, d in zip(meant, before, strict=True)]
        case Save():
            pass


@pytest.fixture
def made(databases: Databases) -> Iterator[Shelf]:
    engine = open_writer(databases.fresh())
    with engine.connect() as connection, connection.begin():
        shelf = shelf_on(Session(connection))
        for tenant in (HERE, THERE):
            release = shelf.stock(tenant, [a_device(name) for name in DEVICES])
            shelf.launch(tenant, a_rollout(policy=POLICY), release)
        yield shelf
    engine.dispose()
