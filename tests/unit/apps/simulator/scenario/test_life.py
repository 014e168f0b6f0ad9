"""What a scenario makes of devices: the same each time, and as its words say."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.simulator.model import End, Rest
from otaru.apps.simulator.scenario import life, script
from otaru.apps.simulator.scenario.life import ScenarioLife, nature
from otaru.apps.simulator.scenario.script import Harm, HarmKind, Outage

PLAIN = replace(script.read(""), base_failure=0.0)
OFFICE = script.read('[fleet]\nzones = {"+05:30" = 1}\n[[checkin]]\nevery = "4h"\noffice = "08:00-18:00"')
NAMES = [f"sim-{number}" for number in range(400)]


def test_the_same_seed_tells_the_same_lives() -> None:
    told = [[(nature(PLAIN, n), life.next_contact(PLAIN, n, nature(PLAIN, n), 3, 100.0)) for n in NAMES] for _ in "ab"]
    assert told[0] == told[1]
    other = replace(PLAIN, seed=2)
    assert [nature(other, n) for n in NAMES] != [nature(PLAIN, n) for n in NAMES]


@given(st.sampled_from(NAMES), st.integers(1, 50), st.floats(0, 10 * 86_400))
def test_office_devices_come_in_their_own_office_hours(name: str, number: int, now_s: float) -> None:
    at_s = life.next_contact(OFFICE, name, nature(OFFICE, name), number, now_s)
    assert at_s > now_s
    assert 8 * 3600 <= (at_s + 5.5 * 3600) % 86_400 < 18 * 3600


@given(st.sampled_from(NAMES), st.floats(0, 10 * 86_400))
def test_a_battery_holds_between_empty_and_full(name: str, now_s: float) -> None:
    assert 0 <= nature(PLAIN, name).battery(now_s) <= 100


def failing(harm: Harm, now_s: float = 0.0) -> list[str]:
    scenario = replace(PLAIN, harms=[harm], hardware=script.read('[fleet]\nhardware = "gw:r1=1,gw:r2=1"').hardware)
    return [
        name
        for name in NAMES
        if life.lot(scenario, name, nature(scenario, name), 1, "2.0.0", now_s).fate.end is not End.SUCCESS
    ]


def test_a_bad_release_harms_its_share_of_its_hardware() -> None:
    everywhere = failing(Harm("2.0.0", 0.3))
    assert 80 < len(everywhere) < 160
    of_r2 = failing(Harm("2.0.0", 0.3, hardware="r2"))
    assert 30 < len(of_r2) < 90
    assert not failing(Harm("3.0.0", 1.0)), "another version"


def test_low_batteries_only() -> None:
    low = set(failing(Harm("2.0.0", 1.0, battery_below=40.0), now_s=12 * 3600))
    assert low
    assert low == {name for name in NAMES if nature(PLAIN, name).battery(12 * 3600) < 40.0}


@given(st.sampled_from(NAMES), st.integers(0, 5), st.floats(0, 5 * 86_400))
def test_later_harm_comes_at_the_so_manyth_reboot(name: str, reboots: int, now_s: float) -> None:
    scenario = replace(PLAIN, harms=[Harm("2.0.0", 1.0, HarmKind.SILENT, after_s=60.0, after_reboots=reboots)])
    after_s = life.lot(scenario, name, nature(scenario, name), 1, "2.0.0", now_s).silent_after_s
    assert after_s is not None
    rest = after_s - 60.0
    assert rest == 0 if reboots == 0 else (reboots - 1) * 86_400 - 1 < rest <= reboots * 86_400 + 1


def test_an_outage_keeps_devices_away_until_it_is_over() -> None:
    scenario = replace(PLAIN, outages=[Outage(3600.0, 7200.0, 1.0, 1.0)])
    one = ScenarioLife(scenario, "sim-1", nature(scenario, "sim-1"), lambda: 4000.0)
    assert 4000.0 + one.away_s(1) >= 10_800.0
    before = ScenarioLife(scenario, "sim-1", nature(scenario, "sim-1"), lambda: 3000.0)
    assert before.away_s(1) == 0.0
    assert life.lot(scenario, "sim-1", one.of, 1, "2.0.0", 4000.0).fate.end is End.BOOT_FAILS


def test_owners_put_off_as_often_as_they_may() -> None:
    scenario = script.read('[owners]\npostpone = 1.0\nlasts = "8h"\ntimes = 2')
    one = ScenarioLife(scenario, "sim-1", nature(scenario, "sim-1"), lambda: 0.0)
    rests = [step for step in one.steps(1, "2.0.0") if isinstance(step, Rest) and step.why == "put off"]
    assert [step.span_s for step in rests] == [8 * 3600.0] * 2
    assert one.postponed == 2


@given(st.sampled_from(NAMES), st.lists(st.floats(1, 40_000), min_size=1, max_size=8), st.floats(60, 7200))
def test_what_crashes_crashes_as_often_as_it_says_however_it_is_asked(
    name: str, waits: list[float], every_s: float
) -> None:
    scenario = replace(PLAIN, harms=[Harm("2.0.0", 1.0, HarmKind.CRASH, after_s=500.0, every_s=every_s)])
    now = [0.0]
    one = ScenarioLife(scenario, name, nature(scenario, name), lambda: now[0])
    list(one.steps(1, "2.0.0"))
    assert one.crashes_from_s == 500.0
    told = 0
    for number, wait in enumerate(waits):
        before, now[0] = now[0], now[0] + wait
        crashed = one.crashes(before, number)
        expected = max(0, int((now[0] - 500) // every_s) + 1) - max(0, int((before - 500) // every_s) + 1)
        assert crashed == min(expected, life.MAX_CRASHES)
        told += crashed
    lost = ScenarioLife(replace(scenario, telemetry_loss=1.0), name, one.of, lambda: now[0], crashes_from_s=0.0)
    lost.crash_every_s = every_s
    assert lost.crashes(0.0, 1) == 0
    list(one.steps(2, "1.0.0"))
    assert one.crashes(0.0, 9) == 0, "what it runs now does not crash"


def test_crashes_by_chance_come_as_often_as_is_said() -> None:
    scenario = replace(PLAIN, crash_every_s=86_400.0)
    lives = [ScenarioLife(scenario, name, nature(scenario, name), lambda: 5 * 86_400.0) for name in NAMES]
    assert 4.5 < sum(one.crashes(0.0, 1) for one in lives) / len(lives) < 5.5
