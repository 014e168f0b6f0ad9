"""How wrong settings are told."""

from pathlib import Path

import pytest

from otaru.apps.server.settings import load
from otaru.errors import InvalidInputError


def test_an_unknown_setting_is_named_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('lisen = "127.0.0.1:0"\n')
    with pytest.raises(InvalidInputError) as refused:
        load(file)
    assert refused.value.message == f"{file}: unknown setting lisen"
