"""The director's signer, as a process: it holds the director's online keys, and answers one pipe.

What is said to it is in `adapters.director.wire`, what it does about that in `services.control.desk`. It opens the store
for reading only, listens nowhere, and ends with its pipe. It keeps the keys away from the process that strangers speak
to; who can run programs as the server's user can read their files all the same.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from otaru.adapters.clock import SystemClock
from otaru.adapters.director import wire
from otaru.adapters.signers.file import FolderKeyring
from otaru.adapters.sql.engine import open_reader
from otaru.adapters.sql.tx import SqlTx
from otaru.domain.ids import TenantId
from otaru.errors import OtaruError
from otaru.ports.director import Desk
from otaru.services.control import desk
from otaru.trust.tuf.director import Issued

_PR_SET_DUMPABLE = 4


class Signer:
    """Answers what is asked."""

    def __init__(self, begin: wire.Begin) -> None:
        self._desk: Desk = desk.Desk(FolderKeyring(Path(begin.keys), os.environ.get("OTARU_PIN"), begin.online))
        self._store: Engine = open_reader(begin.database)
        self._clock = SystemClock()

    def answer(self, ask: wire.Ask) -> wire.Answer:
        """What becomes of it. What fails is said, and the next question may fare better."""
        try:
            match ask:
                case wire.Begin():
                    return wire.Answer(failed="it has begun")
                case wire.Make(tenant):
                    return wire.Answer(key=self._desk.make(TenantId(tenant)).to_dict())
                case wire.Held(tenant, keys):
                    return wire.Answer(held=sorted(self._desk.held(TenantId(tenant), keys)))
                case wire.Sign():
                    return wire.Answer(done=self._signed(ask))
        except OtaruError as error:
            return wire.Answer(failed=error.message)
        except SQLAlchemyError:
            return wire.Answer(failed="the director's signer cannot read the database")

    def _signed(self, ask: wire.Sign) -> list[wire.Done]:
        with self._store.connect() as connection, connection.begin():
            done = self._desk.sign(SqlTx(connection, 0), ask.assignments[: wire.MAX_BATCH], self._clock.now())
        return [wire.Done(one) if isinstance(one, Issued) else wire.Done(refused=one.message) for one in done]


def main() -> None:
    """Answer until the pipe ends."""
    _keep_apart()
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what some library prints is no answer
    first = _read(source)
    if not isinstance(first, wire.Begin):
        return
    try:
        signer = Signer(first)
    except OtaruError as error:
        sys.stderr.write(f"otaru: the director's signer cannot begin: {error.message}\n")
        return
    _say(sink, wire.Answer())
    while (ask := _read(source)) is not None:
        _say(sink, signer.answer(ask))


def _read(source: BinaryIO) -> wire.Ask | None:
    head = source.read(wire.HEAD.size)
    if len(head) < wire.HEAD.size or (size := wire.HEAD.unpack(head)[0]) > wire.MAX_FRAME:
        return None
    try:
        return wire.asked(source.read(size))
    except msgspec.DecodeError:
        return None


def _say(sink: BinaryIO, answer: wire.Answer) -> None:
    sink.write(wire.framed(answer))
    sink.flush()


def _keep_apart() -> None:
    """No core dump, no debugger of another process of the same user; the server says when to end."""
    os.umask(0o077)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


if __name__ == "__main__":
    main()
