"""Random target queries and fleets, with the characters that pattern languages and SQL care about."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from otaru.domain.device import Device, Hardware, Lifecycle
from otaru.domain.targeting import And, Field, Or, Query, Term
from tests.support.fleet import a_device

SIGNS = "ab%_[]*?\\'\"!^-]#é\U0001f680\ud7ff\U0010ffff\n"
texts = st.text(alphabet=SIGNS, max_size=5)
attribute_names = st.sampled_from(["x", "y", "a.b"])
models = st.sampled_from(["rpi4", "rpi[5]", "a_b", "a%b", "ab"])
versions = st.sampled_from(["1.0", "1.0.1", "10", "a~b"])
components = st.sampled_from(["app", "os", "a.b"])
lifecycles = st.sampled_from(list(Lifecycle))
ids = st.text(alphabet="ab._:~-", min_size=1, max_size=4)


@st.composite
def _pieces(draw: st.DrawFn, values: st.SearchStrategy[str]) -> tuple[str, ...]:
    """Of a value with some runs left out, so that patterns often mean something that is there."""
    value = draw(values)
    cuts = sorted(draw(st.lists(st.integers(0, len(value)), max_size=6).filter(lambda cuts: len(cuts) % 2 == 0)))
    ends = [0, *cuts, len(value)]
    return tuple(value[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True))


def _terms(
    ids: st.SearchStrategy[str], tags: st.SearchStrategy[str], values: st.SearchStrategy[str]
) -> st.SearchStrategy[Term]:
    return st.one_of(
        st.builds(Term, st.just(Field.ID), _pieces(ids)),
        st.builds(Term, st.just(Field.HARDWARE), _pieces(models)),
        st.builds(Term, st.just(Field.LIFECYCLE), _pieces(lifecycles)),
        st.builds(Term, st.just(Field.TAG), _pieces(tags)),
        st.builds(Term, st.just(Field.ATTRIBUTE), _pieces(values), attribute_names),
        st.builds(Term, st.just(Field.INSTALLED), _pieces(versions), components),
    )


def queries(fleet: Sequence[Device] = ()) -> st.SearchStrategy[Query]:
    """Trees as the parser makes them; most of their terms are about what `fleet` has."""
    tags = [tag for device in fleet for tag in sorted(device.tags)]
    values = [value for device in fleet for value in device.attributes.values()]
    terms = _terms(
        st.sampled_from([device.id for device in fleet]) | ids if fleet else ids,
        st.sampled_from(tags) | texts if tags else texts,
        st.sampled_from(values) | texts if values else texts,
    )
    return st.recursive(terms, _combined, max_leaves=6)


def _combined(parts: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    several = st.lists(parts, min_size=2, max_size=3)
    return st.one_of(several.map(tuple).map(And), several.map(tuple).map(Or))


def written(query: Query) -> str:
    """As a person would write it, everything quoted and in parentheses."""
    match query:
        case And(parts):
            return ";".join(f"({written(part)})" for part in parts)
        case Or(parts):
            return ",".join(f"({written(part)})" for part in parts)
        case Term(field, pieces, name):
            selector = f"{field}.{name}" if name else str(field)
            value = "*".join("".join(f"\\{sign}" for sign in piece) for piece in pieces)
            return f"{selector}=='{value}'"


devices = st.builds(
    lambda name, lifecycle, model, revision, tags, attributes, runs: replace(
        a_device(name, lifecycle=lifecycle, tags=tags, attributes=attributes, runs=dict(sorted(runs.items()))),
        hardware=Hardware(model, revision),
    ),
    ids,
    lifecycles,
    models,
    st.sampled_from(["", "1", "2"]),
    st.lists(texts, max_size=3),
    st.dictionaries(attribute_names, texts, max_size=3),
    st.dictionaries(components, versions, max_size=2),
)
fleets: st.SearchStrategy[list[Device]] = st.lists(devices, max_size=8, unique_by=lambda device: device.id)
cases = fleets.flatmap(lambda fleet: st.tuples(st.just(fleet), st.lists(queries(fleet), min_size=1, max_size=4)))
"""A fleet and queries about it."""
