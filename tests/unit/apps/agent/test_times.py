"""What a device makes of the times of day in `agent.toml`."""

from datetime import timedelta
from pathlib import Path

import pytest

from otaru.adapters.clock import SystemClock
from otaru.apps.agent import doctor, show, times, wiring
from otaru.apps.agent.settings import Settings, read
from otaru.domain.fetching import limit_at

APP = '[[component]]\nname = "app"\ninstaller = "files"\nfolder = "/opt/app"\n'


def told(folder: Path, text: str) -> Settings:
    (folder / "agent.toml").write_text(f'data = "{folder}"\n{text}\n{APP}')
    return read(folder / "agent.toml")


@pytest.mark.parametrize(
    ("link", "zone"),
    [
        ("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("/usr/share/zoneinfo/Mars/Olympus", "UTC"),
        ("/etc/my-zone", "UTC"),
        (None, "UTC"),
    ],
)
def test_the_zone_is_that_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str | None, zone: str
) -> None:
    if link is not None:
        (tmp_path / "localtime").symlink_to(link)
    monkeypatch.setattr(times, "_SYSTEM", str(tmp_path / "localtime"))
    assert times.zone(told(tmp_path, "")) == zone
    settings = told(tmp_path, 'timezone = "Europe/Paris"')
    assert times.zone(settings) == "Europe/Paris"
    assert wiring.described(settings)["timezone"] == "Europe/Paris"
    assert "timezone" not in wiring.described(told(tmp_path, ""))


def test_limits_and_windows_mean_the_same_by_device(tmp_path: Path) -> None:
    text = 'timezone = "Asia/Tokyo"\n[windows]\ninstall = ["01:00/2h device"]\n'
    settings = told(tmp_path, text + '[download]\nlimits = [{ window = "01:00/2h device", bytes_per_s = 7 }]')
    how = wiring.manner(settings)
    opens = times.hours(settings).first_moment(SystemClock().now())
    assert opens is not None
    assert opens.hour in {16, 17}  # 17: it is open now
    assert limit_at(how.limits, opens, how.zone)[0] == 7
    assert limit_at(how.limits, opens + timedelta(hours=2), how.zone)[0] is None


def test_when_its_windows_open_is_told(tmp_path: Path) -> None:
    zone = 'timezone = "UTC"\n[windows]\ninstall = '
    settings = told(tmp_path, zone + '["00:00/24h device"]')
    stands = show.windows(settings)["windows"]
    assert (stands["open"], stands["timezone"], "closes_at" in stands) == (True, "UTC", True)
    assert [one.grade for one in doctor.windows(settings)] == [doctor.Grade.GOOD]
    later = SystemClock().now() + timedelta(hours=2)
    settings = told(tmp_path, f'{zone}["{later:%H:%M}/1m"]')
    opens = later.replace(second=0, microsecond=0)
    assert show.windows(settings) == {"windows": {"open": False, "opens_at": opens.isoformat(), "timezone": "UTC"}}
    (found,) = doctor.windows(settings)
    assert (found.grade, found.said.startswith(f"not before {opens:%Y-%m-%d %H:%M} UTC")) == (doctor.Grade.REMARK, True)
    settings = told(tmp_path, "")
    assert (show.windows(settings), list(doctor.windows(settings))) == ({}, [])
