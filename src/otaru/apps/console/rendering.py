"""Templates and what they are given: numbers, times, states and addresses as people read them.

Everything is escaped (`autoescape`), and the policy below lets a page load nothing but our own files: what a device
reports is text on every page. Undefined names are errors, so a template cannot drift from its page unseen.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from otaru.apps.console.files import address_of
from otaru.apps.console.status import look
from otaru.domain.targeting import quoted
from otaru.domain.units import measured, size, span

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
"""Control signs, marks of writing direction, halves of signs. Tabs and line breaks are seen."""


def page(template: str, status: int = 200, **facts: Any) -> HTMLResponse:
    """A template as an answer."""
    return HTMLResponse(environment().get_template(template).render(facts), status, HEADERS)


@cache
def environment() -> Environment:
    """The templates; compiled once a process."""
    made = Environment(
        loader=PackageLoader("otaru.apps.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_seen,
    )
    made.filters |= {
        "number": number,
        "share": share,
        "size": size,
        "measured": measured,
        "ago": ago,
        "span": span,
        "lasting": lasting,
        "segment": segment,
        "typed": Typed,
        "quoted": quoted,
    }
    made.globals |= {"look": look, "static": address_of, "link": link}
    return made


class Typed(str):
    """What a form holds: sent back as it is, so shown as it is."""

    __slots__ = ()


def _seen(value: Any) -> Any:
    """A value as a page shows it: signs that are not seen, or turn what stands beside them, are shown to be there."""
    return _UNSEEN.sub("\ufffd", value) if type(value) is str else value


def number(value: float) -> str:
    """12430 as 12,430."""
    return f"{value:,}"


def share(value: float, digits: int = 0) -> str:
    """0.614 as 61%. What is not all is never rounded up to it; what is not nothing and rounds to it is `< 1%`."""
    percent = round(value * 100, digits)
    step: float = 10**-digits
    if value < 1 <= percent / 100:
        percent = 100 - step
    if value > 0 >= percent:
        return f"< {step:.{digits}f}%"
    return f"{percent:.{digits}f}%"


def shares(numbers: Sequence[int]) -> list[str]:
    """Each number's share of their sum, rounded so that all together are 100% (largest remainders)."""
    total = sum(numbers) or 1
    percents = [100 * n // total for n in numbers]
    most = sorted(range(len(numbers)), key=lambda at: (-(100 * numbers[at] % total), at))
    for at in most[: 100 - sum(percents)]:
        percents[at] = min(percents[at] + 1, 99)  # all of it needs no rounding
    return [f"{percent}%" if percent or not n else "< 1%" for percent, n in zip(percents, numbers, strict=True)]


def ago(moment: datetime, now: datetime) -> Markup:
    """A time as how long ago it is, with the time itself on hover; `js/times.js` keeps it true."""
    stamp = moment.astimezone(UTC)
    shown = f"{stamp:%Y-%m-%d %H:%M:%S} UTC"
    ahead = moment > now
    words = span(abs(now - moment))
    told = f"in {words}" if ahead else ("just now" if now - moment < timedelta(seconds=1) else f"{words} ago")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(stamp.isoformat(), shown, told)


def lasting(seconds: float) -> str:
    """Seconds as exact as a forecast can be: to the minute, later to the hour."""
    step = 60 if seconds < 7200 else 3600
    return span(timedelta(seconds=max(1, round(seconds / step)) * step))


def segment(name: str) -> str:
    """A name as one step of an address."""
    return quote(name, safe="")


def link(path: str, **query: Any) -> str:
    """An address with its query; what is None or empty is left out."""
    asked: Mapping[str, Any] = {name: value for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(asked, doseq=True)}" if asked else path
