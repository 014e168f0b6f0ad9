"""Values as people write them on a command line, turned into what the REST API takes.

Everything here raises `InvalidInputError` with the form that was expected.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from otaru.domain.duration import duration, written
from otaru.errors import InvalidInputError

_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,6})?", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]i?)?b?", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


def duration_s(text: str) -> float:
    """Seconds of a duration: `30s`, `10m`, `2h`, `7d`, `1w`, `1h30m`, or a bare number of seconds."""
    return _whole(duration(text).total_seconds())


def share(text: str) -> float:
    """A share between 0 and 1: `10%`, `0.1`."""
    compact = text.strip()
    number = compact.removesuffix("%").strip()
    if not _NUMBER.fullmatch(number):
        raise InvalidInputError(f"{text!r} is not a share", hint="Write 10% or 0.1.")
    value = float(number) / 100 if compact.endswith("%") else float(number)
    if value > 1:
        raise InvalidInputError(f"{text!r} is more than everything", hint="Write 10% or 0.1.")
    return round(value, 9)


def waves(text: str) -> list[str]:
    """Waves as the API takes them: `2,10,100%`; `all` is `100%`."""
    found = [part.strip().lower() for part in text.split(",")]
    if found == [""]:
        raise InvalidInputError("no wave is named", hint="Write --waves 2,10,100%.")
    return ["100%" if part == "all" else _wave(part) for part in found]


def _wave(part: str) -> str:
    number = part.removesuffix("%").strip()
    whole = not part.endswith("%")
    if not _NUMBER.fullmatch(number) or (whole and "." in number) or float(number) == 0:
        raise InvalidInputError(
            f"{part!r} is not a wave",
            hint="A wave is a number of devices (10), a percentage (25%) or all: --waves 2,10,100%.",
        )
    return number if whole else f"{number}%"


def size(text: str) -> int:
    """Bytes of a size: `1048576`, `512MiB`, `4GiB`, `1.5GB`."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidInputError(f"{text!r} is not a size", hint="Write 4GiB, 512MiB or a number of bytes.")
    unit = (found[2] or "").lower()
    base = 1024 if unit.endswith("i") else 1000
    return int(float(found[1]) * base ** _POWERS[unit[:1]])


def moment(text: str) -> str:
    """A time with its zone (RFC 3339), as the API takes it: `2026-05-01T04:00:00Z`, `2026-05-01 06:00+02:00`."""
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a time", hint="Write 2026-05-01T04:00:00Z.") from None
    if parsed.tzinfo is None:
        raise InvalidInputError(f"{text!r} does not say its zone", hint=f"For UTC write {text.strip()}Z.")
    return parsed.isoformat()


def day(text: str) -> str:
    """A date (ISO 8601), as the API takes it: `2031-12-31`."""
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a date", hint="Write 2031-12-31.") from None


def pair(text: str, *, what: str) -> tuple[str, str]:
    """The two sides of `name=value`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InvalidInputError(f"{text!r} is not {what}", hint="Write name=value.")
    return name.strip(), value


def pairs(texts: Iterable[str], *, what: str) -> dict[str, str]:
    """`name=value`, several times; a name given twice is an error."""
    found: dict[str, str] = {}
    for text in texts:
        name, value = pair(text, what=what)
        if name in found:
            raise InvalidInputError(f"{name!r} is given twice")
        found[name] = value
    return found


def release(text: str) -> tuple[str, str]:
    """Product and version of `product:version` (a product's name has no colon)."""
    product, colon, version = text.partition(":")
    if not (product and colon and version):
        raise InvalidInputError(f"{text!r} is not a release", hint="Write product:version, as in app:1.1.0.")
    return product, version


def shown_duration(seconds: float) -> str:
    """A duration as `duration_s` reads it, in its largest units: `1h30m`."""
    return written(seconds)


def shown_size(count: int) -> str:
    """Bytes in the largest unit that gives at least one: `1.5 MiB`."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def shown_format(artifact: Mapping[str, Any]) -> str:
    """The format of an artifact's image; empty where nobody has read it, or it has none that is known."""
    image = artifact.get("image") or {}
    if image.get("broken"):
        return "broken"
    return "" if image.get("format") in {None, "plain"} else str(image["format"])


def shown_claims(artifact: Mapping[str, Any]) -> str:
    """The version and the hardware that an artifact's image says it is of."""
    image = artifact.get("image") or {}
    return ", ".join(filter(None, (image.get("version"), *image.get("hardware", ()))))


def shown_verdict(artifact: Mapping[str, Any]) -> str:
    """What the signatures of an artifact's image are worth; nothing for what has no format."""
    image = artifact.get("image") or {}
    verdict = image.get("verdict")
    if verdict is None or image.get("format") == "plain":
        return ""
    told = "unsigned" if verdict == "none" else str(verdict)
    return f"{told} (being judged anew)" if image.get("pending") else told
