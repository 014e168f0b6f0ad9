"""Random target queries and fleets, with the characters that pattern languages and SQL care about."""

from dataclasses import replace

from hypothesis import strategies as st

from otaru.domain.device import Device, Hardware
from otaru.domain.targeting import And, Field, Or, Query, Term
from tests.support.fleet import a_device

SIGNS = "ab%_[]*?\\'\"!^-]#é\U0001f680\ud7ff\U0010ffff\n"
texts = st.text(alphabet=SIGNS, max_size=5)
attribute_names = st.sampled_from(["x", "y", "a.b"])
models = st.sampled_from(["rpi4", "rpi[5]", "a_b", "a%b", "ab"])
ids = st.text(alphabet="ab._:~-", min_size=1, max_size=4)


def _pieces(text: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(text, min_size=1, max_size=4).map(tuple)


terms = st.one_of(
    st.builds(Term, st.just(Field.ID), _pieces(st.text(alphabet="ab._:~-", max_size=3))),
    st.builds(Term, st.just(Field.HARDWARE), _pieces(st.sampled_from(["", "rpi", "rpi4", "[5]", "a", "b", "_", "%"]))),
    st.builds(Term, st.just(Field.TAG), _pieces(texts)),
    st.builds(Term, st.just(Field.ATTRIBUTE), _pieces(texts), attribute_names),
)


def queries() -> st.SearchStrategy[Query]:
    """Trees as the parser makes them: an `or` holds no `or`, an `and` no `and`, and each holds two at least."""
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
    lambda name, model, revision, tags, attributes: replace(
        a_device(name, tags=tags, attributes=attributes), hardware=Hardware(model, revision)
    ),
    ids,
    models,
    st.sampled_from(["", "1", "2"]),
    st.lists(texts, max_size=3),
    st.dictionaries(attribute_names, texts, max_size=3),
)
fleets: st.SearchStrategy[list[Device]] = st.lists(devices, max_size=8, unique_by=lambda device: device.id)
