"""A repository that is not one of ours: only what TUF says holds. The suite tuf-conformance says the rest."""

from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from otaru.errors import OtaruError
from otaru.trust.tuf import changes
from otaru.trust.verify import chain
from otaru.trust.verify.chain import MAX_DELEGATIONS, Chain, Found, Rules, find, refresh
from otaru.trust.verify.state import Trusted
from otaru.trust.verify.steps import Keep, Source, Want, run
from tests.support.keys import NOW, by, public, some

ENDS = (NOW + timedelta(days=1)).replace(microsecond=0)


class Repository:
    """One key signs everything; roles delegate as a test says."""

    def __init__(self, graph: dict[str, list[str]], at: dict[str, str], *, consistent: bool = True) -> None:
        one = some(["k"])
        root = changes.new_root(dict.fromkeys(("root", "targets", "snapshot", "timestamp"), one), NOW)
        root.signed.consistent_snapshot = consistent
        self.root = by(root, "k")
        self.files = {"1.root.json": self.root.to_bytes()}
        self.consistent = consistent
        self.wants: list[str] = []
        meta = {}
        for role in {"targets", *graph, *(child for children in graph.values() for child in children)}:
            roles = {
                c: DelegatedRole(c, [public("k").keyid], 1, terminating=False, paths=["*"]) for c in graph.get(role, [])
            }
            told = Delegations({public("k").keyid: public("k")}, roles) if roles else None
            listed = {
                path: TargetFile.from_data(path, role.encode(), ["sha256"]) for path, who in at.items() if who == role
            }
            self.serve(role, Metadata(Targets(1, None, ENDS, listed, told)))
            meta[f"{role}.json"] = MetaFile(1)
        self.serve("snapshot", Metadata(Snapshot(1, None, ENDS, meta)))
        self.files["timestamp.json"] = by(Metadata(Timestamp(1, None, ENDS, MetaFile(1))), "k").to_bytes()

    def serve(self, role: str, found: Metadata[Any]) -> None:
        prefix = f"{found.signed.version}." if self.consistent else ""
        self.files[f"{prefix}{role}.json"] = by(found, "k").to_bytes()

    def fetch(self, want: Want) -> bytes | None:
        self.wants.append(want.name)
        return self.files.get(want.name)

    def refresh(self, trusted: Trusted | None = None, keep: Callable[[Keep], None] = lambda _: None) -> Chain:
        steps = refresh(Source.IMAGE, trusted or Trusted(self.files["1.root.json"]), Rules(), NOW)
        return run(steps, self.fetch, keep)

    def find(self, path: str) -> Found:
        return run(find(self.refresh(), path), self.fetch, lambda _: None)[1]


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(OtaruError) as caught:
        act()
    return caught.value.code


def test_delegations_in_a_circle_end() -> None:
    made = Repository({"targets": ["a"], "a": ["b"], "b": ["a", "b"]}, {"x": "b"})
    assert made.find("x").role == "b"
    assert refused(lambda: made.find("y")) == "target_unknown"
    assert made.wants.count("1.a.json") == 2  # once each time


@pytest.mark.parametrize("shape", ["chain", "fan"])
def test_delegations_have_a_limit(shape: str) -> None:
    names = [f"r{n}" for n in range(MAX_DELEGATIONS + 2)]
    pairs = {one: [next_] for one, next_ in zip(["targets", *names], names, strict=False)}
    graph = pairs if shape == "chain" else {"targets": names}
    made = Repository(graph, {"near": names[MAX_DELEGATIONS - 1], "far": names[-1]})
    assert made.find("near").role == names[MAX_DELEGATIONS - 1]
    assert refused(lambda: made.find("far")) == "delegations_too_many"


def test_without_consistent_snapshots_names_have_no_versions() -> None:
    made = Repository({"targets": ["a"]}, {"x": "a"}, consistent=False)
    assert made.find("x").role == "a"
    assert made.wants == ["2.root.json", "timestamp.json", "snapshot.json", "targets.json", "a.json"]


def test_roots_are_followed_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Repository({}, {})
    for version in range(2, 8):
        after = deepcopy(made.root)
        after.signatures.clear()
        after.signed.version = version
        made.serve("root", after)
    monkeypatch.setattr(chain, "MAX_ROOTS", 4)
    kept: list[Keep] = []
    made.refresh(keep=kept.append)
    assert kept[3].trusted.root == made.files["5.root.json"]
    made.wants.clear()
    made.refresh(kept[-1].trusted, kept.append)
    assert made.wants == [f"{version}.root.json" for version in (6, 7, 8)] + ["timestamp.json"]


def test_what_was_verified_is_kept_when_the_next_is_refused() -> None:
    made = Repository({}, {})
    kept: list[Keep] = []
    del made.files["1.targets.json"]
    assert refused(lambda: made.refresh(keep=kept.append)) == "metadata_missing"
    trusted = kept[-1].trusted
    assert (trusted.timestamp, trusted.snapshot) == (made.files["timestamp.json"], made.files["1.snapshot.json"])
    assert trusted.targets == {}


def test_an_own_root_that_nobody_signed_is_no_beginning() -> None:
    made = Repository({}, {})
    bare = deepcopy(made.root)
    bare.signatures.clear()
    assert refused(lambda: made.refresh(Trusted(bare.to_bytes()))) == "metadata_unsigned"
    assert made.wants == []
