"""What lies among the receipts on a stick, whoever put it there."""

import json
import os
from pathlib import Path

import pytest

from otaru.apps.cli.bundles import _batches, _files, _is_odd, _text
from otaru.errors import InvalidInputError

MOST = 1024 * 1024


def test_one_hostile_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\0" * 300_000)
    (tmp_path / "b.json").write_bytes(b"\xff" * 300_000)
    os.mkfifo(tmp_path / "c.json")
    (tmp_path / "d.json").symlink_to("/dev/zero")
    (tmp_path / "secret").write_text('{"receipt": "of somebody"}')
    (tmp_path / "j.json").symlink_to(tmp_path / "secret")
    good = '{"receipt": "' + '"' * 200_000
    for name in ("e", "f", "g", "h"):
        (tmp_path / f"{name}.json").write_text(good)
    (tmp_path / "i.json").write_bytes(b"")
    files = list(_files([tmp_path]))
    odd = [path for path in files if _is_odd(path)]
    assert [path.name for path in odd] == ["c.json", "d.json", "j.json"]
    assert list(_batches([])) == []
    batches = list(_batches([path for path in files if path not in odd]))
    sent = {path.name: text for some in batches for path, text in some.items()}
    assert len(sent) == 7
    assert [name for name, text in sent.items() if text == good] == ["e.json", "f.json", "g.json", "h.json"]
    assert all(sent.values()), "an empty one would be refused together with the others"
    assert all(
        len(json.dumps({"receipts": list(some.values())}, ensure_ascii=False).encode()) < MOST for some in batches
    )


def test_a_file_that_becomes_a_link_meanwhile_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of somebody")
    (tmp_path / "a.json").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        _text(tmp_path / "a.json")
