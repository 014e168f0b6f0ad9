"""Reading request bodies within bounds."""

import asyncio

from otaru.apps.console.session import App, Message, Receive, Scope, Send, header
from otaru.errors import InvalidInputError, TooLargeError

__all__ = ["App", "ClientGoneError", "Message", "Receive", "Scope", "Send", "header", "read_body"]

LIMIT = 1024 * 1024
"""Bytes of a JSON body."""
METADATA_LIMIT = 8 * 1024 * 1024
"""Bytes of a JSON body of signed metadata: a product's, as long as clients read it, and what goes with it."""
PATIENCE_S = 30.0
"""Seconds until a body that is not streamed must have arrived."""


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete; nobody is left to answer."""


async def read_body(scope: Scope, receive: Receive, limit: int = LIMIT) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: it is longer than `limit`; it is not read to its end.
        InvalidInputError: it did not arrive within `PATIENCE_S`.
        ClientGoneError: the client went away.
    """
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and int(announced) > limit:
        raise TooLargeError(f"the body has {int(announced)} bytes, {limit} are allowed", limit=limit)
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _gather(receive, limit)
    except TimeoutError:
        raise InvalidInputError(f"the body did not arrive within {PATIENCE_S:.0f} seconds") from None


async def _gather(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise TooLargeError(f"the body is longer than {limit} bytes", limit=limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
