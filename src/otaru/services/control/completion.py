"""What a fleet can be asked for: the fields of the target language with the values that there are. Only reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from otaru.domain.attribute import AttributeKind
from otaru.domain.ids import TenantId
from otaru.domain.targeting import FIELDS, About, Field, Place, Slot, Term, place, quoted
from otaru.ports.store import Tx
from otaru.services.control.world import World

MAX_VALUES = 100
MAX_VALUE = 128
"""Longer values are nobody's to type."""
_COUNTED = frozenset({Field.HARDWARE, Field.REVISION, Field.TAG})
_NAMED = frozenset({Field.ATTRIBUTE, Field.INSTALLED, Field.TELEMETRY})


@dataclass(frozen=True, slots=True)
class Known:
    """A field, and its first values in this fleet, sorted."""

    about: About
    name: str
    """The attribute's or component's; empty where the field is none, or where the fleet has none."""
    values: Sequence[str]
    complete: bool
    """Whether these are all that there are."""
    declared: AttributeKind | None = None
    """The attribute's type, where one is declared."""

    @property
    def selector(self) -> str:
        """As it is written in a query."""
        return f"{self.about.field}.{self.name}" if self.name else self.about.selector


async def fields(world: World, tenant: TenantId, limit: int) -> list[Known]:
    """Every field, with at most `limit` values of each; attributes and components one by one, at most `limit` of them."""
    return await world.store.read(lambda tx: [known for about in FIELDS for known in _known(tx, tenant, about, limit)])


def _known(tx: Tx, tenant: TenantId, about: About, limit: int) -> Iterator[Known]:
    if about.field in _NAMED:
        kinds = {d.name: d.kind for d in tx.attributes.declared(tenant)} if about.field is Field.ATTRIBUTE else {}
        names = sorted({*tx.devices.words(tenant, about.field, limit), *kinds})
        for name in names:
            if about.field is Field.TELEMETRY:
                yield Known(about, name, (), complete=False)
            else:
                values = tx.devices.words(tenant, about.field, limit + 1, name)
                yield _valued(about, name, values, limit, kinds.get(name))
        if not names:
            yield Known(about, "", (), complete=True)
    elif about.field is Field.GROUP:
        yield _valued(about, "", [group.name for group in tx.groups.page(tenant, None, limit + 1)], limit)
    elif about.field in _COUNTED:
        yield _valued(about, "", tx.devices.words(tenant, about.field, limit + 1), limit)
    else:
        yield Known(about, "", about.words, complete=bool(about.words))


def _valued(about: About, name: str, values: Sequence[str], limit: int, declared: AttributeKind | None = None) -> Known:
    shown = [value for value in values[:limit] if len(value) <= MAX_VALUE]
    return Known(about, name, shown, len(shown) == len(values), declared)


@dataclass(frozen=True, slots=True)
class Following:
    """What may follow at a cursor: `text` takes the place of what is written from `start` to the cursor."""

    text: str
    help: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What may follow at a cursor, the likeliest first."""

    start: int
    slot: Slot
    items: Sequence[Following]


async def following(world: World, tenant: TenantId, query: str, at: int, limit: int) -> Completion:
    """What may stand in a query behind its first `at` characters."""
    where = place(query, at)

    def look(tx: Tx) -> Completion:
        found = list(islice(_following(tx, tenant, where, limit), limit))
        return Completion(where.start, where.slot, found)

    return await world.store.read(look)


def _following(tx: Tx, tenant: TenantId, where: Place, limit: int) -> Iterator[Following]:
    match where.slot:
        case Slot.SELECTOR:
            yield from _selectors(tx, tenant, where.prefix, limit)
        case Slot.OPERATOR:
            yield from _operators(where)
        case Slot.VALUE:
            if (field := _field(where.selector)) is not None:
                yield from _values(tx, tenant, *field, where, limit)
        case Slot.JOINT:
            yield from () if where.prefix else _JOINTS
        case Slot.NOTHING:
            return


def _operators(where: Place) -> Iterator[Following]:
    field = _field(where.selector)
    if where.operator:
        yield Following("(", "a list of values")
    elif field is not None:
        yield from (Following(sign, _SIGNS[sign]) for sign in field[0].operators if sign.startswith(where.prefix))


def _selectors(tx: Tx, tenant: TenantId, prefix: str, limit: int) -> Iterator[Following]:
    for about in FIELDS:
        if about.field not in _NAMED:
            if about.field.startswith(prefix):
                yield Following(about.field, about.help)
            continue
        head = f"{about.field}."
        if head.startswith(prefix) and len(prefix) < len(head):
            yield Following(head, about.help)
        elif prefix.startswith(head):
            begun = prefix.removeprefix(head)
            names = tx.devices.words(tenant, about.field, limit, prefix=begun)
            declared = tx.attributes.declared(tenant) if about.field is Field.ATTRIBUTE else []
            kinds = {one.name: str(one.kind) for one in declared if one.name.startswith(begun)}
            for name in sorted({*names, *kinds}):
                yield Following(f"{head}{name}", kinds.get(name, about.help))


def _field(selector: str) -> tuple[About, str] | None:
    head, _, name = selector.partition(".")
    about = next((one for one in FIELDS if one.field == head), None)
    return None if about is None or (about.field in _NAMED) != bool(name) else (about, name)


def _values(tx: Tx, tenant: TenantId, about: About, name: str, where: Place, limit: int) -> Iterator[Following]:
    begun = where.prefix
    words: Sequence[str] = ()
    if where.operator == "=null=":
        words = ("true", "false")
    elif about.field is Field.GROUP:
        words = [group.name for group in tx.groups.page(tenant, begun[:-1] or None, 1000)]
    elif about.field in _COUNTED or (about.field in _NAMED and about.field is not Field.TELEMETRY):
        words = tx.devices.words(tenant, about.field, limit, name, prefix=begun)
    elif about.field is Field.ID:
        words = [device.id for device in tx.devices.page(tenant, Term(Field.ID, (begun, "")), None, limit)]
    elif about.words:
        words = about.words
    for word in words:
        if word.startswith(begun) and len(word) <= MAX_VALUE:
            yield Following(quoted(word), about.help)


_JOINTS = (Following(";", "and"), Following(",", "or"))
_SIGNS = {
    "==": "is, * stands for any text",
    "!=": "is not",
    "=in=": "is one of",
    "=out=": "is none of",
    "=lt=": "less, or earlier",
    "=le=": "at most",
    "=gt=": "more, or later",
    "=ge=": "at least",
    "=null=": "has none (true), or one (false)",
}
