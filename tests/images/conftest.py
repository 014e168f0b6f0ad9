"""Who signs the images that the tools make."""

import pytest

from tests.support import swu


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> swu.Signer:
    return swu.signer(tmp_path_factory.mktemp("signer"))
