import json
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from otaru.apps.server.api.models.devices import DeviceChange, DeviceIn, DeviceOut, DevicePage, page_of_devices
from otaru.apps.server.api.models.releases import ReleaseIn
from otaru.apps.server.api.models.rollouts import PolicyOut, RolloutIn
from otaru.apps.server.api.models.tenants import SettingsIn
from otaru.domain.deployment import State
from otaru.domain.device import AutoConfirm, Device, Hardware, Installed, Lifecycle, Source, hardware
from otaru.domain.ids import DeviceId, Version
from otaru.domain.release import release_name
from otaru.domain.rollout import ClassicRule, Policy, Share, share
from otaru.domain.schedule import Window
from otaru.errors import InvalidInputError
from otaru.services.control.survey import Shown


def test_hardware_is_a_model_with_or_without_a_revision() -> None:
    assert hardware("rpi4") == Hardware("rpi4")
    assert hardware("rpi4:b") == Hardware("rpi4", "b")
    for wrong in ("", ":b", "rpi4:", "a:b:c", "a\nb"):
        with pytest.raises(InvalidInputError):
            hardware(wrong)


def test_a_release_is_named_by_product_and_version() -> None:
    assert release_name("app:1.1.0") == ("app", "1.1.0")
    assert release_name("app:1:2") == ("app", "1:2")
    for wrong in ("app", ":1", "app:", "a b:1"):
        with pytest.raises(InvalidInputError):
            release_name(wrong)


@given(st.integers(0, 999_999_999))
def test_a_number_of_devices_is_read_as_it_is_written(value: int) -> None:
    assert share(str(value)) == Share(value, percent=False)


@given(st.integers(0, 9_999_999).map(lambda n: n / 10_000))
def test_a_percentage_is_read_as_it_is_written(value: float) -> None:
    assert share(f"{value:.4f}%") == Share(value, percent=True)


@pytest.mark.parametrize("wrong", ["", "-1", "1.5", "1e3", "%", "5%%", " 5", "\u0665", "0x1", "1000000000"])
def test_what_is_no_wave(wrong: str) -> None:
    with pytest.raises(InvalidInputError):
        share(wrong)


def rollout(**more: object) -> RolloutIn:
    return RolloutIn.model_validate({"release": "app:1", "target": "id==*", **more})


def test_without_options_a_rollout_is_simple() -> None:
    assert rollout().parsed().policy == Policy()


@pytest.mark.parametrize("more", [{"waves": ["2", "100%"]}, {"success": 0.9}, {"error": 0.1}])
def test_with_waves_or_thresholds_it_is_judged(more: dict[str, object]) -> None:
    assert rollout(**more).parsed().policy.rule == ClassicRule(0.9, 0.1)


def test_its_window_is_text() -> None:
    policy = rollout(window="22:30/90m Europe/Paris").parsed().policy
    assert policy.window == Window(time(22, 30), timedelta(minutes=90), "Europe/Paris")
    assert PolicyOut.of(policy).window == "22:30/1h30m Europe/Paris"
    assert PolicyOut.of(rollout().parsed().policy).window is None
    for wrong in ("", "2am", "02:00/25h", "02:00/4h Mars/Olympus", "02:00/4h\n"):
        with pytest.raises(ValidationError):
            rollout(window=wrong)


def test_its_times_are_utc_and_its_spans_seconds() -> None:
    found = rollout(start_at="2026-01-01T00:00:00+02:00", observe_s=1.5, wave_timeout_s=60, expires_in_s=0).parsed()
    assert found.start_at == datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert found.start_at.tzinfo is UTC
    policy = found.policy
    assert (policy.observe, policy.wave_timeout) == (timedelta(seconds=1.5), timedelta(minutes=1))
    assert policy.expires_after == timedelta(0)


def test_it_does_not_start_at_once_and_later() -> None:
    with pytest.raises(InvalidInputError):
        rollout(start=True, start_at="2026-01-01T00:00:00Z").parsed()
    with pytest.raises(InvalidInputError):
        rollout(start_at="0001-01-01T00:00:00+10:00").parsed()


def test_the_component_is_the_product_unless_given() -> None:
    part = {"sha256": "0" * 64, "filename": "a", "hardware": ["x", "y:2"]}
    body = {"product": "app", "version": "1", "artifacts": [part, part | {"component": "os"}]}
    parts = ReleaseIn.model_validate(body).parsed().parts
    assert [p.component for p in parts] == ["app", "os"]
    assert parts[0].hardware == [Hardware("x"), Hardware("y", "2")]


def test_a_change_leaves_what_is_not_named() -> None:
    change = DeviceChange.model_validate({"attributes": {"a": None}}).parsed()
    assert (change.hardware, change.tags, change.installed) == (None, None, None)
    assert change.attributes == {"a": None}
    assert SettingsIn.model_validate({"polling_s": 60}).parsed().quota is None


@given(st.text(max_size=200))
def test_a_device_id_that_passes_is_one(text: str) -> None:
    try:
        device = DeviceIn.model_validate({"id": text, "hardware": "x"}).parsed()
    except ValidationError:
        return
    assert device.id == DeviceId(text)
    assert text.isascii()
    assert text not in {".", ".."}


@given(st.text(st.characters(), max_size=50))
def test_attribute_values_hold_no_control_characters_or_surrogates(text: str) -> None:
    try:
        DeviceIn.model_validate({"id": "a", "hardware": "x", "attributes": {"a": text}})
    except ValidationError:
        return
    text.encode()
    assert "\x00" not in text


names = st.text('abc.-é"<\u2028', min_size=1, max_size=5)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
shown_devices = st.builds(
    Shown,
    st.builds(
        Device,
        names.map(DeviceId),
        st.sampled_from(Lifecycle),
        st.builds(Hardware, names, names | st.just("")),
        moments,
        moments,
        st.integers(1, 9),
        st.frozensets(names, max_size=3),
        st.dictionaries(names, names, max_size=3),
        st.lists(
            st.builds(Installed, names, names.map(Version), st.sampled_from(Source), moments, st.booleans()),
            max_size=3,
            unique_by=lambda fact: fact.component,
        ).map(tuple),
        st.none() | st.builds(AutoConfirm, st.none() | names, st.none() | names, moments),
        last_contact=st.none() | moments,
        address=st.none() | names,
    ),
    st.none() | st.sampled_from(State),
)


@given(st.lists(shown_devices, max_size=3), st.none() | names, st.none() | st.integers(0, 9))
def test_a_page_without_models_says_what_they_would(
    shown: list[Shown], following: str | None, total: int | None
) -> None:
    page = DevicePage(items=[DeviceOut.of(one) for one in shown], next=following, total=total)
    assert json.loads(page_of_devices(shown, following, total)) == json.loads(page.model_dump_json())
