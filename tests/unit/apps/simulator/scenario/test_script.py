"""Scenario files: what they say, and what is refused with its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.simulator.scenario import script
from otaru.apps.simulator.scenario.horizon import intended
from otaru.apps.simulator.scenario.script import HarmKind
from otaru.domain.device import Hardware
from otaru.errors import InvalidInputError

WHOLE = """
until = "3d"
[fleet]
devices = 500
seed = 9
hardware = "gw:r1=3,gw:r2=1"
base_failure = "0.5%"
zones = {"+01:00" = 3, "-05:30" = 1}
power_cuts = 0.01
reboot_every = "12h"
[[checkin]]
every = "24h"
share = "10%"
office = "08:00-18:30"
[release]
product = "app"
installed = "1"
version = "2"
[[bad]]
hardware = "r2"
share = "30%"
after = "6h"
kind = "silent"
[[outage]]
at = "30h"
lasts = "6h"
fails = 0.3
[owners]
postpone = "10%"
[rollout]
waves = ["20", "100%"]
"""


def test_everything_is_read() -> None:
    read = script.read(WHOLE)
    assert (read.devices, read.seed, read.until_s) == (500, 9, 3 * 86_400)
    assert read.hardware == ((Hardware("gw", "r1"), 3.0), (Hardware("gw", "r2"), 1.0))
    assert read.zones == [(1.0, 3), (-5.5, 1)]
    assert read.habits[0].office == (8.0, 18.5)
    (harm,) = read.harms
    assert (harm.version, harm.kind, harm.after_s, harm.share) == ("2", HarmKind.SILENT, 6 * 3600, 0.3)
    assert (read.outages[0].from_s, read.outages[0].fails, read.owners.share) == (30 * 3600, 0.3, 0.1)
    assert read.rollout == {"waves": ["20", "100%"]}


def test_the_example_of_the_docs_is_one() -> None:
    read = script.read((Path(__file__).parents[5] / "docs/examples/bad-revision.toml").read_text())
    wanted = intended(read).parsed()
    assert wanted.policy.sequential is not None
    assert wanted.policy.split == ("hardware",)


def test_an_empty_file_is_a_plain_story() -> None:
    plain = script.read("")
    assert (plain.devices, plain.base_failure, plain.harms) == (1000, 0.01, [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("until = ", "not TOML"),
        ("colour = 1", "colour"),
        ("[fleet]\ndevices = 0", "fleet.devices"),
        ("[fleet]\ndevices = 1000000", "fleet.devices"),
        ("[fleet]\nbase_failure = '120%'", "fleet.base_failure"),
        ("[fleet]\nzones = {Paris = 1}", "fleet.zones"),
        ("[[checkin]]\nevery = '1s'", "checkin.every"),
        ("[[checkin]]\nevery = '1h'\noffice = '18:00-08:00'", "checkin.office"),
        ("[[bad]]\nshare = 1\nkind = 'loud'", "bad.kind"),
        ("[[bad]]\nshare = 1\nafter = 'soon'", "bad.after"),
        ("until = '9999d'", "until"),
        ("[release]\nversion = 'a b'", "version"),
        ("[owners]\npostpone = 'often'", "owners.postpone"),
    ],
)
def test_nonsense_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        script.read(text)
    assert words in refused.value.message


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        script.read(text)
    except InvalidInputError as error:
        assert error.message  # noqa: PT017 - either way is fine, a traceback is not
