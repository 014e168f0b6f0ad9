"""Amounts as people read them: bytes, time spans, and what devices measure."""

from datetime import timedelta

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(octets: float) -> str:
    """Bytes in a unit that keeps them short."""
    value = float(octets)
    for unit in _UNITS[:-1]:
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_UNITS[-1]}"


def span(time: timedelta) -> str:
    """A time span in its one or two greatest units."""
    seconds = int(time.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86_400:
        hours, minutes = seconds // 3600, seconds % 3600 // 60
        return f"{hours} h {minutes} min" if minutes and hours < 10 else f"{hours} h"
    return f"{seconds // 86_400} d"


def measured(value: float, name: str) -> str:
    """A value of telemetry as people read it.

    What our agent measures has a unit (docs/diagnostics.md). Others may use its names with units of their own, a share of
    the disk, say: what cannot be bytes stays a number.
    """
    if name in {"disk", "memory"} and 1e6 <= value < 1e18:
        return size(value)
    if name == "uptime" and 60 <= value < 1e10:
        return span(timedelta(seconds=value))
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:g}"
