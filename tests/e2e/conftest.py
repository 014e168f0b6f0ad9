"""Fixtures of the tests over whole processes."""

from collections.abc import Iterator

import httpx
import pytest

from otaru.domain.access import Role
from tests.support.api import MATRIX, OTHER, Apis, apis


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apis]:
    """One server for many tests: they use names of their own (`fresh`)."""
    with apis(tmp_path_factory.mktemp("api") / "data") as running:
        yield running


@pytest.fixture
def api(served: Apis) -> Iterator[httpx.Client]:
    """An admin of the default tenant."""
    with served.client() as client:
        yield client


@pytest.fixture
def other(served: Apis) -> Iterator[httpx.Client]:
    """An admin of another tenant."""
    with served.client(Role.ADMIN, OTHER) as client:
        yield client


@pytest.fixture
def matrix(served: Apis) -> Iterator[httpx.Client]:
    """An admin of a tenant that may be halted."""
    with served.client(Role.ADMIN, MATRIX) as client:
        yield client
