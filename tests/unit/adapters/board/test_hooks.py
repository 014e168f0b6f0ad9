"""Programs at the turns of an update: what they are told, and how they object."""

from otaru.adapters.board.hooks import CommandHooks
from otaru.domain.update import Moment

BEFORE = Moment.BEFORE_INSTALL


def test_who_ends_with_0_does_not_object() -> None:
    told = {"OTARU_RELEASE": "app:2.0.0", "OTARU_ACTION": "7"}
    words = ["sh", "-c", '[ "$OTARU_MOMENT $OTARU_RELEASE $OTARU_ACTION" = "before_install app:2.0.0 7" ]']
    hooks = CommandHooks({BEFORE: words})
    assert hooks.call(BEFORE, told) == ""
    assert "ended with 1" in hooks.call(BEFORE, {})


def test_what_it_says_is_the_reason_in_one_line() -> None:
    hooks = CommandHooks({BEFORE: ["sh", "-c", "echo the press runs; echo until six; exit 75"]})
    assert hooks.call(BEFORE, {}).endswith("ended with 75: the press runs until six")


def test_where_nothing_is_named_nobody_objects() -> None:
    hooks = CommandHooks({BEFORE: []})
    assert [hooks.call(moment, {}) for moment in Moment] == [""] * 4


def test_what_is_not_there_or_takes_too_long_objects() -> None:
    assert "No such file" in CommandHooks({BEFORE: ["/nowhere"]}).call(BEFORE, {})
    assert "longer than 0.2 s" in CommandHooks({BEFORE: ["sleep", "600"]}, 0.2).call(BEFORE, {})
