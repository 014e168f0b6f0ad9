"""What lies among the receipts on a stick, whoever put it there."""

import json
import os
from pathlib import Path

from otaru.apps.cli.bundles import _batches, _files

MOST = 1024 * 1024


def test_one_hostile_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\0" * 300_000)
    (tmp_path / "b.json").write_bytes(b"\xff" * 300_000)
    os.mkfifo(tmp_path / "c.json")
    (tmp_path / "d.json").symlink_to("/dev/zero")
    good = '{"receipt": "' + '"' * 200_000
    for name in ("e", "f", "g", "h"):
        (tmp_path / f"{name}.json").write_text(good)
    (tmp_path / "i.json").write_bytes(b"")
    batches = list(_batches(list(_files([tmp_path]))))
    sent = {path.name: text for some in batches for path, text in some.items()}
    assert len(sent) == 9
    assert [name for name, text in sent.items() if text == good] == ["e.json", "f.json", "g.json", "h.json"]
    assert all(sent.values()), "an empty one would be refused together with the others"
    assert all(
        len(json.dumps({"receipts": list(some.values())}, ensure_ascii=False).encode()) < MOST for some in batches
    )
