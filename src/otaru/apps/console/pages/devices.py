"""The list of devices: all, or those of a target; by id, in pages."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.rendering import link
from otaru.domain import ids, targeting
from otaru.domain.device import Lifecycle
from otaru.domain.ids import DeviceId
from otaru.domain.targeting import Or
from otaru.errors import InvalidInputError, QuerySyntaxError
from otaru.services.control import survey

ROWS = 50
CHIPS = 8
_SHOWN = 34
"""Characters of a wrong query that are shown around the wrong place: what a phone has room for."""

_WAITING = (
    (f"lifecycle=={Lifecycle.PENDING}", "Waiting to be accepted"),
    (f"lifecycle=={Lifecycle.QUARANTINED}", "Quarantined"),
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
    meant: str
    """What was meant, perhaps: a word alone may be how an id begins."""


async def show(call: Call) -> Response:
    """The devices that the query names, a page of them."""
    query, after = call.asked("q"), call.asked("after")
    first = _id(after) if after else None
    models, tags = await survey.words(call.world, call.tenant, CHIPS)
    wrong: Wrong | None = None
    devices: Sequence[survey.Shown] = ()
    try:
        found = await survey.devices(call.world, call.tenant, query or None, first, ROWS + 1)
        devices = found.devices
    except QuerySyntaxError as error:
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
        chips=_chips(query if wrong is None else "", models, tags),
        examples=_examples(models, tags),
        unknown=not (models or query or after),
    )


async def count(call: Call) -> Response:
    """How many there are in all: asked for after the page, since of a million it takes up to a second."""
    query = call.asked("q")
    total = await survey.count(call.world, call.tenant, query or None)
    return await call.show("devices_count.html", total=total, query=query)


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
    return Wrong(f"{words}.", error.hint or "", f"{before}{shown}{behind}", pointer, _meant(query))


def _meant(query: str) -> str:
    try:
        return f"id=={ids.device_id(query)}*"
    except InvalidInputError:
        return ""


def _chips(query: str, models: Sequence[str], tags: Sequence[str]) -> Sequence[Chip]:
    asked = [(f"hardware=={_value(model)}", model) for model in models] if len(models) > 1 else []
    asked += [(f"tag=={_value(tag)}", tag) for tag in tags]
    return [_chip(query, term, words) for term, words in (*_WAITING, *asked)]


def _chip(query: str, term: str, words: str) -> Chip:
    terms = _conjuncts(query)
    if term in terms:
        rest = ";".join(t for t in terms if t != term)
        return Chip(words, link("/devices", q=rest), on=True)
    field = term.partition("==")[0]
    kept = [t for t in terms if field == "tag" or not t.startswith(f"{field}==")]  # of these a device has one
    return Chip(words, link("/devices", q=";".join((*kept, term))), on=False)


def _conjuncts(query: str) -> list[str]:
    """The parts of a query that hold together, as far as they can be told without a quote or parenthesis."""
    if not query:
        return []
    if isinstance(targeting.parse(query), Or):
        return [f"({query})"]
    return [query] if set(query) & set("'\"()") else [part.strip() for part in query.split(";")]


def _examples(models: Sequence[str], tags: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Questions in the language, in words of this fleet."""
    model = _value(models[0]) if models else "rpi4"
    tag, other = [*(_value(tag) for tag in tags[:2]), "lab", "beta"][:2]
    return (
        ("id==gw-*", "ids that begin with gw-"),
        (f"hardware=={model};tag=={tag}", "both: this hardware and this tag"),
        (f"tag=={tag},tag=={other}", "either tag"),
        (f"(tag=={tag},tag=={other});hardware=={model}", "parentheses group"),
        ("attr.region==eu-*", "an attribute, by how its value begins"),
        ("installed.app==1.0.*", "what runs on it"),
        ("attr.note=='a=b; c'", "quotes hold the language's own signs"),
        ("lifecycle==quarantined", "pending, active, quarantined or decommissioned"),
    )


def _value(name: str) -> str:
    """A name as a value of the language."""
    plain = all(sign.isalnum() or sign in "._-+/" for sign in name)
    return name if plain else f"'{name}'"
