import re
import threading
from datetime import UTC, timedelta
from uuid import UUID

import pytest

from otaru.adapters.clock import SystemClock


def test_now_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_unique_is_a_uuid_of_version_7_and_of_now() -> None:
    clock = SystemClock()
    before = clock.now()
    text = clock.unique()
    assert re.fullmatch("[0-9a-f]{32}", text)
    made = UUID(text)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    stamp = (made.int >> 80) / 1000
    assert abs(stamp - before.timestamp()) < timedelta(minutes=1).total_seconds()


def test_unique_sorts_by_the_order_of_making() -> None:
    clock = SystemClock()
    made = [clock.unique() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_unique_sorts_also_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1_700_000_000_000_000_000, 1_600_000_000_000_000_000, 1_700_000_000_000_999_999])
    monkeypatch.setattr("time.time_ns", lambda: next(times))
    clock = SystemClock()
    first, second, third = (clock.unique() for _ in range(3))
    assert first < second < third
    assert first[:12] == second[:12] == third[:12] == f"{1_700_000_000_000:012x}"


def test_threads_never_make_the_same() -> None:
    clock = SystemClock()
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(clock.unique() for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({text[:16] for text in made}) == 8000


def test_a_token_fits_in_a_url_and_is_no_option() -> None:
    clock = SystemClock()
    tokens = [clock.token() for _ in range(2000)]
    assert all(re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{31}", token) for token in tokens)
    assert len(set(tokens)) == 2000


def test_a_seed_is_in_its_range() -> None:
    clock = SystemClock()
    seeds = [clock.seed() for _ in range(1000)]
    assert all(0 <= seed < 2**62 for seed in seeds)
    assert len(set(seeds)) == 1000


def test_monotonic_never_goes_back() -> None:
    clock = SystemClock()
    times = [clock.monotonic() for _ in range(1000)]
    assert times == sorted(times)
