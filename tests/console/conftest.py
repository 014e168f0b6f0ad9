"""Servers, a browser and seats before it. One browser a module: Playwright keeps an event loop running in the thread, so
it must have ended before tests of other modules come."""

import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error

from tests.support.browser import PROGRAM, Seat, Sit, chromium, pictures, seat
from tests.support.server import Serving, serving
from tests.support.staged import Stage, staged

_SEATS = pytest.StashKey[list[Seat]]()
_FAILED = pytest.StashKey[bool]()
_PICTURES = Path(tempfile.gettempdir()) / f"otaru-console-failures-{os.getpid()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if PROGRAM is None:
        skip = pytest.mark.skip(reason="no chromium here: apt-get install chromium")
        here = Path(__file__).parent
        for item in items:
            if item.path.is_relative_to(here):
                item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failure: pictures of the screens, named in the output."""
    del call
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    if report.failed and report.when == "call" and (seats := item.stash.get(_SEATS, [])):
        try:
            made = pictures(seats, _PICTURES, item.nodeid.rpartition("/")[2])
            said = "\n".join([str(path) for path in made] + [line for one in seats for line in one.complaints])
        except Error as error:
            said = f"no picture: {error}"
        report.sections.append(("Screens", said))
    return report


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server without devices, releases or rollouts: a test leaves none."""
    with serving(tmp_path_factory.mktemp("console") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with a small fleet."""
    with serving(tmp_path_factory.mktemp("staged") / "data") as running:
        yield staged(running)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Serving]:
    """A server for one test alone, which nobody has logged in to."""
    with serving(tmp_path / "data") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def sit(browser: Browser, server: Serving, request: pytest.FixtureRequest) -> Iterator[Sit]:
    """Makes seats."""
    seats = request.node.stash.setdefault(_SEATS, [])
    with ExitStack() as stack:

        def make(*, logged_in: bool = True, server: Serving = server, **options: Any) -> Seat:
            made = stack.enter_context(seat(browser, server, **options))
            seats.append(made)
            if logged_in:
                made.log_in()
            return made

        yield make
        if not request.node.stash.get(_FAILED, False):
            for one in seats:
                one.check()


@pytest.fixture
def at(sit: Sit) -> Seat:
    """An admin before a wide screen."""
    return sit()
