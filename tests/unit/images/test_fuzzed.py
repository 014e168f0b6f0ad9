"""What `make fuzz` begins with, and what it has found: each reader does with them what a reader may."""

from pathlib import Path

import pytest

from otaru.images.reading import Reader
from tests.fuzz.targets import FOUND, LIMITS, SEEDS, TARGETS
from tests.support.images import Watched


def files(folder: Path) -> list[object]:
    """The inputs in a folder of folders, each with its target."""
    found = sorted(folder.glob("*/*"))
    return [pytest.param(path.parent.name, path, id=f"{path.parent.name}-{path.name}") for path in found]


@pytest.mark.parametrize(("name", "path"), files(SEEDS))
def test_a_seed_is_read_to_its_end(name: str, path: Path) -> None:
    target, data = TARGETS[name], path.read_bytes()
    assert target.check(data), "it is not of the format"
    target.read(Reader(Watched(data), LIMITS))


@pytest.mark.parametrize(("name", "path"), files(SEEDS))
def test_a_seed_whose_sums_are_made_right_is_read_too(name: str, path: Path) -> None:
    target, data = TARGETS[name], path.read_bytes()
    target.read(Reader(Watched(target.mend(data)), LIMITS))


@pytest.mark.parametrize(("name", "path"), files(FOUND))
def test_what_was_found_is_mended(name: str, path: Path) -> None:
    TARGETS[name].check(path.read_bytes())


def test_every_target_has_seeds() -> None:
    assert {path.name for path in SEEDS.iterdir() if path.is_dir()} == set(TARGETS)
