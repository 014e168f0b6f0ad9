"""Downloads from sources of every kind: they end, and with the bytes that were signed or with none."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import time, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.domain.fetching import MAX_BARREN, Backoff, Limit, Sources, check_limits, limit_at
from otaru.domain.ids import Version
from otaru.domain.schedule import Window
from otaru.errors import (
    InvalidInputError,
    NotFoundError,
    OtaruError,
    StoppedError,
    UnauthenticatedError,
    UnavailableError,
)
from otaru.services.edge.fetch import Fetch, Manner
from otaru.trust.verify.pace import Pace
from otaru.trust.verify.payload import Payload
from otaru.trust.verify.refusals import SlowRetrievalError, TargetDigestError
from otaru.trust.verify.target import Target
from tests.support import sources
from tests.support.sources import NOON, Deed, Memory, Source, Time

CONTENT = b"".join(sha256(bytes([n])).digest() for n in range(256)) * 32  # 256 KiB
SIZE = len(CONTENT)


def target(content: bytes = CONTENT) -> Target:
    digests = {"sha256": sha256(content).hexdigest()}
    return Target("a/stable/1/f", len(content), digests, "a", (), Version("1"), 0, "file")


class Case:
    """One download."""

    def __init__(self, manner: Manner | None = None, content: bytes = CONTENT, /, **given: list[Deed]) -> None:
        self.time = Time()
        self.memory = Memory()
        self.sources = sources.Sources(self.time, **{name: Source(content, deeds) for name, deeds in given.items()})
        self.content = content
        self.manner = manner or Manner()
        self.fetch = self.again()

    def again(self, **more: Any) -> Fetch:
        """As after a restart: nothing is known but what is on the disk."""
        return Fetch(
            shelf=self.sources,
            partial=self.memory,
            size=len(self.content),
            payload=lambda: Payload(target(self.content)),
            addresses=list(self.sources.by_address),
            clock=self.time,
            pause=self.time.pause,
            lot=lambda: 0.5,
            manner=self.manner,
            **more,
        )

    def through(self, rounds: int = 200) -> int:
        """Run it as an agent does, waiting when it is told to; how many rounds it took."""
        for number in range(1, rounds + 1):
            try:
                self.fetch.run()
            except UnavailableError as error:
                self.time.pause(error.facts["retry_after_s"])
            else:
                assert bytes(self.memory.data) == self.content
                assert self.memory.synced == len(self.content)
                return number
        raise AssertionError("it never ends")


GOOD = Deed()


def test_a_file_comes_whole_over_one_connection() -> None:
    case = Case(origin=[GOOD])
    assert case.through() == 1
    assert case.sources.asked == [("origin", 0, "")]


@pytest.mark.parametrize("cut", [0, 1, 65535, 65536, SIZE - 1])
def test_what_came_is_not_asked_for_again(cut: int) -> None:
    case = Case(origin=[Deed(cut=cut), GOOD])
    assert case.through() == 2
    assert case.sources.asked[1] == ("origin", cut, '"t"')
    assert case.sources.bytes == SIZE


def test_who_knows_no_ranges_is_read_past_what_is_held() -> None:
    case = Case(origin=[Deed(cut=100_000), Deed(ranges=False)])
    case.through()
    assert case.sources.bytes == 100_000 + SIZE


def test_mirrors_are_asked_first_and_the_server_last() -> None:
    case = Case(near=[Deed(refuses="404")], far=[Deed(cut=1000)], origin=[GOOD])
    assert case.through() == 1
    assert [address for address, _, _ in case.sources.asked] == ["near", "far", "origin"]
    assert case.sources.asked[2][1] == 1000


@pytest.mark.parametrize(
    "deed",
    [
        Deed(refuses="404"),
        Deed(refuses="401"),
        Deed(refuses="400"),
        Deed(refuses="416"),
        Deed(refuses="503"),
        Deed(refuses="down"),
        Deed(total=7),
        Deed(total=-7),
        Deed(lies_first=3),
        Deed(other=True),
        Deed(shifted=5, total=None),
        Deed(longer=9, total=None),
        Deed(cut=10),
        Deed(per_s=1, piece=1),
    ],
)
def test_a_bad_mirror_costs_one_try_at_most_two(deed: Deed) -> None:
    case = Case(mirror=[deed], origin=[GOOD])
    assert case.through() <= 2
    assert len(case.sources.asked) <= 4


def test_a_prefix_that_a_power_cut_spoilt_is_fetched_anew_from_the_server_alone() -> None:
    case = Case(mirror=[Deed(cut=200_000)], origin=[Deed(refuses="down")])
    with pytest.raises(UnavailableError):
        case.fetch.run()
    case.memory.synced = 150_000
    case.memory.cut()
    case.sources.by_address["mirror"].deeds = case.sources.by_address["origin"].deeds = [GOOD]
    case.fetch = case.again()
    assert case.through() == 1
    assert case.sources.asked[-1][:2] == ("origin", 0)


def test_other_bytes_from_everybody_are_a_refusal_and_leave_nothing() -> None:
    case = Case(mirror=[Deed(other=True)], origin=[Deed(other=True)])
    with pytest.raises(TargetDigestError):
        case.through()
    assert case.memory.held() == 0
    assert len(case.sources.asked) == 2


def test_other_bytes_after_a_break_are_no_reason_to_begin_for_ever() -> None:
    case = Case(origin=[Deed(cut=100_000), Deed(other=True, tag='"u"'), Deed(other=True, tag='"u"')])
    with pytest.raises(TargetDigestError):
        case.through()
    assert case.sources.bytes <= 3 * SIZE


def test_who_ignores_if_range_is_found_out_by_the_tag() -> None:
    case = Case(mirror=[Deed(cut=100_000), Deed(tag='"u"')], origin=[Deed(refuses="down"), GOOD])
    case.sources.open = _deaf_to_if_range(case.sources)  # type: ignore[method-assign]
    case.through()
    assert case.sources.asked[2][0] == "mirror"
    assert case.sources.asked[3] == ("origin", 100_000, "")


def _deaf_to_if_range(served: sources.Sources) -> Callable[..., Any]:
    whole = type(served).open

    def answer(address: str, first: int = 0, tag: str = "") -> Any:
        found = whole(served, address, first, "")
        served.asked[-1] = (address, first, tag)
        return found

    return answer


def test_a_byte_a_second_is_not_waited_for() -> None:
    case = Case(origin=[Deed(per_s=1, piece=1)])
    with pytest.raises(UnavailableError) as refused:
        case.fetch.run()
    assert case.time.seconds < 300
    assert refused.value.facts["retry_after_s"] >= 1


def test_the_end_of_the_whole_counts_what_was_before() -> None:
    case = Case(Manner(pace=Pace(1, timedelta(seconds=60), timedelta(hours=1))), origin=[Deed(per_s=5000)])
    case.fetch = case.again(spent=timedelta(minutes=59, seconds=30))
    with pytest.raises(SlowRetrievalError):
        case.through()
    assert case.fetch.took >= timedelta(hours=1)
    assert 0 < case.memory.held() < SIZE, "what came is kept, should anybody want it after all"


def test_one_who_always_breaks_off_is_asked_more_and_more_rarely_and_then_no_more() -> None:
    case = Case(origin=[Deed(cut=10, ranges=False)])
    with pytest.raises(NotFoundError):
        case.through()
    assert len(case.sources.asked) == MAX_BARREN
    assert case.time.seconds > 3600


def test_retry_after_is_kept_to() -> None:
    case = Case(origin=[Deed(refuses="503")])
    with pytest.raises(UnavailableError) as refused:
        case.fetch.run()
    assert refused.value.facts["retry_after_s"] >= 7


def test_the_servers_own_no_to_the_credential_is_the_agents_business() -> None:
    with pytest.raises(UnauthenticatedError):
        Case(mirror=[Deed(refuses="401")], origin=[Deed(refuses="401")]).fetch.run()


def test_a_portal_before_the_server_does_not_end_it() -> None:
    case = Case(origin=[Deed(refuses="400"), Deed(total=-5), GOOD])
    assert case.through() == 3


def test_what_somebody_orders_ends_a_transfer_at_once() -> None:
    case = Case(origin=[Deed(per_s=1000, piece=1000)])

    def look() -> None:
        raise StoppedError("cancelled")

    case.fetch = case.again(look=look)
    with pytest.raises(StoppedError):
        case.fetch.run()
    assert 60_000 <= case.memory.held() <= 62_000
    assert case.memory.synced == case.memory.held()
    assert all(download.closed for download in case.sources.downloads)


NIGHT = Window(time(22), timedelta(hours=8))
DAY = Window(time(8), timedelta(hours=12))


def test_by_day_it_is_slower() -> None:
    case = Case(Manner(limits=[Limit(DAY, 1000)]), origin=[Deed(piece=4096)])
    case.through()
    assert SIZE / 1000 * 0.9 <= case.time.seconds <= SIZE / 1000 * 1.1


def test_where_nothing_may_be_downloaded_it_waits_for_the_hour() -> None:
    case = Case(Manner(limits=[Limit(DAY, 0)]), origin=[GOOD])
    assert case.through() == 2
    assert case.time.now() >= NOON.replace(hour=20)
    assert len(case.sources.asked) == 1


def test_the_hour_may_come_in_the_middle() -> None:
    case = Case(Manner(limits=[Limit(NIGHT, 0)]), origin=[Deed(per_s=5, piece=500)])
    case.manner = replace(case.manner, pace=Pace(1, timedelta(minutes=5), timedelta(days=7)))
    case.fetch = case.again()
    case.through()
    assert case.time.now() > NOON.replace(day=16, hour=6)
    assert case.sources.bytes == SIZE, "it goes on where it was"


def test_of_several_limits_the_strictest_counts() -> None:
    assert limit_at([Limit(DAY, 500), Limit(DAY, 100), Limit(NIGHT, 0)], NOON, "") == (100, NOON.replace(hour=20))
    assert limit_at([Limit(NIGHT, 0)], NOON, "") == (None, None)
    with pytest.raises(InvalidInputError):
        check_limits([Limit(DAY, -1)])


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True), st.none() | st.integers(0, 7200))
def test_a_wait_has_a_ceiling_and_a_lot(failures: int, lot: float, asked: int | None) -> None:
    backoff = Backoff()
    least = timedelta(0) if asked is None else timedelta(seconds=asked)
    wait = backoff.after(failures, lot, None if asked is None else least)
    assert max(least, backoff.first / 2) <= wait <= max(backoff.ceiling, least + backoff.ceiling / 2)
    assert backoff.after(failures + 1, lot) >= backoff.after(failures, lot)


deeds = st.builds(
    Deed,
    refuses=st.sampled_from(["", "", "", "", "404", "503", "401", "400", "416", "down"]),
    ranges=st.booleans(),
    shifted=st.sampled_from([0, 0, 0, -1, 7]),
    lies_first=st.sampled_from([0, 0, 0, -1, 7]),
    total=st.sampled_from([0, 0, None, -1, 9]),
    other=st.booleans(),
    cut=st.none() | st.integers(0, 6000),
    longer=st.sampled_from([0, 0, 1, 5000]),
    per_s=st.sampled_from([1e9, 1e9, 1.0]),
    piece=st.sampled_from([1, 100, 65536]),
    tag=st.sampled_from(['"t"', '"u"', ""]),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.lists(deeds, min_size=1, max_size=4), min_size=1, max_size=3),
    st.binary(max_size=3000),
    st.booleans(),
    st.integers(0, 5),
)
def test_whatever_sources_do_it_ends_with_the_right_bytes_or_none(
    given_: list[list[Deed]], rubbish: bytes, honest: bool, restarts: int
) -> None:
    content = CONTENT[:5000]
    named = {f"s{number}": deeds for number, deeds in enumerate(given_)}
    if honest:
        named["origin"] = [*named.pop(f"s{len(given_) - 1}"), GOOD]
    case = Case(None, content, **named)
    case.memory.append(0, rubbish)
    for _ in range(restarts):
        try:
            case.fetch.run()
        except OtaruError:
            case.fetch = case.again()
    with suppress(OtaruError):
        case.through(rounds=100)
    assert case.memory.longest <= len(content), "nothing is stored beyond what was signed"
    assert all(download.closed for download in case.sources.downloads)


@settings(max_examples=200, deadline=None)
@given(st.lists(deeds, min_size=1, max_size=4), st.binary(max_size=3000))
def test_with_a_server_that_means_well_nothing_that_a_mirror_does_prevents_it(
    mirror: list[Deed], rubbish: bytes
) -> None:
    case = Case(None, CONTENT[:5000], mirror=mirror, origin=[GOOD])
    case.memory.append(0, rubbish)
    case.through()


def test_addresses_are_asked_once_a_round() -> None:
    found = Sources(("a", "b"))
    assert (found.address, found.is_last) == ("a", False)
    found = found.gave(0)
    assert (found.address, found.is_last, found.round_over) == ("b", True, False)
    found = found.gave(0)
    assert found.round_over
    assert found.rested().address == "a"
