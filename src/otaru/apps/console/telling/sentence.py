"""What sentences are made of: things with their pages, and what an event's data say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from otaru.apps.console.status import Tone
from otaru.domain.events import Happening


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that has a name and, where it has one, a page."""

    words: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What an event's kind says: all of its sentence but who and when."""

    tone: Tone
    words: str
    about: Thing | None = None
    reason: str = ""
    facts: tuple[str, ...] = ()


def device_page(device: str) -> Thing:
    """A device and its page."""
    return Thing(device, f"/devices/{quote(device, safe='')}")


def rollout_page(rollout: object) -> Thing:
    """A rollout and its page."""
    return Thing(f"rollout {rollout}", f"/rollouts/{quote(str(rollout), safe='')}")


def text(what: Happening, name: str) -> str:
    """A text of an event's data; empty where it holds none of this name."""
    value: Any = what.data.get(name)
    return value if isinstance(value, str) else ""


def texts(what: Happening, name: str) -> Sequence[str]:
    """The texts in a list of an event's data."""
    value: Any = what.data.get(name)
    return [v for v in value if isinstance(v, str)] if isinstance(value, list | tuple) else []


def quoted(name: str) -> str:
    """A name in quotation marks, behind a space; nothing where there is none."""
    return f" “{name}”" if name else ""


def plain(tone: Tone, words: str) -> Callable[[Happening], Said]:
    """Words that need no data."""
    return lambda _: Said(tone, words)


def listed(words: str, name: str) -> Callable[[Happening], Said]:
    """Words and the names of what changed."""
    return lambda what: Said(Tone.IDLE, words, facts=tuple(texts(what, name)))
