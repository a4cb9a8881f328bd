"""The way of a batch: understand, register what is new, assess, store, acknowledge.

Nothing is acknowledged before COMMIT. Messages that were put aside go the same way when somebody asks for their replay,
taking turns with what arrives.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from ingest import metrics, receipts
from ingest.assessing import Assessing
from ingest.books import Books
from ingest.inbox import Inbox
from ingest.memory import Memory
from ingest.message import RawMessage, Request
from ingest.rows import Rows
from ingest.settling import Also, Assessed, Settling, count_batch
from ingest.translate import Translator, Understood
from pulso.city.boundaries import ZoneFinder
from pulso.db.observations import ObservationColumns, ObservationStore
from pulso.db.receipts import ReceiptRepository
from pulso.db.rejected import QueuedMessage
from pulso.db.things import NewDatastream, ThingRepository
from pulso.errors import DecodeError, NotStorable, RejectReason, StorageError
from pulso.model import ZoneId, to_micros
from pulso.settings import IngestSettings

log = structlog.get_logger()

_SLICE = 100
"""Messages that are understood at a stretch, about 2 ms."""

BATCH_BYTES = 4 << 20
"""Bytes of payload in one batch; decoded they take up to thirty times as much."""

_COMES_AGAIN_WITHIN = timedelta(minutes=10)
_ASK_AGAIN = 30.0  # seconds between two requests on one topic

Result = TypeVar("Result")


class Broker(Protocol):
    """Tells the broker that messages are safe, and publishes what decoders ask for."""

    def acknowledge(self, messages: Sequence[RawMessage]) -> None:
        """Acknowledge `messages`."""
        ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a message, at most once; it may get lost."""
        ...


class _Read(NamedTuple):
    """A batch and what it was understood as; `epoch` counts what makes it stale."""

    settling: Settling
    understood: Understood
    epoch: int


class Pipeline:
    """Runs batches from the inbox to the database, in order; one may be read while the one before is being stored.

    `memory` is the one the translator learns into; `zones` finds the district of a position; `admit` says whether a
    thing that nobody knows counts at once.
    """

    zones: ZoneFinder

    def __init__(  # noqa: PLR0913 (the composition root hands over all its parts)
        self,
        *,
        inbox: Inbox,
        translator: Translator,
        memory: Memory,
        assessing: Assessing,
        things: ThingRepository,
        store: ObservationStore,
        first_receipts: ReceiptRepository,
        broker: Broker,
        books: Books,
        session_id: int,
        zones: ZoneFinder,
        admit: bool,
    ) -> None:
        self._inbox = inbox
        self._translator = translator
        self._memory = memory
        self._assessing = assessing
        self._things = things
        self._store = store
        self._receipts = first_receipts
        self._known_receipts: receipts.Receipts = {}
        self._receipts_of = 0  # the connection they were read for
        self._broker = broker
        self._books = books
        self._session_id = session_id
        self._admit = admit
        self._turn = asyncio.Lock()  # one batch is stored at a time: replays take turns with what arrives
        self._epoch = 0
        self._asked: dict[str, float] = {}
        self.zones = zones
        self.storing = True

    async def run(self, settings: IngestSettings, stop: asyncio.Event) -> None:
        """Take batches until `stop` is set and what had arrived by then is stored and acknowledged.

        A batch is read while the one before it is being stored: one is our work, the other the database's.
        """
        storing: asyncio.Future[None] = _done()
        batches = self._inbox.batches(
            size=settings.batch_messages, weight=BATCH_BYTES, within=settings.batch_within, stop=stop
        )
        try:
            async for batch in batches:
                began = time.perf_counter()
                metrics.RECEIVED.inc(len(batch))
                metrics.IN_FLIGHT.inc(len(batch))
                self._books.take(batch)
                if any(message.redelivered for message in batch):
                    await storing  # which may tell when they came first
                settling = Settling(await self._as_first_received(batch, stop), stop, booked=batch)
                read = await self._read(settling)
                await storing
                await self._turn.acquire()
                if read.epoch != self._epoch:
                    read = await self._read(settling)
                storing = asyncio.create_task(self._settle_and_pass_on(read, began), name="store")
            await storing
        finally:
            storing.cancel()

    @asynccontextmanager
    async def between_batches(self) -> AsyncIterator[None]:
        """No batch is being stored within: what batches are read with may change, and one that is read is read anew."""
        async with self._turn:
            try:
                yield
            finally:
                self._epoch += 1

    async def replay(self, queued: Sequence[QueuedMessage]) -> None:
        """Let messages that were put aside go the way of all others; what they come to is written beside them.

        Raises StorageError where the database does not take it: they are still queued then. It is not tried again here,
        because what arrives would have to wait.
        """
        batch = [
            RawMessage(
                each.topic,
                each.payload,
                to_micros(each.received_at),
                qos=0,
                content_type=each.content_type,
                retained=each.retained,
            )
            for each in queued
        ]
        async with self._turn:
            await self._settle(await self._read(Settling(batch, None, queued)))

    async def _as_first_received(self, batch: Sequence[RawMessage], stop: asyncio.Event) -> Sequence[RawMessage]:
        """The batch; messages that are delivered again have the time at which they came first.

        What was stored before a connection began is read once for it: no later message can have come before.
        """
        again = [message.connection for message in batch if message.redelivered]
        if not again:
            return batch
        if max(again) > self._receipts_of:
            recent = await self._until_stored(lambda: self._receipts.recent(_COMES_AGAIN_WITHIN), stop)
            self._known_receipts, self._receipts_of = receipts.decode(recent), max(again)
        return receipts.as_first_received(batch, self._known_receipts)

    async def _read(self, settling: Settling) -> _Read:
        """Understand a batch, a slice at a time: between two of them the loop serves the batch that is being stored.

        What has become stale on the way is not gone on with: its reader looks at the epoch.
        """
        understood, epoch = Understood(), self._epoch
        for first in range(0, len(settling.batch), _SLICE):
            some = settling.batch[first : first + _SLICE]
            with metrics.stage("understand"):
                self._translator.understand(some, understood, first=first, replayed=bool(settling.replayed))
            await asyncio.sleep(0)
            if epoch != self._epoch:
                break
        return _Read(settling, understood, epoch)

    async def _settle_and_pass_on(self, read: _Read, began: float) -> None:
        """Settle a batch whose turn it is, and end its turn."""
        try:
            await self._settle(read)
        finally:
            self._turn.release()
        metrics.BATCH_SECONDS.observe(time.perf_counter() - began)
        metrics.IN_FLIGHT.dec(len(read.settling.batch))

    async def _settle(self, read: _Read) -> None:
        """Settle a batch; where the database refuses the data, in halves, down to the message that is at fault."""
        settling = read.settling
        try:
            await self._finish(settling, read.understood)
        except StorageError as error:
            self._memory.roll_back()  # it will be learned again
            self._epoch += 1
            if not isinstance(error, NotStorable):
                raise
            log.warning("batch_refused", messages=len(settling.batch), error=str(error))
            if len(settling.batch) == 1:
                await self._put_aside(settling, error)
                return
            for half in settling.halves():
                await self._settle(await self._read(half))

    async def _put_aside(self, settling: Settling, error: NotStorable) -> None:
        """Keep one message that passed every check and is refused all the same."""
        refused = Understood()
        reason = DecodeError(RejectReason.NOT_STORABLE, str(error))
        refused.rejected[0] = self._translator.reject(settling.batch[0], reason)
        await self._finish(settling, refused, is_last_resort=True)

    async def _finish(self, settling: Settling, understood: Understood, *, is_last_resort: bool = False) -> None:
        """Register, assess, store, acknowledge.

        `is_last_resort`: what is refused even so is not the fault of the message, and is tried again like any failure.
        """
        if understood.described or understood.waiting:
            with metrics.stage("register"):
                await self._until_stored(lambda: self._register(understood), settling.stop)
                self._translator.resolve(settling.batch, understood)
        with metrics.stage("assess"):
            columns = self._assess(settling, understood.rows)
        kept = [] if settling.replayed else list(understood.rejected.values())
        timeless = b"" if settling.replayed else receipts.encode(settling.batch, columns, understood.rows.message)
        also = Also(
            settling,
            understood,
            timeless=timeless,
            redacted=self._translator.bytes_to_keep,
            books=self._books,
            session_id=self._session_id,
        )

        async def store() -> NDArray[np.int8]:
            try:
                return await self._store.store(columns, kept, also)
            except NotStorable as error:
                if is_last_resort:
                    raise StorageError(f"refused even as a rejected message: {error}") from error
                raise

        try:
            with metrics.stage("store"):
                outcomes = await self._until_stored(store, settling.stop)
        except StorageError:
            also.undo()
            raise
        self._memory.commit(understood.learned)
        if settling.replayed:
            metrics.REPLAYED.inc(len(settling.batch))
        else:
            self._books.written()
            with metrics.stage("acknowledge"):
                self._broker.acknowledge(settling.batch)
        metrics.LAST_COMMIT.set(time.time())
        self._ask(understood.requests)
        count_batch(settling, understood, also.settled, columns, outcomes)

    def _assess(self, settling: Settling, rows: Rows) -> ObservationColumns:
        """The rows as columns with their quality, which is found once for a batch, however often it is tried."""
        columns, known = rows.columns(), settling.assessed
        if known is not None and len(known.quality) == len(columns):
            return replace(columns, quality=known.quality, flags=known.flags)
        columns = self._assessing.assess(columns, live=not settling.replayed)
        settling.assessed = Assessed(columns.quality, columns.flags, np.array(rows.message, np.int64))
        return columns

    async def _register(self, understood: Understood) -> None:
        if understood.described:
            descriptions = [each for described in understood.described.values() for each in described]
            places = {
                each.external_id: self.zones.zone_at(each.latitude, each.longitude)
                for each in descriptions
                if each.latitude is not None and each.longitude is not None
            }
            self._translator.meet(await self._things.describe(descriptions, places=places, admit=self._admit))
        unknown = self._translator.still_unknown(understood.unknown)
        if unknown:
            placed = {key: self._placed(new) for key, new in unknown.items()}
            registered = await self._things.ensure_datastreams(placed, admit=self._admit)
            self._translator.learn(registered)
            self._assessing.meet(registered)

    def _placed(self, new: NewDatastream) -> NewDatastream:
        """With the district its position lies in, unless it was told."""
        if new.zone_id is not None or new.position is None:
            return new
        zone_id = self.zones.zone_at(*new.position)
        return new if zone_id is None else replace(new, zone_id=ZoneId(zone_id))

    def _ask(self, requests: Iterable[Request]) -> None:
        """Publish what decoders ask for, the same not again and again."""
        now = time.monotonic()
        for request in requests:
            if now - self._asked.get(request.topic, -_ASK_AGAIN) >= _ASK_AGAIN:
                self._asked[request.topic] = now
                self._broker.publish(request.topic, request.payload)
        if len(self._asked) > 10_000:
            self._asked = {topic: at for topic, at in self._asked.items() if now - at < _ASK_AGAIN}

    async def _until_stored(self, write: Callable[[], Awaitable[Result]], stop: asyncio.Event | None) -> Result:
        """Try until the database takes it, with a jittered back-off; the broker keeps what is not acknowledged.

        Raises NotStorable where trying again would not help, another StorageError only when we are told to stop
        meanwhile. Without `stop` it is tried once.
        """
        delay = 0.1
        while True:
            try:
                result = await write()
            except NotStorable:
                raise
            except StorageError as error:
                if stop is None:
                    raise
                self.storing = False
                metrics.STORE_FAILURES.inc()
                log.warning("store_failed", error=str(error), retry_in=round(delay, 2))
                if stop.is_set():
                    raise
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), delay * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
                delay = min(delay * 2, 5.0)
            else:
                self.storing = True
                return result


def _done() -> asyncio.Future[None]:
    """Something that is over."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
