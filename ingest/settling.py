"""A batch on its way: what it was received as, what is written with its observations, and what it came to."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest import metrics
from ingest.books import Books, Settled
from ingest.message import RawMessage
from ingest.translate import Understood
from pulso.db import ledger, rejected
from pulso.db import memory as kept_memory
from pulso.db import receipts as kept_receipts
from pulso.db.observations import ObservationColumns, Outcome, Write
from pulso.db.rejected import QueuedMessage, Settlement


class Assessed(NamedTuple):
    """Quality and flags of the rows of a batch, each with the place of its message, ascending."""

    quality: NDArray[np.int16]
    flags: NDArray[np.int16]
    message: NDArray[np.int64]

    def part(self, first: int, end: int) -> "Assessed":
        """Of the messages from `first` up to `end`."""
        rows = slice(*np.searchsorted(self.message, (first, end)).tolist())
        return Assessed(self.quality[rows], self.flags[rows], self.message[rows] - first)


@dataclass(slots=True)
class Settling:
    """A batch as it is read. `replayed` are the same messages, if they are a replay.

    `booked` are the same messages, too, as they were received: one that is delivered again is read with the time at
    which it came first, and booked as what came now.
    `stop` is None where a failure is the caller's: nothing is tried again. `assessed` is what was found of a batch that
    was then refused: an assessment depends on what came before, so a second one would find the first.
    """

    batch: Sequence[RawMessage]
    stop: asyncio.Event | None
    replayed: Sequence[QueuedMessage] = ()
    booked: Sequence[RawMessage] = ()
    assessed: Assessed | None = None

    def halves(self) -> "tuple[Settling, Settling]":
        """The messages before and after the middle."""
        middle, end = len(self.batch) // 2, len(self.batch)
        return self._part(0, middle), self._part(middle, end)

    def _part(self, first: int, end: int) -> "Settling":
        return Settling(
            self.batch[first:end],
            self.stop,
            self.replayed[first:end],
            self.booked[first:end],
            None if self.assessed is None else self.assessed.part(first, end),
        )


class Also:
    """What is written in the transaction of a batch beside its observations. `settled` is what it was booked as.

    `timeless` are receipts to keep; `redacted` gives the bytes of a message as they may be kept.

    Called again where the transaction has to be tried again, and says the same then.
    """

    def __init__(  # noqa: PLR0913 (each is another thing to write)
        self,
        settling: Settling,
        understood: Understood,
        *,
        timeless: bytes,
        redacted: Callable[[RawMessage], bytes],
        books: Books,
        session_id: int,
    ) -> None:
        self._settling = settling
        self._understood = understood
        self._timeless = timeless
        self._redacted = redacted
        self._books = books
        self._session_id = session_id
        self.settled: dict[int, Settled] = {}
        self._booked = False

    def undo(self) -> None:
        """Take the bookings back: the transaction was not committed."""
        if self._booked:
            self._books.settle(self._settling.booked, self.settled, by=-1)
            self._booked = False

    def __call__(self, outcomes: NDArray[np.int8]) -> Iterable[Write]:
        """What to write, once the `Outcome` of each row is known."""
        learned = self._understood.learned
        if learned:
            yield lambda cursor: kept_memory.save(cursor, learned)
        self.undo()
        self.settled = _settled(self._understood, outcomes)
        if self._settling.replayed:
            settlements = list(self._settlements())
            yield lambda cursor: rejected.settle(cursor, settlements)
            return
        self._books.settle(self._settling.booked, self.settled)
        self._booked = True
        if self._timeless:
            yield lambda cursor: kept_receipts.save(cursor, self._timeless)
        pages = self._books.pages()
        yield lambda cursor: ledger.flush(cursor, self._session_id, pages)

    def _settlements(self) -> Iterable[Settlement]:
        for place, message in enumerate(self._settling.replayed):
            failed = self._understood.rejected.get(place)
            if failed is None:
                kept = self._redacted(self._settling.batch[place])
                yield Settlement(message.rejected_id, understood=place in self.settled, payload=kept)
            else:
                yield Settlement(
                    message.rejected_id,
                    understood=False,
                    reason=failed.reason,
                    detail=failed.detail,
                    decoder=failed.decoder,
                    external_id=failed.external_id,
                    payload=failed.payload,
                )


def _settled(understood: Understood, outcomes: NDArray[np.int8]) -> dict[int, Settled]:
    """What each message came to; one that is not in here got lost between decoding and storing."""
    settled = dict.fromkeys(understood.ignored, Settled.IGNORED)
    settled |= dict.fromkeys(understood.rejected, Settled.REJECTED)
    places = np.array(understood.rows.message, np.int64)
    settled |= dict.fromkeys(np.unique(places).tolist(), Settled.DUPLICATE)
    settled |= dict.fromkeys(np.unique(places[outcomes != Outcome.DUPLICATE]).tolist(), Settled.STORED)
    return settled | dict.fromkeys(understood.described, Settled.STORED)


def count_batch(
    settling: Settling,
    understood: Understood,
    settled: dict[int, Settled],
    columns: ObservationColumns,
    outcomes: NDArray[np.int8],
) -> None:
    """Count the batch: each message once, each observation once."""
    if not settling.replayed:
        for outcome, count in Counter(settled.values()).items():
            metrics.SETTLED.labels(outcome.value).inc(count)
        metrics.UNACCOUNTED.inc(len(settling.batch) - len(settled))
    for reason, count in Counter(message.reason for message in understood.rejected.values()).items():
        metrics.REJECTED.labels(reason).inc(count)
    for each, count in zip(Outcome, np.bincount(outcomes, minlength=len(Outcome)).tolist(), strict=True):
        metrics.OBSERVATIONS.labels(each.name.lower()).inc(count)
    metrics.count_quality(columns)
