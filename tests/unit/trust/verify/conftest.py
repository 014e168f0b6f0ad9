"""A device and its two repositories; every refusal of a test of an attack is among the codes that it names."""

from collections.abc import Iterator

import pytest

from tests.support.attacks import ATTACKS, DEVICE, Device, Seen
from tests.support.site import (
    Site,
)


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Iterator[Seen]:
    found = Seen()
    yield found
    assert found.codes == ATTACKS[request.function.__name__][1]


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def unit(site: Site, seen: Seen) -> Device:
    site.director.order(DEVICE)
    found = Device(site)
    found.seen = seen
    return found
