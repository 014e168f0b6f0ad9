"""Health that others can tell: a server on the device by its answer, units by what systemd says of them."""

import ssl
from collections.abc import Sequence
from contextlib import closing

from otaru.adapters.board.program import run
from otaru.adapters.links.wire import Wire
from otaru.errors import InstallError, OtaruError
from otaru.ports.clock import Clock

MAX_BODY = 64 * 1024


class HttpCheck:
    """It answers in time, with one of these statuses, and with a text in its body where one is asked for.

    A redirection is an answer like any other: nobody follows it.
    """

    def __init__(
        self, url: str, clock: Clock, statuses: Sequence[int] = (200,), contains: str = "", timeout_s: float = 5
    ) -> None:
        """Take the address. Of the answer MAX_BODY bytes are read, and a longer one is not healthy."""
        self._url = url
        self._clock = clock
        self._statuses = tuple(statuses)
        self._contains = contains.encode()
        self._timeout_s = timeout_s
        self.name = url[:100]

    def wrong(self) -> str:
        # Without TLS nobody needs the system's certificates: they are a megabyte.
        trust = None if self._url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            with closing(Wire(self._clock, trust)) as wire:
                answer = wire.ask("GET", self._url, [(b"Accept", b"*/*")], None, MAX_BODY, self._timeout_s)
        except OtaruError as error:
            return error.message
        if answer.status not in self._statuses:
            return f"it answers {answer.status}"
        if self._contains not in answer.body:
            return f"it answers {answer.status} without {self._contains.decode()!r}"
        return ""


class UnitCheck:
    """A unit is as it should be for systemd: `active`, and nothing on the way there or back."""

    def __init__(self, unit: str, timeout_s: float) -> None:
        self._unit = unit
        self._timeout_s = timeout_s
        self.name = unit

    def wrong(self) -> str:
        words = ["systemctl", "show", "--property=LoadState,ActiveState,SubState,Result", "--", self._unit]
        try:
            said = run(words, self._timeout_s)
        except InstallError as error:
            return error.message
        state = dict(line.partition("=")[::2] for line in said.splitlines())
        if state.get("LoadState") != "loaded":
            return f"there is no such unit: it is {state.get('LoadState') or 'not known'}"
        if state.get("ActiveState") != "active":
            return f"it is {state.get('ActiveState')} ({state.get('SubState')}), result {state.get('Result')}"
        return ""
