"""A running server for the road tests of a module, and who works with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.ddi import DdiDevice, Operator
from tests.support.server import serving

Change = Callable[..., None]


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    data: Path = tmp_path_factory.mktemp("ddi") / "data"
    with serving(data) as server, server.api() as api, httpx.Client(base_url=server.url, timeout=30) as devices:
        yield Operator(server, api, devices)


@pytest.fixture
def device(operator: Operator) -> DdiDevice:
    return operator.device()


@pytest.fixture
def settings(operator: Operator) -> Iterator[Change]:
    """Changes the tenant's settings; at the end of the test they are as they were."""
    before = operator.ok("GET", "/tenant")["settings"]
    changed: set[str] = set()

    def change(**wanted: Any) -> None:
        changed.update(wanted)
        operator.ok("PATCH", "/tenant", json={"settings": wanted})

    yield change
    if changed:
        operator.ok("PATCH", "/tenant", json={"settings": {name: before[name] for name in changed}})
