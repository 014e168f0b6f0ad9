"""Our patches as programs of others apply them, detools and rdiff: what lies in our container is in their form."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from otaru.images.delta import patch, rdiff
from otaru.images.delta.container import HEAD_SIZE, WINDOW_SIZE, Window
from otaru.images.delta.patch import Codec
from tests.support.images import Watched
from tests.support.tools import run

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def versions() -> tuple[bytes, bytes]:
    chance = random.Random(5)
    source = b"".join(chance.choice((b"\0" * 40, b"push {r4, lr}", chance.randbytes(30))) for _ in range(600))
    return source, source[:4000] + b"something new" + source[4000:9000] + chance.randbytes(200) + source[9100:]


@pytest.mark.parametrize("codec", [Codec.LZMA, Codec.HEATSHRINK])
def test_detools_applies_what_we_made(codec: Codec, tmp_path: Path) -> None:
    source, result = versions()
    old, part, new = (tmp_path / name for name in ("old", "part", "new"))
    old.write_bytes(source)
    raw = b"".join(patch.make(codec, Watched(source), Watched(result)))
    part.write_bytes(raw[HEAD_SIZE + WINDOW_SIZE :])
    run("detools", "apply_patch", old, part, new)
    assert new.read_bytes() == result


@pytest.mark.skipif(shutil.which("rdiff") is None, reason="no rdiff here: apt-get install rdiff")
def test_rdiff_applies_what_we_made(tmp_path: Path) -> None:
    old, part, new = (tmp_path / name for name in ("old", "part", "new"))
    middle = random.Random(6).randbytes(300_000)
    for source, result in (versions(), (middle, middle[70_000:] + bytes(70_000) + middle[:70_000]), (b"", middle)):
        old.write_bytes(source)
        raw = b"".join(patch.make(Codec.RDIFF, Watched(source), Watched(result)))
        part.write_bytes(zstd.decompress(raw[HEAD_SIZE + WINDOW_SIZE :]))
        subprocess.run(["rdiff", "--force", "patch", old, part, new], check=True, timeout=60)
        assert new.read_bytes() == result


@pytest.mark.skipif(shutil.which("rdiff") is None, reason="no rdiff here: apt-get install rdiff")
def test_what_rdiff_made_is_applied(tmp_path: Path) -> None:
    source, result = versions()
    old, sums, delta, new = (tmp_path / name for name in ("old", "sums", "delta", "new"))
    old.write_bytes(source)
    new.write_bytes(result)
    for command in (("signature", "--block-size=256", old, sums), ("delta", sums, new, delta)):
        subprocess.run(["rdiff", *map(str, command)], check=True, timeout=60)
    window = Window(0, len(source), len(result), 0)
    assert b"".join(rdiff.decode(window, Watched(source), [zstd.compress(delta.read_bytes())])) == result
