"""Server-sent events, as the standard says, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.cli.stream import MAX_EVENT, Message, messages

STREAM = (
    ': hello\n\nid: 1-1\nevent: rollout.moved\ndata: {"a":\ndata: 1}\n\n'
    "id: 1-2\ndata:x\nretry: 5\nunknown\n\nevent: empty\n\ndata: half"
)
EXPECTED = [Message("1-1", "rollout.moved", '{"a":\n1}'), Message("1-2", "message", "x")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@given(cuts=st.lists(st.integers(0, 200)))
def test_messages_do_not_depend_on_how_the_bytes_are_cut(end: str, cuts: list[int]) -> None:
    whole = STREAM.replace("\n", end).encode()
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    chunks = [whole[a:b] for a, b in pairwise(places)]
    assert list(messages(chunks)) == EXPECTED


def test_an_id_stays_until_there_is_another() -> None:
    assert [m.id for m in messages([b"id: 7\ndata: a\n\ndata: b\n\n"])] == ["7", "7"]


@pytest.mark.parametrize("chunk", [b"x" * 65_536, b"data: " + b"x" * 65_536 + b"\n"])
def test_an_endless_event_is_refused(chunk: bytes) -> None:
    with pytest.raises(ValueError, match="too large"):
        list(messages(chunk for _ in range(MAX_EVENT // 65_536 + 2)))
