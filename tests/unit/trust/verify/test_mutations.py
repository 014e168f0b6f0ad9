"""Whatever somebody without keys does to the files: a device takes what was signed for it, or nothing, and lives on."""

import json
from functools import cache
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from otaru.errors import OtaruError
from otaru.trust.verify.refusals import REFUSALS
from otaru.trust.verify.state import State, decode, encode
from otaru.trust.verify.steps import Source, Want
from otaru.trust.verify.update import Verdict
from tests.support.site import Director, Site, Unit, a_target, ordered

DEVICE = "dev-1"
OLD, NEW = a_target(), a_target("app/stable/1.2.0/fw.bin", b"firmware 1.2.0", version="1.2.0", releaseCounter=1)
Name = tuple[Source, str]
Pool = dict[Name, bytes]


@cache
def world() -> tuple[Site, State, Pool, list[bytes]]:
    """A site that has moved on since the device last asked; its files, and files of before and of others."""
    site = Site()
    site.director.order(DEVICE)
    site.deploy(DEVICE, OLD)
    unit = Unit(site)
    unit.poll()
    strangers = list(site.images.files.values()) + list(site.director.files[DEVICE].values())
    site.director.rotate("director-2")
    site.images.release(NEW)
    site.director.order(DEVICE, ordered(NEW))
    site.director.order("dev-2", ordered(OLD), version=3)
    other = Site(director=Director(key="other-tenant"))
    other.deploy(DEVICE, NEW)
    for files in (site.director.files["dev-2"], other.images.files, other.director.files[DEVICE], other.director.roots):
        strangers += files.values()
    pool = {(Source.IMAGE, name): data for name, data in site.images.files.items()}
    pool |= {(Source.DIRECTOR, name): data for name, data in site.director.files[DEVICE].items()}
    pool |= {(Source.DIRECTOR, name): data for name, data in site.director.roots.items()}
    return site, unit.state, pool, strangers + list(pool.values())


@cache
def asked() -> list[Name]:
    """The files that the device asks for, the second time."""
    site, state, pool, _ = world()
    unit = Unit(site)
    unit.state = state
    unit.poll()
    found = [(want.source, want.name) for want in unit.wants]
    assert len(found) == 9
    assert len([name for name in found if name in pool]) == 7  # of both roots the next is asked for in vain
    return found


def bytewise(data: bytes) -> st.SearchStrategy[bytes]:
    def flip(at: int, bit: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

    place = st.integers(0, len(data) - 1)
    return st.one_of(
        st.builds(flip, place, st.integers(0, 7)),
        place.map(lambda end: data[:end]),
        st.binary(min_size=1, max_size=20).map(lambda more: data + more),
        st.tuples(place, place).map(lambda ends: data[: min(ends)] + data[max(ends) :]),
    )


_LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([2**31, 2**64, -(2**70), "../../x", "a/b", "\0", "\ud800", "dev-1", "2099-01-01T00:00:00Z", 1.5]),
    st.text(max_size=5),
)
_JSON = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@st.composite
def placewise(draw: st.DrawFn, data: bytes) -> bytes:
    """JSON with one place changed: replaced, doubled, renamed, taken out."""
    told: Any = json.loads(data)
    place, key = told, draw(st.sampled_from(sorted(told)))
    while isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 5)):
        place = place[key]
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    match draw(st.sampled_from(["replace", "double", "rename", "remove", "add"])):
        case "replace":
            place[key] = draw(_JSON)
        case "double" if isinstance(place, list):
            place.append(place[key])
        case "rename" if isinstance(place, dict):
            place[draw(st.sampled_from(["../" + key, "x", "sig", "keyid", "targets"]))] = place.pop(key)
        case "add" if isinstance(place, dict):
            place[draw(st.text(max_size=5))] = draw(_JSON)
        case _:
            del place[key]
    return json.dumps(told).encode()


def doubled(data: bytes) -> bytes:
    """Every member of the outermost object twice, the first time with something else."""
    return b'{"signed":{"_type":"targets"},"signatures":[],' + data.lstrip()[1:]


def deep(data: bytes) -> bytes:
    return data[:-1] + b',"deep":' + b"[" * 50_000 + b"]" * 50_000 + b"}"


@cache
def broken(name: Name) -> st.SearchStrategy[bytes | None]:
    _, _, pool, strangers = world()
    own = pool.get(name, next(iter(pool.values())))
    return st.one_of(
        st.none(),
        st.sampled_from(strangers),
        bytewise(own),
        placewise(own),
        st.sampled_from([doubled(own), deep(own), b"", b"[" * 100_000, b'{"signed":' * 1000, b"1" * 5000]),
    )


@st.composite
def attacks(draw: st.DrawFn) -> dict[Name, bytes | None]:
    names = draw(st.lists(st.sampled_from(asked()), min_size=1, max_size=3, unique=True))
    return {name: draw(broken(name)) for name in names}


def taken(verdict: Verdict) -> None:
    """What a device may take: what was ordered now, or what it had taken before."""
    for update in verdict.updates:
        assert (update.target.path, update.target.sha256) in {(t.path, t.hashes["sha256"]) for t in (OLD, NEW)}


@settings(deadline=None, max_examples=100)
@given(attacks())
@example({(Source.DIRECTOR, "timestamp.json"): None})
def test_it_takes_what_was_signed_or_nothing_and_lives_on(attack: dict[Name, bytes | None]) -> None:
    site, state, _, _ = world()
    unit = Unit(site)
    unit.state = state

    def between(want: Want, answer: bytes | None) -> bytes | None:
        return attack.get((want.source, want.name), answer)

    try:
        taken(unit.poll(between))
    except OtaruError as error:
        assert error.code in REFUSALS  # noqa: PT017 - either is right
    assert unit.state.counters == state.counters
    unit.state = decode(encode(unit.state))
    (update,) = unit.poll().updates
    assert update.target.path == NEW.path
