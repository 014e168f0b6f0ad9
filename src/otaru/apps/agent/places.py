"""What `agent.toml` may not say of paths: one place for two things, and what no path can hold."""

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otaru.apps.agent.settings import Settings


def with_nul(told: object, where: str = "") -> str | None:
    """The key of a text with a zero byte: no file and no program can be called so. None: there is none."""
    if isinstance(told, str):
        return where if "\0" in told else None
    if isinstance(told, dict):
        inner = ((one, f"{where}.{name}" if where else name) for name, one in told.items())
    elif isinstance(told, list):
        inner = ((one, f"{where}[{number}]") for number, one in enumerate(told))
    else:
        return None
    return next((found for one, at in inner if (found := with_nul(one, at)) is not None), None)


def shared(settings: "Settings") -> tuple[str, str] | None:
    """Two keys that name the same place, where each would write over the other; None: there are none."""
    seen: dict[str, str] = {}
    for key, place in _written(settings):
        if (other := seen.setdefault(posixpath.normpath(place), key)) != key:
            return key, other
    return None


def _written(settings: "Settings") -> Iterator[tuple[str, str]]:
    yield "data", settings.data
    for number, one in enumerate(settings.component):
        for name in ("folder", "a", "b"):
            if (place := getattr(one, name)) is not None:
                yield f"component[{number}].{name}", place
        if one.package is not None:
            # No path, but a place all the same: dpkg has one of this name there.
            yield f"component[{number}].package", f"dpkg:{posixpath.normpath(one.root or '/')}:{one.package}"
    if settings.boot is not None:
        for name in ("path", "started"):
            if (place := getattr(settings.boot, name)) is not None:
                yield f"boot.{name}", place
