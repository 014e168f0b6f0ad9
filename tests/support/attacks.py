"""What tests of attacks share: their table, the device whose refusals are noted, somebody in between."""

from collections.abc import Callable
from typing import Any

import pytest

from otaru.domain.ids import DeviceId
from otaru.errors import OtaruError
from otaru.trust.verify.steps import Source, Want
from tests.support.site import Between, Unit

DEVICE = DeviceId("dev-1")
ATTACKS: dict[str, tuple[str, frozenset[str]]] = {}
"""Attack and codes, by the test: what docs/attacks.md shows."""
Test = Callable[..., None]


def attack(name: str, *codes: str) -> Callable[[Test], Test]:
    def note(test: Test) -> Test:
        ATTACKS[test.__name__] = (name, frozenset(codes))
        return test

    return note


class Seen:
    """The codes with which a test has seen refusals."""

    def __init__(self) -> None:
        self.codes: set[str] = set()

    def refused(self, act: Callable[[], Any]) -> OtaruError:
        with pytest.raises(OtaruError) as caught:
            act()
        self.codes.add(caught.value.code)
        return caught.value


class Device(Unit):
    """A device whose refusals are noted."""

    seen: Seen

    def refuses(self, between: Between = lambda _, answer: answer) -> OtaruError:
        error = super().refuses(between)
        self.seen.codes.add(error.code)
        return error


def replayed(files: dict[str, bytes], source: Source, *names: str) -> Between:
    """Somebody who answers what was answered then: all of it, or these files."""

    def answer(want: Want, now: bytes | None) -> bytes | None:
        return files.get(want.name) if want.source is source and (not names or want.name in names) else now

    return answer


def instead(source: Source, name: str, data: bytes) -> Between:
    return replayed({name: data}, source, name)
