"""Our sequential patches as detools, a program of others, applies them: what lies in our container is in its form."""

import random
from pathlib import Path

import pytest

from otaru.images.delta import patch
from otaru.images.delta.container import HEAD_SIZE, WINDOW_SIZE
from otaru.images.delta.patch import Codec
from tests.support.images import Watched
from tests.support.tools import run


@pytest.mark.parametrize("codec", [Codec.LZMA, Codec.HEATSHRINK])
def test_detools_applies_what_we_made(codec: Codec, tmp_path: Path) -> None:
    chance = random.Random(5)
    source = b"".join(chance.choice((b"\0" * 40, b"push {r4, lr}", chance.randbytes(30))) for _ in range(600))
    result = source[:4000] + b"something new" + source[4000:9000] + chance.randbytes(200) + source[9100:]
    old, part, new = (tmp_path / name for name in ("old", "part", "new"))
    old.write_bytes(source)
    raw = b"".join(patch.make(codec, Watched(source), Watched(result)))
    part.write_bytes(raw[HEAD_SIZE + WINDOW_SIZE :])
    run("detools", "apply_patch", old, part, new)
    assert new.read_bytes() == result
