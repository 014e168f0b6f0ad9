"""Server-sent events (WHATWG HTML, section 9.2), and the feed of changes followed over broken connections."""

import json
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from otaru.apps.cli.client import LATER_S, Api
from otaru.errors import OverloadedError, UnavailableError

MAX_EVENT = 1024 * 1024
SILENCE_S = 90.0
"""Longer than the server's pause between two comments that keep the connection alive."""
WAITING = 1000
"""Events read and not yet taken; beyond it the stream waits."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event of a stream: `id` is where to go on after it."""

    id: str
    event: str
    data: str


def messages(chunks: Iterable[bytes]) -> Iterator[Message]:
    """The messages of a stream of bytes; one without data is none.

    Raises:
        ValueError: a message is larger than MAX_EVENT.
    """
    last_id, event = "", ""
    data: list[str] = []
    for line in _lines(chunks):
        if line == "":
            if data:
                yield Message(last_id, event or "message", "\n".join(data))
            event, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "id" if "\0" not in value:
                last_id = value
            case "event":
                event = value
            case "data":
                data.append(value)
                if sum(map(len, data)) > MAX_EVENT:
                    raise ValueError("an event is too large")
            case _:
                pass  # a comment, or a field that no one has defined


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines ended by LF, CRLF or CR; what no end follows is no line."""
    rest = b""
    for chunk in chunks:
        whole = rest + chunk
        # A CR at the very end may be half of a CRLF.
        held = b"\r" if whole.endswith(b"\r") else b""
        whole = whole.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = whole.split(b"\n")
        rest += held
        if len(rest) > MAX_EVENT:
            raise ValueError("an event is too large")
        for line in lines:
            yield line.decode(errors="replace")


class Feed:
    """The server's events from now on (or from after a position), read by a thread of its own.

    It reconnects by itself and goes on where it was, so nothing is missed. The thread ends with the program.

    Args:
        api: The server.
        after: The position to begin after; None: what happens from now on.
        subject: Only events of this subject.
    """

    def __init__(self, api: Api, *, after: str | None = None, subject: str | None = None) -> None:
        self._api = api
        self._subject = subject
        self._position = after if after is not None else _newest(api)
        self._arrived: queue.Queue[dict[str, Any] | Exception] = queue.Queue(maxsize=WAITING)
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """The next event, or None when none came within `timeout_s`.

        Raises:
            OtaruError: the stream cannot be had: refused, or the server stayed out of reach for half a minute.
        """
        try:
            found = self._arrived.get(timeout=max(timeout_s, 0))
        except queue.Empty:
            return None
        if isinstance(found, Exception):
            raise found
        return found

    def _run(self) -> None:
        tries = 0
        while True:
            before = self._position
            try:
                self._read()
                tries = 0
            except (UnavailableError, OverloadedError) as error:
                tries = 0 if self._position != before else tries
                if tries >= len(LATER_S):
                    self._arrived.put(error)
                    return
            except Exception as error:  # noqa: BLE001  # whatever it is, the reader on the other side shall see it
                self._arrived.put(error)
                return
            self._api.sleep(LATER_S[min(tries, len(LATER_S) - 1)])
            tries += 1

    def _read(self) -> None:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._position} if self._position else {})
        with self._api.stream("/events/stream", headers=headers, read_s=SILENCE_S, subject=self._subject) as response:
            for message in messages(response.iter_bytes()):
                self._position = message.id or self._position
                found = json.loads(message.data)
                if isinstance(found, dict) and self._subject in {None, found.get("subject")}:
                    self._arrived.put(found)


def _newest(api: Api) -> str | None:
    items = api.get("/events", newest=True, limit=1)["items"]
    return str(items[0]["id"]) if items else None
