import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, TokenId
from otaru.errors import AlreadyExistsError, IdempotencyConflictError
from otaru.ports.store import Tx
from otaru.services.control import devices
from otaru.services.control.devices import Added, NewDevice
from otaru.services.control.once import Answer, Answers, Named, _seal, _unseal
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL

pytestmark = pytest.mark.anyio

NAMED = Named(ACME, TokenId("t"), "key", b"asked", "the caller's secret")


def show(_: Tx, added: Added) -> Answer:
    return Answer(201, f"{added.device.id} {added.token}".encode())


class Adding:
    """A service that adds a device, counting how often it is begun; `together` waits until so many have begun."""

    def __init__(self, name: str, together: int = 1) -> None:
        self.name = DeviceId(name)
        self.begun = 0
        self.barrier = asyncio.Barrier(together)

    async def __call__(self, world: World) -> Added:
        self.begun += 1
        await self.barrier.wait()
        return await devices.add(world, ACME, SYSTEM, NewDevice(self.name, Hardware("x")))


async def test_the_second_time_is_answered_as_the_first(world: World) -> None:
    answers, work = Answers(world), Adding("dev-1")
    first = await answers.give(NAMED, work, show)
    second = await answers.give(NAMED, work, show)
    assert (second.status, second.body) == (first.status, first.body)
    assert (first.again, second.again) == (False, True)
    assert work.begun == 1


async def test_another_process_answers_the_same(world: World) -> None:
    first = await Answers(world).give(NAMED, Adding("dev-1"), show)
    assert (await Answers(world).give(NAMED, Adding("dev-1"), show)).body == first.body


async def test_twins_of_two_processes_meet_in_the_transaction(world: World) -> None:
    """Neither sees the other's answer before it begins; the one that writes second gives the first one's."""
    work = Adding("dev-1", together=10)
    found = await asyncio.gather(*(Answers(world).give(NAMED, work, show) for _ in range(10)))
    assert work.begun == 10
    assert len({answer.body for answer in found}) == 1
    assert sum(not answer.again for answer in found) == 1


async def test_twins_of_one_process_wait(world: World) -> None:
    answers, work = Answers(world), Adding("dev-1")
    found = await asyncio.gather(*(answers.give(NAMED, work, show) for _ in range(10)))
    assert work.begun == 1
    assert len({answer.body for answer in found}) == 1


async def test_a_key_names_one_request_of_one_caller(world: World) -> None:
    answers = Answers(world)
    await answers.give(NAMED, Adding("dev-1"), show)
    with pytest.raises(IdempotencyConflictError):
        await answers.give(replace(NAMED, request=b"other"), Adding("dev-2"), show)
    for n, other in enumerate(
        (replace(NAMED, key="another"), replace(NAMED, token=TokenId("u")), replace(NAMED, tenant=RIVAL))
    ):
        assert not (await answers.give(other, Adding(f"dev-{n + 2}"), show)).again


async def test_what_fails_leaves_nothing(world: World) -> None:
    answers = Answers(world)
    await answers.give(None, Adding("dev-1"), show)
    with pytest.raises(AlreadyExistsError):
        await answers.give(NAMED, Adding("dev-1"), show)
    assert not (await answers.give(NAMED, Adding("dev-2"), show)).again


async def test_an_answer_that_cannot_be_made_undoes_the_work(world: World) -> None:
    def broken(_: Tx, __: Added) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Answers(world).give(NAMED, Adding("dev-1"), broken)
    assert await world.store.read(lambda tx: tx.devices.get(ACME, DeviceId("dev-1"))) is None


async def test_what_writes_nothing_is_answered_and_not_kept(world: World) -> None:
    async def look(world: World) -> int:
        return await world.store.glance(lambda tx: tx.devices.count(ACME, None))

    for _ in range(2):
        answer = await Answers(world).give(NAMED, look, lambda _, n: Answer(200, str(n).encode()))
        assert answer == Answer(200, b"0")


@given(st.binary(max_size=300), st.text(max_size=40), st.text(max_size=40), st.text("ab", min_size=1, max_size=40))
def test_a_sealed_answer_is_open_to_its_caller_alone(body: bytes, credential: str, key: str, salt: str) -> None:
    named = Named(ACME, TokenId("t"), key, b"", credential)
    sealed = _seal(named, salt, body)
    assert _unseal(named, sealed) == body
    if len(body) >= 16:
        assert body not in sealed
        assert _unseal(replace(named, credential=credential + "x"), sealed) != body
        assert _unseal(replace(named, key=key + "x"), sealed) != body
        moved = Named(ACME, TokenId("t"), key[1:], b"", credential + key[:1])
        assert key == "" or _unseal(moved, sealed) != body
        assert _seal(named, salt + "c", body)[32:] != sealed[32:] or len(salt) >= 32
