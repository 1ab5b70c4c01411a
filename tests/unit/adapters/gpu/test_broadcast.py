"""One value, many listeners, each at its own pace."""

import asyncio

from adapters.gpu.broadcast import Broadcast


async def listen(broadcast: Broadcast[int], heard: list[int], pause: float = 0) -> None:
    async for value in broadcast.listen():
        heard.append(value)
        await asyncio.sleep(pause)


async def test_every_listener_hears_every_value_it_keeps_up_with() -> None:
    broadcast: Broadcast[int] = Broadcast()
    heard: list[list[int]] = [[] for _ in range(5)]
    async with asyncio.TaskGroup() as listeners:
        for one in heard:
            listeners.create_task(listen(broadcast, one))
        for value in range(4):
            await asyncio.sleep(0.01)
            broadcast.publish(value)
        await asyncio.sleep(0.01)
        broadcast.close()
    assert heard == [[0, 1, 2, 3]] * 5


async def test_a_slow_listener_skips_to_the_latest_value() -> None:
    broadcast: Broadcast[int] = Broadcast()
    heard: list[int] = []
    listening = asyncio.create_task(listen(broadcast, heard, pause=0.05))
    await asyncio.sleep(0)
    for value in range(1000):
        broadcast.publish(value)
        await asyncio.sleep(0)
    await asyncio.sleep(0.3)
    broadcast.close()
    await listening
    assert heard == [0, 999]


async def test_a_listener_does_not_hear_what_was_published_before() -> None:
    broadcast: Broadcast[int] = Broadcast()
    broadcast.publish(1)
    heard: list[int] = []
    listening = asyncio.create_task(listen(broadcast, heard))
    await asyncio.sleep(0.01)
    assert heard == []
    broadcast.close()
    await listening


async def test_closing_ends_those_who_listen_and_those_who_come_later() -> None:
    broadcast: Broadcast[int] = Broadcast()
    listening = asyncio.create_task(listen(broadcast, []))
    await asyncio.sleep(0.01)
    broadcast.close()
    async with asyncio.timeout(1):
        await listening
        await listen(broadcast, [])
