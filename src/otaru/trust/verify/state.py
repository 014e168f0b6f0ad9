"""What a device keeps of its trust, from its making to its end: frozen values, and their one written form.

A factory reset must not clear it. `time` and `counters` never fall.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from otaru.trust.verify.refusals import StateError
from otaru.trust.verify.steps import Keep, Source

_FORM = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Trusted:
    """A repository's files as they were verified, byte by byte. Only the root is there from the beginning."""

    root: bytes
    timestamp: bytes | None = None
    snapshot: bytes | None = None
    targets: Mapping[str, bytes] = field(default_factory=dict)
    """Top-level targets and delegated roles, by role."""


@dataclass(frozen=True, slots=True)
class State:
    """All that a device keeps."""

    director: Trusted
    image: Trusted
    time: datetime = EPOCH
    """The latest moment at which fresh metadata was seen: signed ends bound it, so no wrong clock can carry it far."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """The security counter that each component has burnt."""

    def keeping(self, keep: Keep) -> "State":
        """With what a step says to keep."""
        if keep.source is Source.DIRECTOR:
            return replace(self, director=keep.trusted)
        return replace(self, image=keep.trusted)


def provisioned(director_root: bytes, image_root: bytes, built: datetime) -> State:
    """A new device: the roots that are built into it, and when it was built."""
    return State(Trusted(director_root), Trusted(image_root), built)


def encode(state: State) -> bytes:
    """As it is stored."""
    told = {
        "form": _FORM,
        "director": _files(state.director),
        "image": _files(state.image),
        "time": state.time.astimezone(UTC).isoformat(),
        "counters": dict(sorted(state.counters.items())),
    }
    return json.dumps(told, separators=(",", ":")).encode()


def decode(data: bytes) -> State:
    """As `encode` has written it.

    Raises:
        StateError: it is not.
    """
    try:
        told = json.loads(data)
        if told["form"] != _FORM:
            raise StateError(f"the device's trust is kept in form {told['form']}, {_FORM} is known")
        time = datetime.fromisoformat(told["time"])
        counters = {str(name): int(counter) for name, counter in told["counters"].items()}
        if time.tzinfo is None or any(counter < 0 for counter in counters.values()):
            raise StateError("the device's trust is not of its form")
        return State(_trusted(told["director"]), _trusted(told["image"]), time, counters)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StateError("the device's trust is not of its form") from None


def _files(trusted: Trusted) -> dict[str, Any]:
    def text(data: bytes | None) -> str | None:
        return None if data is None else b64encode(data).decode()

    targets = {role: text(file) for role, file in sorted(trusted.targets.items())}
    return {
        "root": text(trusted.root),
        "timestamp": text(trusted.timestamp),
        "snapshot": text(trusted.snapshot),
        "targets": targets,
    }


def _trusted(told: Mapping[str, Any]) -> Trusted:
    def data(text: str | None) -> bytes | None:
        return None if text is None else b64decode(text, validate=True)

    targets = {role: b64decode(text, validate=True) for role, text in told["targets"].items()}
    root = b64decode(told["root"], validate=True)
    return Trusted(root, data(told["timestamp"]), data(told["snapshot"]), targets)
