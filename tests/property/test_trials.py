"""Trials end as the rules say: what the store finds is what a look at each device would find."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otaru.domain.deployment import DEPLOYMENT, Deployment, Event, State
from otaru.domain.device import Installed, Source
from otaru.domain.health import HealthEvent, Kind
from otaru.domain.ids import ActionId, DeviceId, RolloutId, Version
from otaru.domain.rollout import Policy
from otaru.domain.trial import BAD, Trial, outcome, spoiled
from tests.conftest import Databases
from tests.support.fleet import HERE, NOW, Shelf, a_device, a_rollout, open_shelf

DEVICES = [DeviceId(f"dev-{n}") for n in range(5)]
ONE = RolloutId(1)
MINUTE = timedelta(minutes=1)
WINDOW, PATIENCE = 30 * MINUTE, 10 * MINUTE


@dataclass(frozen=True)
class Past:
    """What became of a device: minutes since NOW. None: it did not happen."""

    state: State
    began: int
    contact: int | None
    runs: str | None
    told: tuple[tuple[Kind, int], ...]


minutes = st.integers(0, 90)
pasts = st.builds(
    Past,
    st.sampled_from([State.ON_TRIAL, State.ON_TRIAL, State.ON_TRIAL, State.REBOOTING, State.SUCCEEDED]),
    minutes,
    st.none() | minutes,
    st.sampled_from([None, "1.0.0", "1.1.0"]),
    st.lists(st.tuples(st.sampled_from([Kind.CRASH, Kind.STORAGE, Kind.REBOOT]), minutes), max_size=4).map(tuple),
)


@pytest.fixture
def made(databases: Databases) -> Iterator[Shelf]:
    with open_shelf(databases.fresh()) as shelf:
        release = shelf.stock(HERE, [a_device(device) for device in DEVICES])
        shelf.launch(HERE, a_rollout(policy=Policy(validate=WINDOW)), release)
        yield shelf


def play(shelf: Shelf, device: DeviceId, past: Past) -> None:
    (before,) = shelf.deployments.current(HERE, [(ONE, device)])
    assert before is not None
    (action,) = shelf.deployments.allot(HERE, [device])
    began = NOW + past.began * MINUTE
    shelf.deployments.save(HERE, [(before, replace(before, state=past.state, action=action, changed_at=began))])
    if past.contact is not None:
        shelf.devices.contacts([(HERE, device, NOW + past.contact * MINUTE, "")])
    if past.runs is not None:
        shelf.devices.install(HERE, [(device, Installed("app", Version(past.runs), Source.OTARU, began, False))])
    shelf.health.add(
        HERE,
        [HealthEvent(device, str(n), kind, NOW + at * MINUTE) for n, (kind, at) in enumerate(past.told)],
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pasts, min_size=len(DEVICES), max_size=len(DEVICES)), st.integers(0, 150), st.integers(1, 6))
def test_what_is_over_and_how_it_ends(made: Shelf, lives: list[Past], now: int, limit: int) -> None:
    with made.session.connection.begin_nested() as transaction:
        for device, past in zip(DEVICES, lives, strict=True):
            play(made, device, past)
        at = NOW + now * MINUTE
        tried = dict(zip(DEVICES, lives, strict=True))
        tried = {device: past for device, past in tried.items() if past.state is State.ON_TRIAL}
        ends: dict[DeviceId, Event] = {}
        for device, past in tried.items():
            heard = past.contact is not None and past.contact > past.began
            over = now >= past.began + 30 and (heard or now >= past.began + 40)
            if over:
                back = past.runs == "1.0.0"
                ends[device] = Event.REVERT if back else Event.SUCCEED if heard else Event.SILENCE
        found = made.deployments.trials_over(HERE, ONE, "app", at - WINDOW, at - WINDOW - PATIENCE, limit)
        outcomes = {t.deployment.device: outcome(t, Version("1.1.0"), WINDOW)[0] for t in found}
        oldest = sorted(ends, key=lambda device: (tried[device].began, device))[:limit]
        assert outcomes == {device: ends[device] for device in oldest}
        assert {row.device for row in made.deployments.on_trial(HERE, DEVICES)} == set(tried)
        assert made.deployments.every_rollout_on_trial() == ([(HERE, ONE)] if tried else [])

        counted = made.health.since(HERE, [(d, NOW + p.began * MINUTE) for d, p in tried.items()], BAD)
        for device, past in tried.items():
            bad = [kind for kind, told in past.told if kind in BAD and told >= past.began]
            assert sorted(counted[device].elements() if device in counted else []) == sorted(bad)

        confirmed = [device for device, event in ends.items() if event is Event.SUCCEED]
        made.devices.confirm(HERE, [(device, "app", Version("1.1.0")) for device in confirmed])
        for known in made.devices.page(HERE, None, None, 9):
            for runs in known.installed:
                assert runs.confirmed is (known.id in confirmed and runs.version == "1.1.0")
        transaction.rollback()


@given(st.integers(0, 1000), st.sets(st.sampled_from(sorted(BAD)), min_size=1), st.integers(1, 1000))
def test_bad_events_fail_a_trial_from_the_threshold_on(events: int, kinds: set[Kind], allowed: int) -> None:
    assert (spoiled(events, kinds, allowed) is not None) == (events >= allowed)


@given(st.booleans(), st.sampled_from([None, Version("1"), Version("2")]))
def test_every_end_of_a_trial_is_one_that_the_table_knows(heard: bool, runs: Version | None) -> None:
    row = Deployment(ONE, DEVICES[0], 1, State.ON_TRIAL, 0, 0, 0, ActionId(1), NOW)
    event, why = outcome(Trial(row, heard, runs), Version("2"), WINDOW)
    state = DEPLOYMENT.next(State.ON_TRIAL, event)
    assert state in {State.SUCCEEDED, State.REVERTED, State.SILENT}
    assert (why == "") == (state is State.SUCCEEDED)
