"""Values of the native road, for property tests."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from otaru.domain.deployment import State
from otaru.domain.ids import MAX_ACTION, ActionId, ProductName, RolloutId, Sha256, Version
from otaru.domain.link import (
    SPOKEN,
    Asking,
    Batch,
    Consent,
    File,
    Heard,
    Note,
    Offer,
    Opening,
    Patch,
    Told,
)
from otaru.domain.rollout import Urgency
from otaru.domain.terms import UpdateType

moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
spans = st.integers(0, 3650 * 86_400).map(lambda s: timedelta(seconds=s))
digests = st.binary(min_size=32, max_size=32).map(lambda b: Sha256(b.hex()))
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
actions = st.integers(1, MAX_ACTION).map(ActionId)
addresses = st.lists(st.just("https://otaru.example/a/") | st.just("http://[::1]:8080/b"), min_size=1, max_size=4).map(
    tuple
)
sizes = st.integers(0, 2**53)
note_ids = st.from_regex(r"[!-~]{1,64}", fullmatch=True)

patches = st.builds(
    Patch,
    path=st.none() | names,
    source=digests,
    form=st.sampled_from(["zstd", "bsdiff"]),
    sha256=digests,
    size=sizes,
    memory=sizes,
    addresses=addresses,
)
files = st.builds(
    File,
    component=names,
    hardware=words,
    filename=names,
    size=sizes,
    sha256=digests,
    installer=st.sampled_from(["", "file", "rauc"]),
    addresses=addresses,
    patches=st.lists(patches, max_size=2).map(tuple),
)
consents = st.builds(
    Consent,
    state=st.sampled_from(Asking),
    until=st.none() | moments,
    automatic_at=st.none() | moments,
    postponements=st.integers(0, 100),
    longest=spans,
)
windows = st.builds(Opening, is_open=st.booleans(), closes_at=st.none() | moments, opens_at=st.none() | moments)
offers = st.builds(
    Offer,
    action=actions,
    rollout=st.integers(1, 2**40).map(RolloutId),
    product=names.map(ProductName),
    version=names.map(Version),
    type=st.sampled_from(UpdateType),
    files=st.lists(files, min_size=1, max_size=2).map(tuple),
    urgency=st.sampled_from(Urgency),
    forced_at=st.none() | moments,
    notes=words,
    consent=st.none() | consents,
    conditions=st.lists(words, max_size=2).map(tuple),
    window=st.none() | windows,
    takes=spans,
    validate=spans,
    hold=st.booleans(),
)
tolds = st.builds(Told, poll_after=spans, offer=st.none() | offers, cancel=st.none() | actions, describe=st.booleans())


def _note(note: Note, progress: tuple[int, int] | None) -> Note:
    done, of = progress or (None, None)
    return Note(note.id, note.action, note.event, note.code, note.text, done, of, note.at)


notes = st.builds(
    _note,
    st.builds(
        Note,
        id=note_ids,
        action=actions,
        event=st.none() | st.sampled_from(sorted(SPOKEN)),
        code=st.from_regex(r"[a-z0-9_.-]{0,64}", fullmatch=True),
        text=st.lists(words, max_size=3).map(tuple),
        at=st.none() | moments,
    ),
    st.none() | st.tuples(sizes, sizes),
)
batches = st.builds(
    Batch,
    notes=st.lists(notes, max_size=4).map(tuple),
    installed=st.dictionaries(names, names.map(Version), max_size=3),
)
heards = st.lists(st.builds(Heard, id=note_ids, state=st.none() | st.sampled_from(State)), max_size=3)
