"""Mail to people."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A mail in plain text."""

    to: tuple[str, ...]
    subject: str
    text: str
    mark: str
    """What it is about, as visible ASCII: the same again is the same mail, by its Message-ID."""


class Mailer(Protocol):
    """Hands mail to a mail server."""

    async def send(self, message: Message) -> None:
        """Hand a mail over: when this returns the server has taken it for every address.

        Raises:
            UnavailableError: nobody answers, or not now. Some may have it: it may be sent again.
            RefusedError: the server will not have it, or not from us.
        """
        ...
