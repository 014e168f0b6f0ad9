"""Configuration on the device: who installs it, and who looks whether it stays what it is."""

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import cast

from otaru.adapters.board.disk import LocalDisk
from otaru.apps.agent.settings import Component
from otaru.errors import InvalidInputError
from otaru.ports.board import Desired, Installer
from otaru.ports.clock import Clock
from otaru.ports.link import Link
from otaru.services.edge.drift import DriftWatch

EVERY_S = 3600.0
MAX_SCHEMA = 1 << 20


def installer(component: Component, disk: LocalDisk) -> Installer:
    """Who installs a component that is configuration.

    Raises:
        InvalidInputError: a schema of the device's own cannot be read, or is none.
    """
    from otaru.adapters.board.config import ConfigInstaller, Hooks  # noqa: PLC0415 - most devices do without

    assert component.folder is not None  # noqa: S101 - `settings.read` has seen to it
    return ConfigInstaller(
        component.name,
        disk,
        component.folder,
        Hooks(test=component.test or (), after=component.after, timeout_s=component.after_timeout_s),
        schemas={name: _schema(Path(path)) for name, path in (component.schemas or {}).items()},
        mends=component.drift == "mend",
    )


def watch(components: Iterable[Component], installers: Mapping[str, Installer], link: Link, clock: Clock) -> DriftWatch:
    """Who looks at them."""
    watched: dict[str, tuple[Desired, timedelta]] = {}
    for one in components:
        if one.installer == "config":
            made = cast("Desired", installers[one.name])  # it is `installer`'s
            watched[one.name] = (made, timedelta(seconds=one.look_every_s or EVERY_S))
    return DriftWatch(watched, link, clock)


def _schema(path: Path) -> object:
    from otaru.images.reading import BrokenImageError  # noqa: PLC0415
    from otaru.images.schema import check_schema  # noqa: PLC0415

    try:
        if path.stat().st_size > MAX_SCHEMA:
            raise InvalidInputError(f"{path}: a schema has at most {MAX_SCHEMA} bytes")
        found: object = json.loads(path.read_text(encoding="utf-8"))
        check_schema(found, str(path))
    except OSError as error:
        raise InvalidInputError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        words = str(error) if isinstance(error, BrokenImageError) else f"{path} is no JSON: {error}"
        raise InvalidInputError(words) from None
    return found
