"""The desk at which programs of the device and the agent's thread meet: what is told there is so."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Barrier, Thread
from threading import Event as Flag
from typing import Any, cast

import pytest

from otaru.apps.agent import doctor, local
from otaru.apps.agent.local import Desk
from otaru.apps.agent.settings import read
from otaru.apps.agent.wiring import Stop
from otaru.errors import NothingToDoError, OverloadedError, StoppedError
from tests.support.ddi import eventually


@pytest.fixture
def desk() -> Desk:
    nothing = cast("Any", None)  # what is done is the test's
    return Desk(nothing, nothing, nothing, Stop(Flag()))


@contextmanager
def beside(act: Any) -> Iterator[list[Any]]:
    """Another thread, and what came of it once it has ended."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(act())
        except (OverloadedError, NothingToDoError, StoppedError) as error:
            found.append(error)

    thread = Thread(target=run)
    thread.start()
    yield found
    thread.join(30)
    assert not thread.is_alive()


def test_what_was_given_up_is_never_done(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "WAIT_S", 0)
    done: list[int] = []
    with pytest.raises(OverloadedError):
        desk.ask(lambda _desk, _body: done.append(1), {})
    assert not desk.rest(0)
    assert done == []


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_begun_is_waited_for_and_told(desk: Desk, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """Patience is over the moment that the agent begins."""
    begun, go_on = Flag(), Flag()

    def act(_desk: Desk, _body: local.Body) -> str:
        begun.set()
        assert go_on.wait(30)
        if fails:
            raise NothingToDoError("nothing waits")
        return "done"

    class Patience(Flag):
        """The job's: its first wait ends when the agent has begun."""

        def wait(self, timeout: float | None = None) -> bool:
            if timeout is None:
                go_on.set()
                return super().wait(30)
            assert begun.wait(30)
            return False

    job = local._Job(act, {}, done=Patience())
    monkeypatch.setattr(local, "_Job", lambda *_: job)
    with beside(lambda: desk.rest(30)) as rested, beside(lambda: desk.ask(act, {})) as told:
        pass
    assert rested == [True]
    assert [type(one) for one in told] == [NothingToDoError] if fails else told == ["done"]


def test_who_is_told_to_come_again_finds_nothing_done(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both at the same moment, again and again."""
    monkeypatch.setattr(local, "WAIT_S", 0)
    done: list[int] = []
    start = Barrier(2)

    def both(act: Any) -> Any:
        start.wait(30)
        return act()

    for number in range(200):

        def act(_desk: Desk, _body: local.Body, number: int = number) -> str:
            done.append(number)
            return "done"

        with (
            beside(lambda: both(lambda: desk.rest(0.01))),
            beside(lambda act=act: both(lambda: desk.ask(act, {}))) as told,
        ):
            pass
        while desk.rest(0):  # what was left, were anything
            pass
        assert (told == ["done"]) == (number in done)
        assert done.count(number) <= 1


def test_all_who_wait_are_answered_before_the_next_round_and_it_comes_all_the_same(desk: Desk) -> None:
    done: list[int] = []
    with ExitStack() as people:
        for _ in range(local.AT_ONCE + 1):
            people.enter_context(beside(lambda: desk.ask(lambda _desk, _body: done.append(1), {})))
        eventually(lambda: desk._jobs.qsize() == local.AT_ONCE + 1)
        assert desk.rest(30)
        assert len(done) == local.AT_ONCE
        assert desk.rest(30)
    assert len(done) == local.AT_ONCE + 1


def test_the_doctor_says_whether_somebody_listens(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(
        f'data = "/d"\n[local]\nsocket = "{tmp_path}/s"\n'
        '[[component]]\nname = "app"\ninstaller = "files"\nfolder = "/opt/app"\n'
    )
    settings = read(tmp_path / "agent.toml")
    assert [one.grade for one in doctor.socket_of(settings)] == [doctor.Grade.REMARK]
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{tmp_path}/s")
        assert [one.grade for one in doctor.socket_of(settings)] == [doctor.Grade.GOOD]


def test_an_agent_that_falls_leaves_nobody_waiting(desk: Desk) -> None:
    def falls(_desk: Desk, _body: local.Body) -> None:
        raise RuntimeError

    with beside(lambda: desk.ask(falls, {})) as told, pytest.raises(RuntimeError):
        desk.rest(30)
    assert [type(one) for one in told] == [StoppedError]
