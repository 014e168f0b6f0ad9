"""A socket on the device at which its programs ask the agent: HTTP/1.1 and JSON, who may is said by the file's mode.

    GET /status · GET /history                       as `otaru agent status`, `history`
    POST /check                                      {"due": …} or {"due": null}; the agent looks at it at once
    POST /approve                                    the owner says yes
    POST /postpone {"for_s": 7200} or {"until": …}   later
    POST /reject {"reason": …}                       no
    POST /rollback {"reason": …} · POST /lift        as the commands

What changes something, or asks the server, is done by the agent's own thread between two rounds: nobody works on an update beside
it. Who asks while a round lasts (a download, say) waits for WAIT_S and is then told to come again: then nothing was done, and
nothing will be. What was begun by then is waited for. Requests are bounded in size, time and number; there is one on each
connection. They are read by h11, which an agent has in memory all the same; http.server would be 0.8 MB more, and read heads of
6 MB for as long as somebody sends them.
"""

import json
import logging
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Lock, Thread
from threading import Event as Flag
from typing import Any

import h11

from otaru import errors
from otaru.apps.agent import show
from otaru.apps.agent.neighbours import Local
from otaru.apps.agent.settings import Settings
from otaru.apps.agent.wiring import Agent, Stop
from otaru.domain.link import Answer
from otaru.errors import InvalidInputError, NotFoundError, OtaruError, OverloadedError, StoppedError
from otaru.services.edge.update import Updater

MAX_REQUEST = 16 * 1024
READ_S = 5.0
"""For a whole request."""
WAIT_S = 10.0
"""For the agent's thread."""
AT_ONCE = 8
WAITING = 32
"""Who comes when all are busy. Who comes after them is turned away by the system."""
_NOWHERE = re.compile("[\0\ud800-\udfff]")
"""JSON can say it; no record and no database can keep it."""
_log = logging.getLogger("otaru.agent")

_STATUS: Mapping[type[OtaruError], HTTPStatus] = {
    errors.InvalidInputError: HTTPStatus.BAD_REQUEST,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.MethodNotAllowedError: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.NothingToDoError: HTTPStatus.CONFLICT,
    errors.InvalidStateError: HTTPStatus.CONFLICT,
    errors.RefusedError: HTTPStatus.FORBIDDEN,
    errors.OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoppedError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Subclasses answer with their parent's; what is not named is 500."""

Body = Mapping[str, Any]
Act = Callable[["Desk", Body], Any]


@dataclass(eq=False)
class _Job:
    """What the agent's thread is to do, and what came of it."""

    act: Act
    body: Body
    done: Flag = field(default_factory=Flag)
    found: Any = None
    error: Exception | None = None
    _taken: Lock = field(default_factory=Lock)

    def take(self) -> bool:
        """Whether it is the caller's, the agent's thread to be done, or of who asked to be withdrawn: it is the first one's."""
        return self._taken.acquire(blocking=False)


class Desk:
    """Where what is asked at the socket and the agent's thread meet."""

    def __init__(self, settings: Settings, made: Agent, updater: Updater, stop: Stop) -> None:
        self.settings = settings
        self.made = made
        self.updater = updater
        self._stop = stop
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        close = stop.close

        def end() -> None:
            close()
            self._jobs.put(None)  # may be called in a signal's handler: SimpleQueue is made for that

        stop.close = end

    def rest(self, seconds: float) -> bool:
        """Wait so long, and do what is asked meanwhile, by all who wait by then; True, at once, where something was.

        Those behind the first one would else wait for a whole round more. There are AT_ONCE: a round comes all the same.
        """
        done = 0
        while done < AT_ONCE and self._next(0 if done else seconds):
            done += 1
        return done > 0

    def _next(self, seconds: float) -> bool:
        try:
            job = None if self._stop.flag.is_set() else self._jobs.get(timeout=max(seconds, 0))
        except Empty:
            return False
        if job is None or not job.take():
            return False
        job.error = StoppedError("the agent ends")
        try:
            job.found = job.act(self, job.body)
            job.error = None
        except (OtaruError, OSError) as error:
            job.error = error
        finally:
            job.done.set()
        return True

    def ask(self, act: Act, body: Body) -> Any:
        """Have it done by the agent's thread. From any other thread.

        Raises:
            OverloadedError: it is busy for too long; it is not done, nor will be.
            OtaruError, OSError: as what is done.
        """
        job = _Job(act, body)
        self._jobs.put(job)
        if not job.done.wait(WAIT_S) and job.take():
            raise OverloadedError("the agent is in the middle of something", retry_after_s=60)
        job.done.wait()  # it is being done: as long as what is asked of the server may take
        if job.error is not None:
            raise job.error
        return job.found


@contextmanager
def open_to(settings: Settings, desk: Desk) -> Iterator[Desk]:
    """Answer at the socket while it lasts; without one the agent only waits by its desk.

    An agent whose socket cannot be made updates its device all the same.
    """
    told = settings.local
    listening = None if told is None else _opened(told)
    if told is None or listening is None:
        yield desk
        return
    thread = Thread(target=_accept, args=(listening, desk), daemon=True, name="local")
    thread.start()
    try:
        yield desk
    finally:
        with suppress(OSError):
            Path(told.socket).unlink()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        thread.join(READ_S)
        listening.close()


def _opened(told: Local) -> socket.socket | None:
    try:
        return _listening(told)
    except (OSError, LookupError) as error:
        _log.error("%s cannot be made: %s", told.socket, error)
        return None


def _listening(told: Local) -> socket.socket:
    """The socket, which has its name once it has its mode and group and somebody listens.

    One of a process that was killed is replaced: this one holds the lock of the data folder. Raises OSError, LookupError
    (no such group).
    """
    path, new = Path(told.socket), Path(f"{told.socket}.new")
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError("it is something else")
    new.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.bind(str(new))
        new.chmod(0o600)
        if told.group is not None:
            shutil.chown(new, group=told.group)
        new.chmod(int(told.mode, 8))
        made.listen(WAITING)
        new.rename(path)
    except (OSError, LookupError):
        made.close()
        raise
    return made


def _accept(listening: socket.socket, desk: Desk) -> None:
    room = BoundedSemaphore(AT_ONCE)
    while True:
        try:
            line, _ = listening.accept()
        except OSError:
            return
        room.acquire()
        Thread(target=_serve, args=(line, desk, room), daemon=True).start()


def _serve(line: socket.socket, desk: Desk, room: BoundedSemaphore) -> None:
    try:
        with line, suppress(OSError, h11.LocalProtocolError):
            peer = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
            status, told = _answer(line, peer, desk)
            body = json.dumps(told).encode() + b"\n"
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ]
            head = h11.Response(status_code=status.value, reason=status.phrase.encode(), headers=headers)
            line.settimeout(READ_S)
            line.sendall(peer.send(head) or b"")
            line.sendall(peer.send(h11.Data(data=body)) or b"")
    finally:
        room.release()


def _answer(line: socket.socket, peer: h11.Connection, desk: Desk) -> tuple[HTTPStatus, Any]:
    try:
        method, path, body = _request(line, peer)
        return HTTPStatus.OK, _route(method, path)(desk, body)
    except OtaruError as error:
        status = next(
            (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), HTTPStatus.INTERNAL_SERVER_ERROR
        )
        return status, {"code": error.code, "detail": error.message, **({"hint": error.hint} if error.hint else {})}
    except OSError as error:
        return HTTPStatus.INTERNAL_SERVER_ERROR, {"code": "io_error", "detail": error.strerror or str(error)}


def _request(line: socket.socket, peer: h11.Connection) -> tuple[str, str, Body]:
    """One request: its method, path and body. Raises InvalidInputError; OSError where nobody speaks in time."""
    until, method, path, body = time.monotonic() + READ_S, "", "", b""
    try:
        while not isinstance(event := peer.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                method, path = event.method.decode(), event.target.decode("latin-1")
                if peer.they_are_waiting_for_100_continue:
                    line.sendall(peer.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            elif isinstance(event, h11.Data) and len(body) + len(event.data) <= MAX_REQUEST:
                body += event.data
            elif event is h11.NEED_DATA:
                peer.receive_data(_more(line, until))
            else:
                raise InvalidInputError(f"a request has an end, and a body of {MAX_REQUEST} bytes at most")
    except h11.RemoteProtocolError as error:
        raise InvalidInputError(f"that is no request of HTTP/1.1: {error}") from None
    except TimeoutError:
        raise InvalidInputError("the request has no end") from None
    return method, path, _body(body)


def _more(line: socket.socket, until: float) -> bytes:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    line.settimeout(left)
    return line.recv(4096)


def _body(raw: bytes) -> Body:
    try:
        told = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        raise InvalidInputError("the body is not JSON") from None
    if not isinstance(told, dict):
        raise InvalidInputError("the body is a JSON object")
    return told


def _route(method: str, path: str) -> Act:
    known = _ROUTES.get(path.partition("?")[0])
    if known is None:
        raise NotFoundError(f"there is no {path[:80]!r} here", hint=", ".join(sorted(_ROUTES)))
    if known[0] != method:
        raise errors.MethodNotAllowedError(f"{path[:80]} is asked by {known[0]}")
    return known[1]


def _only(body: Body, *names: str) -> None:
    if unknown := sorted(set(body) - set(names)):
        raise InvalidInputError(f"{unknown[0][:80]!r} is not known here", hint=", ".join(names) or "The body is empty.")


def _text(body: Body, name: str, default: str) -> str:
    found = body.get(name, default)
    if not isinstance(found, str) or len(found) > 500 or _NOWHERE.search(found):
        raise InvalidInputError(
            f"{name} is a text of 500 characters at most, without zero bytes and halves of characters"
        )
    return found


def _later(body: Body) -> datetime | timedelta:
    _only(body, "for_s", "until")
    for_s, until = body.get("for_s"), body.get("until")
    if isinstance(for_s, int | float) and not isinstance(for_s, bool) and until is None and 0 < for_s <= 366 * 86_400:
        return timedelta(seconds=for_s)
    if isinstance(until, str) and for_s is None:
        with suppress(ValueError):
            found = datetime.fromisoformat(until)
            return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    raise InvalidInputError("an update is postponed for seconds, or until a moment", hint='{"for_s": 7200}')


def _status(desk: Desk, body: Body) -> Any:
    _only(body)
    return show.status(desk.settings)


def _history(desk: Desk, body: Body) -> Any:
    _only(body)
    return show.history(desk.settings)


def _check(desk: Desk, body: Body) -> Any:
    _only(body)
    return desk.ask(lambda desk, _: {"due": show.due(desk.made)}, body)


def _approve(desk: Desk, body: Body) -> Any:
    _only(body)
    return desk.ask(lambda desk, _: show.decided(desk.made, Answer.APPROVE), body)


def _postpone(desk: Desk, body: Body) -> Any:
    later = _later(body)
    return desk.ask(lambda desk, _: show.decided(desk.made, Answer.POSTPONE, later), body)


def _reject(desk: Desk, body: Body) -> Any:
    _only(body, "reason")
    reason = _text(body, "reason", "")
    return desk.ask(lambda desk, _: show.decided(desk.made, Answer.REJECT, reason=reason), body)


def _rollback(desk: Desk, body: Body) -> Any:
    _only(body, "reason")
    reason = _text(body, "reason", "a person at the device")

    def act(desk: Desk, _: Body) -> Any:
        desk.updater.roll_back(reason)
        return show.status(desk.settings)

    return desk.ask(act, body)


def _lift(desk: Desk, body: Body) -> Any:
    _only(body)
    return desk.ask(lambda desk, _: {"lifted": desk.updater.lift()}, body)


_ROUTES: Mapping[str, tuple[str, Act]] = {
    "/status": ("GET", _status),
    "/history": ("GET", _history),
    "/check": ("POST", _check),
    "/approve": ("POST", _approve),
    "/postpone": ("POST", _postpone),
    "/reject": ("POST", _reject),
    "/rollback": ("POST", _rollback),
    "/lift": ("POST", _lift),
}
