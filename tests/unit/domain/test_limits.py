"""How many at once: places, what leaves no room, and when to ask again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.deployment import State
from otaru.domain.offer import Rule, decide
from otaru.domain.rollout import Limits, Place, Policy, Taken, ask_again, check, full, place
from otaru.domain.schedule.appointment import minute
from otaru.errors import InvalidInputError
from tests.unit.domain.test_offer import a_plan, a_subject, share

NOON = datetime(2026, 11, 21, 12, 0, 20, tzinfo=UTC)
SITE = Place("site", 2)


@pytest.mark.parametrize("text", ["attr.site=5", "attr.a-b.c=1000000", "tag.lab=2"])
def test_a_place_reads_as_it_is_written(text: str) -> None:
    assert str(place(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "site=5",
        "attr.site",
        "attr.site=",
        "attr.site=x",
        "attr.=5",
        "attr.site=\u0665",
        "attr.site=12345678",
        "tag.=1",
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        place(text)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(in_flight=0),
        Limits(per_minute=1_000_001),
        Limits(places=(Place("site", 0),)),
        Limits(places=(Place("site", 1), Place("site", 2))),
        Limits(places=(place("tag.lab=1"), place("tag.lab=2"))),
        Limits(places=tuple(Place(name, 1) for name in "abcde")),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: Limits) -> None:
    with pytest.raises(InvalidInputError):
        check(Policy(limits=limits))
    check(Policy(limits=Limits(1, 1_000_000, (SITE,))))


numbers = st.integers(0, 5)


@given(numbers, numbers, numbers, st.booleans())
def test_there_is_room_exactly_below_every_limit(flying: int, told: int, there: int, before: bool) -> None:
    limits = Limits(3, 2, (SITE,))
    taken = Taken(flying, told, 10, ((SITE, "berlin", there),))
    assert (full(limits, taken, told=before) is None) == (flying < 3 and there < 2 and (before or told < 2))
    assert full(Limits(), replace(taken, places=())) is None


@given(st.integers(1, 1000), st.integers(0, 10**6), st.integers(0, 10**6))
def test_who_waits_for_the_minute_comes_in_one_of_the_next_ones(per_minute: int, waiting: int, rank: int) -> None:
    limits = Limits(per_minute=per_minute)
    assert ask_again(limits, Taken(0, per_minute - 1, waiting), rank, NOON) is None
    at = ask_again(limits, Taken(0, per_minute, waiting), rank, NOON)
    assert at is not None
    assert minute(at) > minute(NOON)
    following = NOON.replace(second=0) + timedelta(minutes=1)
    assert at <= following + timedelta(minutes=waiting / per_minute)


def test_those_who_wait_are_spread() -> None:
    """A hundred of them, ten a minute: each of the next ten minutes gets about its ten."""
    limits, taken = Limits(per_minute=10), Taken(0, 10, 100)
    times = [ask_again(limits, taken, rank, NOON) for rank in range(100)]
    by_minute = [sum(at is not None and minute(at) == minute(NOON) + 1 + n for at in times) for n in range(10)]
    assert sum(by_minute) == 100
    assert min(by_minute) >= 8
    assert max(by_minute) <= 12


def test_a_device_is_told_which_limit_it_waits_for() -> None:
    mine = share()
    plan = a_plan(window=None, consent=False)
    limits = Limits(3, 2, (SITE,))
    plan = replace(plan, rollout=replace(plan.rollout, policy=replace(plan.rollout.policy, limits=limits)))

    def ask(taken: Taken | None, state: State = State.SCHEDULED) -> tuple[Rule, str, bool]:
        mine = share(state=state)
        answer = decide(a_subject(mine), replace(plan, taken=taken), mine, halted=False, now=NOON)
        return answer.rule, answer.because, answer.ask_at is not None

    assert ask(None)[0] is Rule.OFFER, "nothing was looked up"
    assert ask(Taken(2, 1, 5, ((SITE, "berlin", 1),)))[0] is Rule.OFFER
    limit = "Rollout 1 is at its limit:"
    assert ask(Taken(3, 0, 5)) == (Rule.LIMIT, f"{limit} 3 of 3 are in flight.", False)
    at = f"{limit} 2 of 2 are in flight where site is berlin."
    assert ask(Taken(2, 2, 5, ((SITE, "berlin", 2),))) == (Rule.LIMIT, at, True)
    told = f"{limit} 2 of 2 have been told in this minute."
    assert ask(Taken(2, 2, 5)) == (Rule.LIMIT, told, True)
    assert ask(Taken(2, 2, 5), State.POSTPONED)[0] is Rule.OFFER, "it has been told before"
    assert mine.state is State.SCHEDULED
