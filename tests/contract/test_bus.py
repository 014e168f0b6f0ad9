"""The bus port, on the bus of one process."""

import asyncio
import threading

import pytest

from otaru.adapters.bus.local import LocalBus

pytestmark = pytest.mark.anyio


async def settle() -> None:
    """Let everything that has been scheduled run."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_all_who_listen_to_a_topic_are_woken() -> None:
    bus = LocalBus()
    woken: list[str] = []
    for name in ("a", "b"):
        bus.subscribe("events", lambda name=name: woken.append(name))  # type: ignore[misc]
    bus.subscribe("else", lambda: woken.append("else"))
    bus.publish("events")
    bus.publish("nobody")
    assert woken == []  # never inside publish
    await settle()
    assert woken == ["a", "b"]


async def test_wakes_that_wait_are_one() -> None:
    bus = LocalBus()
    woken: list[int] = []
    bus.subscribe("events", lambda: woken.append(1))
    for _ in range(100):
        bus.publish("events")
    await settle()
    assert woken == [1]
    bus.publish("events")
    await settle()
    assert woken == [1, 1]


async def test_what_is_published_while_somebody_wakes_wakes_again() -> None:
    bus = LocalBus()
    woken: list[int] = []

    def wake() -> None:
        woken.append(1)
        if len(woken) < 3:
            bus.publish("events")

    bus.subscribe("events", wake)
    bus.publish("events")
    await settle()
    await settle()
    assert woken == [1, 1, 1]


async def test_who_leaves_is_not_woken_any_more() -> None:
    bus = LocalBus()
    woken: list[str] = []
    leave = bus.subscribe("events", lambda: woken.append("left"))
    bus.subscribe("events", lambda: woken.append("stays"))
    bus.publish("events")
    leave()
    leave()
    await settle()
    bus.publish("events")
    await settle()
    assert woken == ["stays", "stays"]


async def test_threads_may_publish() -> None:
    bus = LocalBus()
    woken = asyncio.Event()
    loop_thread = threading.get_ident()
    seen: list[int] = []

    def wake() -> None:
        seen.append(threading.get_ident())
        woken.set()

    bus.subscribe("events", wake)
    await asyncio.gather(*(asyncio.to_thread(bus.publish, "events") for _ in range(20)))
    async with asyncio.timeout(30):
        await woken.wait()
    await settle()
    assert set(seen) == {loop_thread}


def test_a_loop_that_is_gone_is_no_error() -> None:
    bus = LocalBus()

    async def subscribe() -> None:
        bus.subscribe("events", lambda: None)

    asyncio.run(subscribe())
    bus.publish("events")
    bus.publish("events")
