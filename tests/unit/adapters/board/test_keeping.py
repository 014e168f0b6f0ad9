"""Bytes that survive, notes that wait, and the settings of an agent: over a disk that lies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.adapters.board.disk import LocalDisk, make_folders, remove_tree
from otaru.adapters.board.outbox import MAX_KEPT, FileOutbox
from otaru.adapters.board.sealed import Sealed
from otaru.domain.deployment import Event
from otaru.domain.ids import ActionId
from otaru.domain.link import MAX_NOTES, Note
from otaru.errors import JournalBrokenError
from tests.support.modeldisk import Fate, ModelDisk, PowerCut


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(max_size=200), min_size=1, max_size=5),
    st.integers(0, 30),
    st.sampled_from(list(Fate)),
    st.integers(0, 3),
)
def test_after_a_cut_it_is_what_was_put_or_what_was_before(
    values: list[bytes], point: int, fate: Fate, seed: int
) -> None:
    disk = ModelDisk(cuts=frozenset({point}), fate=fate, seed=seed)
    before: bytes | None = None
    kept: bytes | None = None
    try:
        for value in values:
            before, kept = kept, value
            Sealed(disk, "/x").put(value)
    except PowerCut:
        disk.cut()
        assert Sealed(disk, "/x").load() in {before, kept}
    else:
        assert Sealed(disk, "/x").load() == kept
    disk.cuts = frozenset()
    Sealed(disk, "/x").put(b"after")
    assert Sealed(disk, "/x").load() == b"after"
    assert len(disk.names("/")) <= 3


@settings(deadline=None)
@given(st.integers(0, 1), st.binary(min_size=1, max_size=40), st.integers(0, 120))
def test_a_copy_that_rots_leaves_the_one_before(which: int, rot: bytes, at: int) -> None:
    disk = ModelDisk()
    for value in (b"one" * 20, b"two" * 20):
        Sealed(disk, "/x").put(value)
    disk.write_at(f"/x.{which}", at, rot)
    assert Sealed(disk, "/x").load() in {b"one" * 20, b"two" * 20}
    disk.write_at(f"/x.{1 - which}", 0, b"rotten")
    disk.write_at(f"/x.{which}", 0, b"rotten")
    with pytest.raises(JournalBrokenError):
        Sealed(disk, "/x").load()


def test_the_outbox_forgets_progress_before_outcomes() -> None:
    disk = ModelDisk()
    outbox = FileOutbox(disk, "/outbox")
    for number in range(1, 4):
        outbox.put(Note(f"end-{number}", ActionId(number), Event.SUCCEED))
    for number in range(MAX_KEPT + 20):
        outbox.put(Note(f"words-{number}", ActionId(1)))
    outbox.put(Note("end-1", ActionId(1), Event.SUCCEED))
    waiting = outbox.waiting()
    assert len(waiting) == MAX_NOTES
    assert [note.id for note in waiting[:3]] == ["end-1", "end-2", "end-3"]
    outbox.told([note.id for note in waiting])
    assert len(outbox.waiting()) == MAX_KEPT - MAX_NOTES
    for number in range(MAX_KEPT + 5):
        outbox.put(Note(f"last-{number}", ActionId(number + 10), Event.FAIL))
    left = []
    while notes := outbox.waiting():
        left += [note.id for note in notes]
        outbox.told([note.id for note in notes])
    assert left[-1] == f"last-{MAX_KEPT + 4}"
    assert len(left) == MAX_KEPT


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "1", "2"])), max_size=8))
def test_the_model_disk_and_the_real_one_agree(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    real, model = LocalDisk(), ModelDisk()
    base = str(tmp_path_factory.mktemp("disk"))
    for disk, root in ((real, base), (model, "")):
        make_folders(disk, f"{root}/in/deep")
        for name, data in steps:
            path = f"{root}/in/{name}"
            if data:
                disk.write_at(path, 1, data.encode())
                disk.sync(path)
                disk.rename(path, f"{path}x")
            else:
                disk.remove(f"{path}x")
        disk.link(f"{root}/in/link", "deep")
        disk.sync_folder(f"{root}/in")
    assert real.names(f"{base}/in") == model.names("/in")
    for name in model.names("/in"):
        assert real.size(f"{base}/in/{name}") == model.size(f"/in/{name}") or name in {"deep", "link"}
        assert real.target(f"{base}/in/{name}") == model.target(f"/in/{name}")
        assert real.is_folder(f"{base}/in/{name}") == model.is_folder(f"/in/{name}")
    remove_tree(real, f"{base}/in")
    remove_tree(model, "/in")
    assert real.names(base) == model.names("/") == []
