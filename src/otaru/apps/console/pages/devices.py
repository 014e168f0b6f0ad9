"""The list of devices: all, or those of a target; by id, in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.rendering import link
from otaru.domain import fleet, ids, targeting
from otaru.domain.device import Lifecycle
from otaru.domain.ids import DeviceId
from otaru.domain.targeting import Field, Or, quoted
from otaru.errors import InvalidInputError, QuerySyntaxError
from otaru.services.control import completion, survey
from otaru.services.control.completion import Known

ROWS = 50
CHIPS = 8
CHOICES = 12
_SHOWN = 34
"""Characters of a wrong query that are shown around the wrong place: what a phone has room for."""

_STANDING = (
    (fleet.FAILED, "Failed"),
    (fleet.TO_ACCEPT, "Waiting to be accepted"),
    (fleet.AWAITING, "Awaiting consent"),
    (fleet.QUARANTINED, "Quarantined"),
    (f"lifecycle=={Lifecycle.DECOMMISSIONED}", "Decommissioned"),
)


@dataclass(frozen=True, slots=True)
class Chip:
    """A question that one click asks, beside what is asked already; or no longer asks."""

    words: str
    address: str
    on: bool


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a query: the words, and what was typed around the place with a sign beneath it."""

    words: str
    hint: str
    line: str
    pointer: str


async def show(call: Call) -> Response:
    """The devices that the query names, a page of them."""
    query, after = call.asked("q"), call.asked("after")
    first = _id(after) if after else None
    known = await completion.fields(call.world, call.tenant, CHIPS)
    wrong: Wrong | None = None
    devices: Sequence[survey.Shown] = ()
    try:
        found = await survey.devices(call.world, call.tenant, query or None, first, ROWS + 1)
        devices = found.devices
    except QuerySyntaxError as error:
        if meant := _meant(query):
            return call.lead(link("/devices", q=meant))
        wrong = _wrong(query, error)
    following = devices[ROWS - 1].device.id if len(devices) > ROWS else None
    return await call.show(
        "devices.html",
        422 if wrong else 200,
        query=query,
        after=after,
        wrong=wrong,
        devices=devices[:ROWS],
        following=link("/devices", q=query, after=following) if following else "",
        chips=_chips(query if wrong is None else "", known, call.world.clock.now()),
        examples=_examples(known),
        fields=known,
        unknown=not (_values(known, Field.HARDWARE) or query or after),
    )


async def count(call: Call) -> Response:
    """How many there are in all: asked for after the page, since of a million it takes up to a second."""
    query = call.asked("q")
    total = await survey.count(call.world, call.tenant, query or None)
    return await call.show("devices_count.html", total=total, query=query)


async def complete(call: Call) -> Response:
    """What may follow in a query that is being written, each a whole query: the list below its field."""
    query = call.asked("q")
    found = await completion.following(call.world, call.tenant, query, len(query), CHOICES)
    choices = [(f"{query[: found.start]}{one.text}", one.help) for one in found.items]
    return await call.show("devices_completion.html", choices=choices)


def _id(text: str) -> DeviceId:
    try:
        return ids.device_id(text)
    except InvalidInputError:
        raise InvalidInputError("this page of the list does not exist", hint="Begin with its first page.") from None


def _wrong(query: str, error: QuerySyntaxError) -> Wrong:
    column = int(error.facts.get("column", 1)) - 1
    start = max(0, min(column, len(query)) - _SHOWN // 2)
    shown = "".join(sign if sign.isprintable() else "\ufffd" for sign in query[start : start + _SHOWN])
    before, behind = "…" * (start > 0), "…" * (start + _SHOWN < len(query))
    pointer = " " * (len(before) + column - start) + "^"
    words = error.message[:1].upper() + error.message[1:]
    return Wrong(f"{words}.", error.hint or "", f"{before}{shown}{behind}", pointer)


def _meant(query: str) -> str:
    """What a word alone asks for: the devices whose ids begin with it."""
    try:
        name = quoted(ids.device_id(query))
    except InvalidInputError:
        return ""
    return f"id=={name[:-1]}*'" if name.endswith("'") else f"id=={name}*"


def _values(known: Sequence[Known], field: Field) -> Sequence[str]:
    return next(one.values for one in known if one.about.field is field)


def _chips(query: str, known: Sequence[Known], now: datetime) -> Sequence[Chip]:
    models, tags = _values(known, Field.HARDWARE), _values(known, Field.TAG)
    asked = [(f"hardware=={quoted(model)}", model) for model in models] if len(models) > 1 else []
    asked += [(f"tag=={quoted(tag)}", tag) for tag in tags]
    return [_chip(_conjuncts(query, now), term, words) for term, words in (*_STANDING, *asked)]


def _chip(terms: Sequence[str], term: str, words: str) -> Chip:
    if term in terms:
        rest = ";".join(t for t in terms if t != term)
        return Chip(words, link("/devices", q=rest), on=True)
    field = term.partition("==")[0]
    kept = [t for t in terms if field == "tag" or not t.startswith(f"{field}==")]  # of these a device has one
    return Chip(words, link("/devices", q=";".join((*kept, term))), on=False)


def _conjuncts(query: str, now: datetime) -> list[str]:
    """The parts of a query that hold together, as far as they can be told without a quote or parenthesis."""
    if not query:
        return []
    if isinstance(targeting.parse(query, now), Or):
        return [f"({query})"]
    return [query] if set(query) & set("'\"()") else [part.strip() for part in query.split(";")]


def _examples(known: Sequence[Known]) -> Sequence[tuple[str, str]]:
    """Questions in the language, in words of this fleet."""
    model = next(map(quoted, _values(known, Field.HARDWARE)), "rpi4")
    tags = list(map(quoted, _values(known, Field.TAG)[:2]))
    tag, other = [*tags, *(example for example in ("lab", "beta") if example not in tags)][:2]
    fact, region = _first(known, Field.ATTRIBUTE, "attr.region", "eu-1")
    runs, version = _first(known, Field.INSTALLED, "installed.app", "1.0.0")
    return (
        ("id==gw-*", "ids that begin with gw-"),
        (f"hardware=={model};tag=={tag}", "both: this hardware and this tag"),
        (f"tag=in=({tag},{other})", "one of these tags"),
        (f"not(tag=={tag})", "all but those"),
        ("state==failed", "whose last update failed, was reverted or went silent"),
        ("last_contact=lt=-P7D", "not heard of for seven days"),
        ("last_contact=null=true", "never heard of"),
        (f"{fact}=={region}", "a fact that they report, or that you set"),
        (f"{runs}!={version}", "what runs on them: anything else"),
        (f"(tag=={tag} or tag=={other}) and state!=failed", "words for the signs, and parentheses"),
    )


def _first(known: Sequence[Known], field: Field, selector: str, value: str) -> tuple[str, str]:
    """A name of this fleet with a value of it, or else an example."""
    found = next((one for one in known if one.about.field is field and one.values), None)
    return (selector, value) if found is None else (found.selector, quoted(found.values[0]))
