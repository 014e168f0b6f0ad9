"""What can be asked of a device: each field with its operators, for the parser, for completion and for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from otaru.domain import standing
from otaru.domain.device import Assurance, Lifecycle
from otaru.domain.targeting.tree import Field, Relation

TIMES = frozenset({Field.CREATED, Field.LAST_CONTACT})
NAMED: Mapping[Field, str] = {
    Field.ATTRIBUTE: "an attribute",
    Field.INSTALLED: "a component",
    Field.TELEMETRY: "something that is measured",
}
"""Fields that are asked by a name of their own: `attr.NAME`."""
WORDS: Mapping[Field, tuple[str, ...]] = {
    Field.LIFECYCLE: tuple(Lifecycle),
    Field.ASSURANCE: tuple(Assurance),
    Field.STATE: standing.WORDS,
}
"""Fields that have one of a few words."""

NULL = "=null="
OF_TEXT = ("==", "!=", "=in=", "=out=", NULL)
OF_GROUPS = ("==", "!=", "=in=", "=out=")
OF_TIMES = (*Relation, NULL)
OF_ORDER = (*OF_TEXT, *Relation)
ORDERED = frozenset({Field.ATTRIBUTE, Field.INSTALLED, Field.TELEMETRY})
"""Fields whose values may have an order: declared attributes, versions, numbers."""
SHORT: Mapping[str, Relation] = {
    "<": Relation.BEFORE,
    "<=": Relation.UNTIL,
    ">": Relation.AFTER,
    ">=": Relation.SINCE,
}
"""The other way to write them."""


class Kind(StrEnum):
    """What a field's values are."""

    TEXT = "text"
    WORD = "word"
    TIME = "time"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class About:
    """A field as it is explained."""

    field: Field
    kind: Kind
    operators: tuple[str, ...]
    words: tuple[str, ...]
    """All that there are, where they are few."""
    help: str

    @property
    def selector(self) -> str:
        """As it is written, with a word for the name that is to be put in."""
        return f"{self.field}.{_NAMES[self.field]}" if self.field in _NAMES else str(self.field)


_NAMES: Mapping[Field, str] = {Field.ATTRIBUTE: "NAME", Field.INSTALLED: "COMPONENT", Field.TELEMETRY: "NAME"}
_HELP: Mapping[Field, str] = {
    Field.ID: "the device's id",
    Field.HARDWARE: "its model",
    Field.REVISION: "its hardware's revision",
    Field.TAG: "a tag that it has",
    Field.GROUP: "a group that it is in: a saved query, or a list",
    Field.LIFECYCLE: "whether it is served",
    Field.ASSURANCE: "how far it is said to verify what it installs",
    Field.STATE: "where it stands on updates; failed, waiting and under_way stand for several states",
    Field.LAST_CONTACT: "when it was last heard of: a time, or how long ago (-P7D)",
    Field.CREATED: "when it was added",
    Field.ATTRIBUTE: "a fact that it reports, or that you set; in order where its type is declared",
    Field.TELEMETRY: "the last number that it told of what it measures",
    Field.INSTALLED: "the version that runs in this component",
}


def about(field: Field) -> About:
    """What there is to know of a field."""
    if field in TIMES:
        return About(field, Kind.TIME, OF_TIMES, (), _HELP[field])
    if field is Field.GROUP:
        return About(field, Kind.TEXT, OF_GROUPS, (), _HELP[field])
    if field is Field.TELEMETRY:
        return About(field, Kind.NUMBER, OF_TIMES, (), _HELP[field])
    kind = Kind.WORD if field in WORDS else Kind.TEXT
    operators = OF_ORDER if field in ORDERED else OF_TEXT
    return About(field, kind, operators, WORDS.get(field, ()), _HELP[field])


FIELDS = tuple(map(about, Field))
