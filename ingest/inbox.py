"""The bounded hand-over from the broker client's thread to the event loop."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator

from ingest.message import RawMessage


class Inbox:
    """Messages between two threads: `put` on the broker client's, `batches` on the event loop.

    The loop is woken once per batch, not once per message: waking it costs more than decoding a message. Brokers
    that speak MQTT 5 keep to our Receive Maximum, so `capacity` is only reached with QoS 0 traffic (dropped and
    counted: nobody promised to deliver it) and with MQTT 3.1.1 brokers, where `put` waits and TCP slows the broker.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, capacity: int, patience: float) -> None:
        self.dropped = 0
        self._loop = loop
        self._capacity = capacity
        self._patience = patience
        self._messages: deque[RawMessage] = deque()
        self._arrived = asyncio.Event()
        self._wake_scheduled = False
        self._room = threading.Condition()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: RawMessage) -> None:
        """Take a message over; called on the broker client's thread."""
        if len(self._messages) >= self._capacity and not self._make_room(message):
            return
        self._messages.append(message)
        if not self._wake_scheduled:
            self._wake_scheduled = True
            self._loop.call_soon_threadsafe(self._wake)

    def _make_room(self, message: RawMessage) -> bool:
        if message.qos == 0:
            self.dropped += 1
            return False
        with self._room:
            # not longer than keep-alive allows; a message over capacity is still taken, never lost
            self._room.wait_for(lambda: len(self._messages) < self._capacity, timeout=self._patience)
        return True

    def _wake(self) -> None:
        self._wake_scheduled = False
        self._arrived.set()

    async def batches(self, *, size: int, within: float, stop: asyncio.Event) -> AsyncIterator[list[RawMessage]]:
        """Batches of at most `size` messages, each complete at most `within` seconds after its first message.

        Ends when `stop` is set, after a last batch with what had arrived by then.
        """
        while not stop.is_set():
            await self._wait_for_first(stop)
            if 0 < len(self._messages) < size and not stop.is_set():
                waited = time.time() - self._messages[0].received_at / 1e6
                await asyncio.sleep(min(max(0.0, within - waited), within))
            if self._messages:
                yield self._take(size)
        while self._messages:
            yield self._take(size)

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

    def _take(self, size: int) -> list[RawMessage]:
        count = min(size, len(self._messages))
        batch = [self._messages.popleft() for _ in range(count)]  # the other thread appends meanwhile
        with self._room:
            self._room.notify_all()
        return batch
