"""The way of a batch: understand, register what is new, store, acknowledge. Nothing is acknowledged before COMMIT."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from ingest import metrics
from ingest.inbox import Inbox
from ingest.message import RawMessage
from ingest.translate import Translator, Understood
from pulso.db.observations import ObservationStore, Outcome
from pulso.db.things import ThingRepository
from pulso.errors import DecodeError, NotStorable, RejectReason, StorageError
from pulso.settings import IngestSettings

log = structlog.get_logger()

_BATCH_BYTES = 4 << 20  # of payload; decoded it takes up to thirty times as much

Result = TypeVar("Result")


class Acknowledger(Protocol):
    """Tells the broker that messages are safe."""

    def acknowledge(self, messages: Sequence[RawMessage]) -> None:
        """Acknowledge `messages`."""
        ...


class Pipeline:
    """Runs batches from the inbox to the database, one after the other."""

    def __init__(
        self,
        inbox: Inbox,
        translator: Translator,
        things: ThingRepository,
        store: ObservationStore,
        broker: Acknowledger,
    ) -> None:
        self._inbox = inbox
        self._translator = translator
        self._things = things
        self._store = store
        self._broker = broker
        self.storing = True

    async def run(self, settings: IngestSettings, stop: asyncio.Event) -> None:
        """Take batches until `stop` is set and what had arrived by then is stored and acknowledged."""
        batches = self._inbox.batches(
            size=settings.batch_messages, weight=_BATCH_BYTES, within=settings.batch_within, stop=stop
        )
        async for batch in batches:
            metrics.RECEIVED.inc(len(batch))
            metrics.IN_FLIGHT.inc(len(batch))
            with metrics.BATCH_SECONDS.time():
                await self._settle(batch, stop)
            metrics.IN_FLIGHT.dec(len(batch))

    async def _settle(self, batch: Sequence[RawMessage], stop: asyncio.Event) -> None:
        """Settle a batch; where the database refuses the data, in halves, down to the message that is at fault."""
        try:
            await self._settle_together(batch, stop)
        except NotStorable as error:
            log.warning("batch_refused", messages=len(batch), error=str(error))
            if len(batch) == 1:
                await self._put_aside(batch[0], error, stop)
                return
            middle = len(batch) // 2
            await self._settle(batch[:middle], stop)
            await self._settle(batch[middle:], stop)

    async def _settle_together(self, batch: Sequence[RawMessage], stop: asyncio.Event) -> None:
        understood = self._translator.understand(batch)
        if understood.described or understood.waiting:
            await self._until_stored(lambda: self._register(understood), stop)
            self._translator.resolve(batch, understood)
        rejected = list(understood.rejected.values())
        columns = understood.rows.columns()
        outcomes = await self._until_stored(lambda: self._store.store(columns, rejected), stop)
        self._broker.acknowledge(batch)
        metrics.LAST_COMMIT.set(time.time())
        _count(batch, understood, outcomes)

    async def _put_aside(self, message: RawMessage, error: NotStorable, stop: asyncio.Event) -> None:
        """Keep one message that passed every check and is refused all the same."""
        refused = Understood()
        refused.rejected[0] = self._translator.reject(message, DecodeError(RejectReason.NOT_STORABLE, str(error)))
        outcomes = await self._until_stored(
            lambda: self._store.store(refused.rows.columns(), list(refused.rejected.values())), stop
        )
        self._broker.acknowledge([message])
        _count([message], refused, outcomes)

    async def _register(self, understood: Understood) -> None:
        if understood.described:
            self._translator.meet(await self._things.describe(list(understood.described.values())))
        if understood.unknown:
            self._translator.learn(await self._things.ensure_datastreams(understood.unknown))

    async def _until_stored(self, write: Callable[[], Awaitable[Result]], stop: asyncio.Event) -> Result:
        """Try until the database takes it, with a jittered back-off; the broker keeps what is not acknowledged.

        Raises NotStorable where trying again would not help, another StorageError only when we are told to stop
        meanwhile.
        """
        delay = 0.1
        while True:
            try:
                result = await write()
            except NotStorable:
                raise
            except StorageError as error:
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


def _count(batch: Sequence[RawMessage], understood: Understood, outcomes: NDArray[np.int8]) -> None:
    """Book the batch: each message once, each observation once."""
    places = zip(understood.rows.message, outcomes.tolist(), strict=True)
    changed = {place for place, outcome in places if outcome != Outcome.DUPLICATE}
    stored = len(changed | understood.described.keys())
    rejected = len(understood.rejected)
    metrics.SETTLED.labels("stored").inc(stored)
    metrics.SETTLED.labels("rejected").inc(rejected)
    metrics.SETTLED.labels("duplicate").inc(len(batch) - stored - rejected)
    for reason, count in Counter(message.reason for message in understood.rejected.values()).items():
        metrics.REJECTED.labels(reason).inc(count)
    for outcome, count in zip(Outcome, np.bincount(outcomes, minlength=len(Outcome)).tolist(), strict=True):
        metrics.OBSERVATIONS.labels(outcome.name.lower()).inc(count)
