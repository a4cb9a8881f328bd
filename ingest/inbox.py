"""The bounded hand-over from the broker client's thread to the event loop."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from ingest import metrics
from ingest.message import RawMessage


class Inbox:
    """Messages between two threads: `put` on the broker client's, `batches` on the event loop.

    The loop is woken once per batch, not once per message: waking it costs more than decoding a message. Brokers
    that speak MQTT 5 keep to our Receive Maximum, so `capacity` (messages) is only reached with QoS 0 traffic (dropped
    and counted: nobody promised to deliver it) and with MQTT 3.1.1 brokers, where `put` waits and TCP slows the broker.
    `room` (bytes of payload) bounds memory whatever the size of messages.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        capacity: int,
        room: int,
        patience: float,
        arrived: Callable[[RawMessage], None],
    ) -> None:
        """`patience`: seconds that `put` waits for room, fewer than keep-alive allows.

        `arrived` is told of each message that is taken over.
        """
        self._loop = loop
        self._arrived_one = arrived
        self._capacity = capacity
        self._bytes = room
        self._patience = patience
        self._put_bytes = 0  # written by the broker client's thread alone
        self._taken_bytes = 0  # written by the loop's alone
        self._closed = False
        self._messages: deque[RawMessage] = deque()
        self._arrived = asyncio.Event()
        self._wake_scheduled = False
        self._room = threading.Condition()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: RawMessage) -> bool:
        """Take a message over; called on the broker client's thread.

        False if there is no room even after a wait: the message is not taken, and nobody may acknowledge it.
        """
        if not self._has_room() and not self._make_room(message):
            return False
        self._put_bytes += len(message.payload)
        self._arrived_one(message)  # before the loop can see it
        self._messages.append(message)
        if not self._wake_scheduled:
            self._wake_scheduled = True
            self._loop.call_soon_threadsafe(self._wake)
        return True

    def close(self) -> None:
        """Take nothing more, and let nobody wait for room."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def _has_room(self) -> bool:
        held = self._put_bytes - self._taken_bytes
        return not self._closed and len(self._messages) < self._capacity and held < self._bytes

    def _make_room(self, message: RawMessage) -> bool:
        if message.qos == 0:
            metrics.DROPPED.inc()
            return False
        with self._room:
            self._room.wait_for(lambda: self._closed or self._has_room(), timeout=self._patience)
            return self._has_room()

    def _wake(self) -> None:
        self._wake_scheduled = False
        self._arrived.set()

    async def batches(
        self, *, size: int, weight: int, within: float, stop: asyncio.Event
    ) -> AsyncIterator[list[RawMessage]]:
        """Batches of at most `size` messages, each complete at most `within` seconds after its first message.

        A batch that has `weight` bytes of payload takes no further message. Ends when `stop` is set, after what had
        arrived by then.
        """
        while not stop.is_set():
            await self._wait_for_first(stop)
            if 0 < len(self._messages) < size and not stop.is_set():
                waited = time.time() - self._messages[0].received_at / 1e6
                await asyncio.sleep(min(max(0.0, within - waited), within))
            if self._messages:
                yield self._take(size, weight)
        left = len(self._messages)  # not what arrives from here on, or a busy broker would never let us go
        while left:
            batch = self._take(min(size, left), weight)
            left -= len(batch)
            yield batch

    async def _wait_for_first(self, stop: asyncio.Event) -> None:
        if self._messages:
            return
        self._arrived.clear()
        if self._messages:  # arrived between the look and the clear
            return
        waits = [asyncio.ensure_future(self._arrived.wait()), asyncio.ensure_future(stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _take(self, size: int, weight: int) -> list[RawMessage]:
        batch: list[RawMessage] = []
        taken = 0
        for _ in range(min(size, len(self._messages))):  # the other thread appends meanwhile
            batch.append(self._messages.popleft())
            taken += len(batch[-1].payload)
            if taken >= weight:
                break
        self._taken_bytes += taken
        with self._room:
            self._room.notify_all()
        return batch
