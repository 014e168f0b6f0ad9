"""Times of day on the device: what zone its walls' clocks are of, when it may be disturbed, how fast it downloads then."""

import os

from otaru.apps.agent.settings import Settings
from otaru.domain.fetching import Limit
from otaru.domain.schedule import Hours, told, window

_SYSTEM = "/etc/localtime"


def zone(settings: Settings) -> str:
    """Where the device is: as `timezone` says, else as its system does, else UTC."""
    return settings.timezone or told(os.path.realpath(_SYSTEM).partition("/zoneinfo/")[2]) or "UTC"


def hours(settings: Settings) -> Hours:
    """When it may be disturbed."""
    return Hours(tuple(map(window, settings.windows.install)), zone(settings), settings.windows.forced_breaks)


def limits(settings: Settings) -> list[Limit]:
    """How fast downloads may be."""
    return [Limit(window(limit.window), limit.bytes_per_s) for limit in settings.download.limits]
