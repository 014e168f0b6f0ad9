"""A request that comes twice happens once, and is answered the same.

Theory of operation. A caller names its request with a key. The answer is kept *in the transaction that does the work*:
either the work and its answer are both there, or neither is, whatever crashes. A second request with the key, from
anywhere and at any time within a day, finds the answer; two at the same moment meet in that transaction, where only one
can write it. Within one process the second waits for the first.

What is promised: work done under a key is done at most once while the key is kept. What is not: a request that was
refused or failed leaves nothing, so the same key may be tried again; and files outside the store (the bytes of an
upload) follow their own rules (`artifacts`).

Answers may hold secrets that are shown once (tokens), and the store is not to hold those in clear. So an answer is
sealed under what only the caller knows: its own credential, of which we keep the digest only, and the key's text, of
which we keep the digest too.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from otaru.domain.ids import TenantId, TokenId
from otaru.errors import IdempotencyConflictError, OverloadedError
from otaru.ports.store import Committed, Store, Tx
from otaru.services.control.world import World

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

PATIENCE_S = 30.0
"""How long a request waits for its twin."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered. `again` says that it was answered before."""

    status: int
    body: bytes
    again: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """A request with its key. `request` is the digest of all that it asks; `credential` the secret that it came with."""

    tenant: TenantId
    token: TokenId
    key: str
    request: bytes
    credential: str


Show = Callable[[Tx, Any], Answer]
"""Turns what a service returns into an answer, reading what else it shows in the same transaction."""


class Answers:
    """The answers of one process: remembers, in the store, those to requests with a key."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._running: dict[tuple[TenantId, TokenId, str], asyncio.Event] = {}

    async def give(self, named: Named | None, work: Callable[[World], Awaitable[Any]], show: Show) -> Answer:
        """Do `work` and answer it; where it has been done under this name, give the answer of then.

        `work` is one service whose first write returns what the service returns.

        Raises:
            IdempotencyConflictError: the key names another request.
            OverloadedError: a twin takes too long.
        """
        if named is None:
            return await self._shown(await work(self._world), show)
        place = (named.tenant, named.token, named.key)
        await self._await_twin(place)
        done = self._running[place] = asyncio.Event()
        try:
            given = await self._world.store.glance(lambda tx: _given(tx, named))
            return given or await self._first(named, work, show)
        finally:
            del self._running[place]
            done.set()

    async def _first(self, named: Named, work: Callable[[World], Awaitable[Any]], show: Show) -> Answer:
        clock = self._world.clock
        store = _Remembering(self._world.store, named, show, clock.now(), clock.token())
        try:
            result = await work(replace(self._world, store=store))
        except _GivenBeforeError as before:
            return before.answer
        return store.answer or await self._shown(result, show)

    async def _shown(self, result: Any, show: Show) -> Answer:
        return await self._world.store.glance(lambda tx: show(tx, result))

    async def _await_twin(self, place: tuple[TenantId, TokenId, str]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (twin := self._running.get(place)) is not None:
                    await twin.wait()
        except TimeoutError:
            raise OverloadedError("the first request with this Idempotency-Key still runs", retry_after_s=5) from None


class _GivenBeforeError(Exception):
    """Somebody else answered this name first: our transaction is not to happen."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class _Remembering:
    """A store whose first write also keeps the answer to a named request."""

    def __init__(self, store: Store, named: Named, show: Show, at: datetime, salt: str) -> None:
        self._store = store
        self._named = named
        self._show = show
        self._at = at
        self._salt = salt
        self.answer: Answer | None = None

    async def write(self, bulk: Callable[[Tx, Sequence[P]], Sequence[R]], param: P) -> R:
        """Do it and keep its answer, in one transaction."""
        if self.answer is not None:
            return await self._store.write(bulk, param)

        def remembered(tx: Tx, params: Sequence[P]) -> list[tuple[R, Answer]]:
            return [self._remembered(tx, bulk, param) for param in params]

        result, self.answer = await self._store.write(remembered, param)
        return result

    def _remembered(self, tx: Tx, bulk: Callable[[Tx, Sequence[P]], Sequence[R]], param: P) -> tuple[R, Answer]:
        named = self._named
        if (given := _given(tx, named)) is not None:
            raise _GivenBeforeError(given)
        (result,) = bulk(tx, [param])
        answer = self._show(tx, result)
        sealed = _seal(named, self._salt, answer.body)
        tx.idempotency.add(named.tenant, named.token, _place(named), named.request, answer.status, sealed, self._at)
        return result, answer

    def beside(self) -> Store:
        """The store itself."""
        return self._store

    async def read(self, reader: Callable[[Tx], T]) -> T:
        """As the store does."""
        return await self._store.read(reader)

    async def glance(self, reader: Callable[[Tx], T]) -> T:
        """As the store does."""
        return await self._store.glance(reader)

    def follow(self, listener: Callable[[Committed], None]) -> Callable[[], None]:
        """As the store does."""
        return self._store.follow(listener)

    async def close(self) -> None:
        """As the store does."""
        await self._store.close()


def _given(tx: Tx, named: Named) -> Answer | None:
    kept = tx.idempotency.get(named.tenant, named.token, _place(named))
    if kept is None:
        return None
    request, status, sealed = kept
    if request != named.request:
        raise IdempotencyConflictError(
            "this Idempotency-Key was used for a different request", hint="A new request gets a new key."
        )
    return Answer(status, _unseal(named, sealed), again=True)


def _place(named: Named) -> str:
    return hashlib.sha256(named.key.encode()).hexdigest()


_SALT = 32


def _seal(named: Named, salt: str, body: bytes) -> bytes:
    """Cover `body` with a key stream that the caller's secrets and a salt of its own give: SHAKE256, keyed by its prefix.

    The salt is used once, so no two answers share a stream. This hides the answer from who reads the database; who can
    write there could do worse than change it.
    """
    salted = salt.encode()[:_SALT].ljust(_SALT, b".")
    return salted + _covered(named, salted, body)


def _unseal(named: Named, sealed: bytes) -> bytes:
    return _covered(named, sealed[:_SALT], sealed[_SALT:])


def _covered(named: Named, salt: bytes, body: bytes) -> bytes:
    # Never the digest of the credential alone: that is what the store knows a token by.
    secrets = (named.credential.encode(errors="surrogatepass"), named.key.encode())
    material = b"".join(len(secret).to_bytes(4) + secret for secret in secrets)
    stream = hashlib.shake_256(b"otaru answer\0" + material + salt).digest(len(body))
    return (int.from_bytes(body) ^ int.from_bytes(stream)).to_bytes(len(body))
