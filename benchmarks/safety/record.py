"""What has been played, on disk: each piece a line of JSON, synced before the next one begins.

A second start reads it and goes on with what is missing; a line that a crash cut off is played again.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.safety.run import Outcome

Key = tuple[int, str, int, tuple[str, ...]]
"""Fleet, scenario, number of the run, rules."""


class MixedError(Exception):
    """The record was made with other seeds, or by another judge or another world."""


@dataclass(frozen=True)
class Piece:
    """One scenario played once, under one rule after the other."""

    size: int
    scenario: str
    number: int
    outcomes: dict[str, Outcome]
    seconds: float
    """Processor time."""

    @property
    def key(self) -> Key:
        return self.size, self.scenario, self.number, tuple(self.outcomes)


@dataclass(frozen=True)
class Origin:
    """What all pieces of a record have in common."""

    salt: str
    code: str

    @classmethod
    def here(cls, salt: str) -> "Origin":
        """These seeds, played by the files that are here now."""
        root = Path(__file__).parents[2]
        digest = hashlib.sha256()
        for file in sorted([*root.glob("benchmarks/safety/*.py"), *root.glob("src/otaru/analysis/*.py")]):
            if file.name not in {"record.py", "table.py"}:
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return cls(salt, digest.hexdigest()[:12])


class Record:
    """Pieces that were played, and those to come; without a path it is kept in memory."""

    def __init__(self, origin: Origin, path: Path | None = None) -> None:
        self.origin = origin
        self.pieces: list[Piece] = []
        self._file = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size:
            found, self.pieces, whole = _read(path)
            if found != origin:
                raise MixedError(f"{path} is of {found}, and this would be {origin}: name another file")
            os.truncate(path, whole)
            self._file = path.open("a")
        else:
            self._file = path.open("a")
            self._append({"salt": origin.salt, "code": origin.code})

    def add(self, piece: Piece) -> None:
        """Keep it; it is on disk when this returns."""
        self.pieces.append(piece)
        outcomes = {rule: _shown(outcome) for rule, outcome in piece.outcomes.items()}
        self._append([piece.size, piece.scenario, piece.number, round(piece.seconds, 3), outcomes])

    def _append(self, value: Any) -> None:
        if self._file is not None:
            self._file.write(json.dumps(value) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


def read(path: Path) -> Record:
    """What is in a file, whoever made it."""
    origin, pieces, _ = _read(path)
    record = Record(origin)
    record.pieces = pieces
    return record


def _read(path: Path) -> tuple[Origin, list[Piece], int]:
    """Its origin, its pieces, and how many bytes of it are whole lines."""
    whole, pieces = 0, []
    lines = path.read_bytes().splitlines(keepends=True)
    origin = Origin(**json.loads(lines[0]))
    for line in lines:
        if not line.endswith(b"\n"):
            break
        if whole:
            size, scenario, number, seconds, outcomes = json.loads(line)
            pieces.append(Piece(size, scenario, number, {r: _outcome(o) for r, o in outcomes.items()}, seconds))
        whole += len(line)
    return origin, pieces, whole


def _shown(outcome: Outcome) -> list[Any]:
    return [outcome.stopped, sorted(outcome.held), outcome.exposed, outcome.hours, round(outcome.others, 6)]


def _outcome(shown: list[Any]) -> Outcome:
    stopped, held, exposed, hours, others = shown
    return Outcome(stopped, frozenset(held), exposed, hours, others)
