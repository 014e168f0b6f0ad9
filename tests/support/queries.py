"""Random target queries and fleets, with the characters that pattern languages and SQL care about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import strategies as st

from otaru.domain import standing
from otaru.domain.attribute import AttributeKind
from otaru.domain.deployment import FINAL, OPEN, State
from otaru.domain.device import Assurance, Device, Hardware, Lifecycle
from otaru.domain.targeting import (
    And,
    Compared,
    Facts,
    Field,
    Known,
    Not,
    OneOf,
    Or,
    Query,
    Relation,
    Term,
    Timed,
)
from otaru.domain.targeting.fields import NAMED
from otaru.domain.targeting.tree import fits
from tests.support.fleet import NOW, a_device

SIGNS = "ab%_[]*?\\'\"!^-]#é\U0001f680\ud7ff\U0010ffff\n"
texts = st.text(alphabet=SIGNS, max_size=5)
attribute_names = st.sampled_from(["x", "y", "a.b"])
models = st.sampled_from(["rpi4", "rpi[5]", "a_b", "a%b", "ab"])
versions = st.sampled_from(["1.0", "1.0.1", "10", "a~b"])
DECLARED = {f"t.{kind}": kind for kind in AttributeKind}
VALUES = {
    AttributeKind.STRING: ("", "a", "b%", "é"),
    AttributeKind.NUMBER: ("-1e3", "-1", "0", "-0", "2", "10", "1.50", "1.5", "9e99", "lie", ""),
    AttributeKind.VERSION: ("1.0", "1.0.0", "1.10", "1.9-rc.1", "v2", "a lie"),
    AttributeKind.TIME: ("2026-05-01", "2026-05-01T00:00Z", "2026-05-01T01:00+02:00", "1950-01-01", "-P7D"),
    AttributeKind.BOOLEAN: ("true", "NO", "1", "off", "perhaps"),
}
"""Of each kind some that are its values, and some that are none."""
NUMBERS = (-1.5, 0.0, 20.0, 81.5)
measures = st.sampled_from(["battery", "a.b"])
group_names = st.sampled_from(["lab", "vip", "a.b"])
components = st.sampled_from(["app", "os", "a.b"])
lifecycles = st.sampled_from(list(Lifecycle))
revisions = st.sampled_from(["", "1", "2"])
ids = st.text(alphabet="ab._:~-", min_size=1, max_size=4)
times = st.builds(
    lambda hours, micros: NOW - timedelta(hours=hours, microseconds=micros), st.integers(0, 3), st.integers(-1, 1)
)
"""So few that queries meet what is there, and the ends of hours are among them."""
ends = st.builds(lambda seconds: NOW + timedelta(seconds=seconds), st.integers(0, 2))


@dataclass(frozen=True)
class Life:
    """A device with its share in three rollouts: the state of each, and when it ended; at most the last is open."""

    device: Device
    shares: tuple[tuple[State, datetime | None], ...]
    groups: frozenset[str] = frozenset()
    telemetry: tuple[tuple[str, float], ...] = ()

    @property
    def facts(self) -> Facts:
        known = [(at is None, at or NOW, n, s) for n, (s, at) in enumerate(self.shares) if s is not State.SCHEDULED]
        return Facts(self.device, max(known)[-1] if known else None, self.groups, dict(self.telemetry))


@st.composite
def _pieces(draw: st.DrawFn, values: st.SearchStrategy[str]) -> tuple[str, ...]:
    """Of a value with some runs left out, so that patterns often mean something that is there."""
    value = draw(values)
    cuts = sorted(draw(st.lists(st.integers(0, len(value)), max_size=6).filter(lambda cuts: len(cuts) % 2 == 0)))
    ends = [0, *cuts, len(value)]
    return tuple(value[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True))


def _word(words: Sequence[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """One of a few words, or a pattern that some of them fit."""
    named = st.sampled_from(words)
    some = _pieces(named).filter(lambda pieces: any(fits(pieces, word) for word in words))
    return named.map(lambda word: (word,)) | some


_timed = st.builds(Timed, st.sampled_from([Field.CREATED, Field.LAST_CONTACT]), st.sampled_from(Relation), times)
_known = st.one_of(
    st.builds(Known, st.sampled_from([f for f in Field if f not in {*NAMED, Field.GROUP}])),
    st.builds(Known, st.just(Field.ATTRIBUTE), attribute_names),
    st.builds(Known, st.just(Field.INSTALLED), components),
    st.builds(Known, st.just(Field.TELEMETRY), measures),
)
_ordered = st.one_of(
    st.sampled_from(sorted(DECLARED)).flatmap(
        lambda name: st.builds(
            Compared,
            st.just(Field.ATTRIBUTE),
            st.just(name),
            st.sampled_from(Relation),
            st.sampled_from(VALUES[DECLARED[name]]),
            st.just(DECLARED[name]),
        )
    ),
    st.builds(
        Compared,
        st.just(Field.TELEMETRY),
        measures,
        st.sampled_from(Relation),
        st.sampled_from(NUMBERS).map(str),
        st.just(AttributeKind.NUMBER),
    ),
    st.builds(OneOf, st.just(Field.INSTALLED), components, st.lists(versions, max_size=3, unique=True).map(tuple)),
)


_unordered = st.one_of(
    st.builds(Compared, st.just(Field.ATTRIBUTE), attribute_names, st.sampled_from(Relation), st.just("2.4")),
    st.builds(Compared, st.just(Field.INSTALLED), components, st.sampled_from(Relation), versions),
    st.builds(
        Compared,
        st.just(Field.TELEMETRY),
        measures,
        st.sampled_from(Relation),
        st.sampled_from(NUMBERS).map(str),
        st.just(AttributeKind.NUMBER),
    ),
)


def _terms(
    ids: st.SearchStrategy[str], tags: st.SearchStrategy[str], values: st.SearchStrategy[str]
) -> st.SearchStrategy[Term]:
    return st.one_of(
        st.builds(Term, st.just(Field.ID), _pieces(ids)),
        st.builds(Term, st.just(Field.HARDWARE), _pieces(models)),
        st.builds(Term, st.just(Field.REVISION), _pieces(revisions)),
        st.builds(Term, st.just(Field.LIFECYCLE), _word(tuple(Lifecycle))),
        st.builds(Term, st.just(Field.ASSURANCE), _word(tuple(Assurance))),
        st.builds(Term, st.just(Field.STATE), _word(standing.WORDS)),
        st.builds(Term, st.just(Field.TAG), _pieces(tags)),
        st.builds(Term, st.just(Field.GROUP), st.tuples(group_names)),
        st.builds(Term, st.just(Field.ATTRIBUTE), _pieces(values), attribute_names),
        st.builds(Term, st.just(Field.INSTALLED), _pieces(versions), components),
    )


def queries(fleet: Sequence[Device] = (), *, meant: bool = True) -> st.SearchStrategy[Query]:
    """Trees as `meaning` makes them, or else as the parser does; most of their terms are about what `fleet` has."""
    tags = [tag for device in fleet for tag in sorted(device.tags)]
    values = [value for device in fleet for value in device.attributes.values()]
    terms = _terms(
        st.sampled_from([device.id for device in fleet]) | ids if fleet else ids,
        st.sampled_from(tags) | texts if tags else texts,
        st.sampled_from(values) | texts if values else texts,
    )
    return st.recursive(terms | _timed | _known | (_ordered if meant else _unordered), _combined, max_leaves=6)


def _combined(parts: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    several = st.lists(parts, min_size=2, max_size=3)
    return st.one_of(several.map(tuple).map(And), several.map(tuple).map(Or), parts.map(Not))


def written(query: Query) -> str:
    """As a person would write it, everything quoted and in parentheses."""
    match query:
        case And(parts):
            return ";".join(f"({written(part)})" for part in parts)
        case Or(parts):
            return ",".join(f"({written(part)})" for part in parts)
        case Not(part):
            return f"not ({written(part)})"
        case Known(field, name):
            return f"{_selector(field, name)}=null=false"
        case Compared(field, name, relation, text):
            return f"{_selector(field, name)}{relation}'{text}'"
        case OneOf():
            raise AssertionError("nobody writes it")
        case Timed(field, relation, at):
            return f"{field}{relation}'{at.isoformat()}'"
        case Term(field, pieces, name):
            value = "*".join("".join(f"\\{sign}" for sign in piece) for piece in pieces)
            return f"{_selector(field, name)}=='{value}'"


def _selector(field: Field, name: str) -> str:
    return f"{field}.{name}" if name else str(field)


devices = st.builds(
    lambda name, lifecycle, assurance, model, revision, created_at, last_contact, tags, attributes, runs: replace(
        a_device(name, lifecycle=lifecycle, tags=tags, attributes=attributes, runs=dict(sorted(runs.items()))),
        hardware=Hardware(model, revision),
        assurance=assurance,
        created_at=created_at,
        last_contact=last_contact,
        address=None if last_contact is None else "",
    ),
    ids,
    lifecycles,
    st.sampled_from(list(Assurance)),
    models,
    revisions,
    times,
    st.none() | times,
    st.lists(texts, max_size=3),
    st.builds(
        dict.__or__,
        st.dictionaries(attribute_names, texts, max_size=3),
        st.fixed_dictionaries({}, optional={name: st.sampled_from(VALUES[kind]) for name, kind in DECLARED.items()}),
    ),
    st.dictionaries(components, versions, max_size=2),
)
_ended = st.tuples(st.sampled_from(sorted(FINAL)), ends) | st.just((State.SCHEDULED, None))
_unended = st.sampled_from(sorted(OPEN)).map(lambda state: (state, None))
_told = st.dictionaries(measures, st.sampled_from(NUMBERS)).map(lambda told: tuple(sorted(told.items())))
lives = st.builds(
    Life,
    devices,
    st.tuples(_ended, _ended, _ended | _unended),
    st.frozensets(group_names),
    st.dictionaries(measures, st.sampled_from(NUMBERS)).map(lambda told: tuple(sorted(told.items()))),
)
fleets: st.SearchStrategy[list[Life]] = st.lists(lives, max_size=8, unique_by=lambda life: life.device.id)
cases = fleets.flatmap(
    lambda fleet: st.tuples(st.just(fleet), st.lists(queries([x.device for x in fleet]), min_size=1, max_size=4))
)
"""A fleet and queries about it."""
