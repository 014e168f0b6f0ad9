"""The small types that requests are made of: bounded text and names, parsed by the domain.

Every text is bounded and free of control characters, and pydantic refuses lone surrogates in patterned text: neither
database nor terminal ever meets them.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from otaru.domain import ids, release, terms
from otaru.domain.conditions import MAX_CONDITION, condition
from otaru.domain.device import hardware
from otaru.domain.release import release_name
from otaru.domain.rollout import MAX_LIMIT, share
from otaru.domain.schedule import MAX_TEXT, window, zone
from otaru.errors import InvalidInputError

MAX_SECONDS = 3650 * 86_400


class Body(BaseModel):
    """A JSON body: what it does not know is an error, so that a misspelt field is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Out(BaseModel):
    """A JSON answer."""

    model_config = ConfigDict(frozen=True)


def by(parse: Callable[[str], Any]) -> AfterValidator:
    """Holds a text against a parser of the domain; the text stays as it is."""

    def check(text: str) -> str:
        try:
            parse(text)
        except InvalidInputError as error:
            sentence = f"{error.message}. {error.hint}" if error.hint else error.message
            raise PydanticCustomError("invalid", "{sentence}", {"sentence": sentence}) from None
        return text

    return AfterValidator(check)


_DIGITS = re.compile(r"-?[0-9]+")


def _plain(text: Any) -> Any:
    """What Python reads as a number besides is none in an address: `1_0`, `+5`, ` 5`, digits of other scripts."""
    if isinstance(text, str) and not _DIGITS.fullmatch(text):
        raise PydanticCustomError("int_parsing", "Input should be a whole number in the digits 0 to 9")
    return text


WholeNumber = Annotated[int, BeforeValidator(_plain)]
"""A number in an address or a header."""


def span(seconds: float | None) -> timedelta | None:
    """So many seconds."""
    return None if seconds is None else timedelta(seconds=seconds)


def utc(moment: datetime) -> datetime:
    """A moment in UTC.

    Raises:
        InvalidInputError: it has none there.
    """
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInputError("a time is at the end of time") from None


LINE = r"^[^\x00-\x1f\x7f]*$"
"""One line of printable text."""
LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
"""Text with line breaks and tabs."""

DeviceName = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:~-]+$", examples=["dev-1"]), by(ids.device_id)
]
HardwareName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=257,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._ /+-]{0,127}(:[A-Za-z0-9][A-Za-z0-9._ /+-]{0,127})?$",
        examples=["rpi4", "rpi4:b"],
    ),
    by(hardware),
]
ProductText = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["app"]),
    by(ids.product_name),
]
VersionText = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+~:-]*$", examples=["1.1.0"]),
    by(ids.version),
]
ReleaseText = Annotated[
    str,
    Field(
        min_length=3,
        max_length=257,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}:[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127}$",
        examples=["app:1.1.0"],
    ),
    by(release_name),
]
RequirementText = Annotated[
    str,
    Field(
        max_length=300,
        pattern=r"^ *[A-Za-z0-9][A-Za-z0-9._-]{0,127} *(>=|<=|==|!=|>|<) *[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127} *$",
        examples=["bootloader>=2.1"],
    ),
    by(terms.requirement),
]
Name = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["lab"]), by(ids.name)
]
ChannelText = Annotated[
    str,
    Field(min_length=1, max_length=32, pattern=r"^[a-z0-9][a-z0-9-]*$", examples=["stable"]),
    by(terms.channel),
]
Digest = Annotated[
    str,
    Field(pattern=r"^[0-9a-f]{64}$", examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]),
]
FileName = Annotated[
    str,
    Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f/\\]+$", examples=["app-1.1.0.swu"]),
    by(release.filename),
]
SplitText = Annotated[
    str,
    Field(pattern=r"^(hardware|version|attr\.[A-Za-z0-9][A-Za-z0-9._-]{0,127})$", examples=["hardware", "attr.region"]),
]
PlaceText = Annotated[
    str,
    Field(pattern=r"^(attr|tag)\.[A-Za-z0-9][A-Za-z0-9._-]{0,127}=[0-9]{1,7}$", examples=["attr.site=5", "tag.lab=5"]),
]
MeasureText = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}:(low|high)$", examples=["battery:low", "temperature:high"])
]
Most = Annotated[WholeNumber, Field(ge=1, le=MAX_LIMIT)]
WaveText = Annotated[
    str, Field(pattern=r"^([0-9]{1,9}|[0-9]{1,3}(\.[0-9]{1,4})?%)$", examples=["2", "10", "100%"]), by(share)
]
WindowText = Annotated[
    str,
    Field(
        max_length=MAX_TEXT,
        pattern=LINE,
        examples=["02:00/4h Europe/Paris", "02:00/4h device FREQ=WEEKLY;BYDAY=SA,SU"],
    ),
    by(window),
]
ConditionText = Annotated[
    str, Field(max_length=MAX_CONDITION, pattern=LINE, examples=["battery>=30%", "charging"]), by(condition)
]
ZoneText = Annotated[str, Field(max_length=64, pattern=r"^[A-Z][A-Za-z0-9_+/-]*$", examples=["Europe/Paris"]), by(zone)]
Target = Annotated[str, Field(min_length=1, max_length=4096, pattern=LINE, examples=["tag==lab;hardware==rpi4"])]
Line = Annotated[str, Field(max_length=500, pattern=LINE)]
Value = Annotated[str, Field(max_length=2048, pattern=LINES)]
DeviceToken = Annotated[
    str,
    Field(
        min_length=16,
        max_length=256,
        pattern=r"^[!-~]+$",
        description="The device's token, where it has one already; else it is given one.",
    ),
]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Fraction = Annotated[float, Field(ge=0, le=1)]
