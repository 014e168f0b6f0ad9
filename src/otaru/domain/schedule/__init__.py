"""When a device may be disturbed, and when nobody may: windows, the days on which they recur, blackouts, appointments."""

from otaru.domain.schedule.blackout import FOREVER, MAX_BLACKOUTS, Blackout
from otaru.domain.schedule.calendar import Calendar
from otaru.domain.schedule.hours import MAX_WINDOWS, Hours
from otaru.domain.schedule.recurrence import Frequency, Recurrence, recurrence
from otaru.domain.schedule.window import LONGEST, MAX_TEXT, SHORTEST, Window, window
from otaru.domain.schedule.zone import ATTRIBUTE, DEVICE, told, zone

__all__ = [
    "ATTRIBUTE",
    "DEVICE",
    "FOREVER",
    "LONGEST",
    "MAX_BLACKOUTS",
    "MAX_TEXT",
    "MAX_WINDOWS",
    "SHORTEST",
    "Blackout",
    "Calendar",
    "Frequency",
    "Hours",
    "Recurrence",
    "Window",
    "recurrence",
    "told",
    "window",
    "zone",
]
