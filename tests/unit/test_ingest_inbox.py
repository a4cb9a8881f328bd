"""The hand-over between the broker client's thread and the event loop is bounded and ends."""

import asyncio
import threading

import pytest
from prometheus_client import REGISTRY

from ingest.inbox import Inbox
from ingest.message import RawMessage


def message(size: int = 10, *, qos: int = 1) -> RawMessage:
    return RawMessage("t", bytes(size), 0, 1, qos, redelivered=False, connection=1)


def inbox(*, capacity: int = 100, room: int = 1000, patience: float = 0.05) -> Inbox:
    return Inbox(asyncio.get_running_loop(), capacity=capacity, room=room, patience=patience, arrived=lambda _: None)


def dropped() -> float:
    return REGISTRY.get_sample_value("pulso_ingest_messages_dropped_total") or 0.0


@pytest.fixture
def stopped() -> asyncio.Event:
    stop = asyncio.Event()
    stop.set()
    return stop


async def test_bytes_are_bounded_however_few_the_messages(stopped: asyncio.Event) -> None:
    full = inbox(room=1000)
    assert [full.put(message(400)) for _ in range(4)] == [True, True, True, False]
    assert [len(batch) async for batch in full.batches(size=10, weight=1, within=0.01, stop=stopped)] == [1, 1, 1]
    assert full.put(message(400)), "what was taken out makes room again"


async def test_a_full_inbox_drops_only_what_nobody_promised_to_deliver() -> None:
    full = inbox(capacity=1)
    before = dropped()
    assert full.put(message())
    assert not full.put(message(qos=0))
    assert dropped() == before + 1
    assert not full.put(message(qos=1))
    assert dropped() == before + 1


async def test_a_batch_that_is_heavy_enough_takes_no_further_message(stopped: asyncio.Event) -> None:
    filled = inbox(room=10_000)
    for size in (500, 500, 2000, 10, 10):
        filled.put(message(size))
    batches = filled.batches(size=3, weight=1000, within=0.01, stop=stopped)
    assert [[len(each.payload) for each in batch] async for batch in batches] == [[500, 500], [2000], [10, 10]]


async def test_draining_ends_though_messages_keep_arriving(stopped: asyncio.Event) -> None:
    busy = inbox()
    for _ in range(5):
        busy.put(message())
    taken = 0
    async for batch in busy.batches(size=2, weight=1000, within=0.01, stop=stopped):
        taken += len(batch)
        for _ in batch:
            busy.put(message())
    assert taken == 5


async def test_closing_lets_nobody_wait() -> None:
    full = inbox(capacity=1, patience=60.0)
    full.put(message())
    waiting = threading.Thread(target=full.put, args=(message(),))
    waiting.start()
    full.close()
    await asyncio.to_thread(waiting.join, 5)
    assert not waiting.is_alive()
