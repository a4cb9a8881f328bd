"""When messages without a time of their own were first received.

Their time of receipt stands for the time of the measurement, so a message that the broker delivers again after a crash
between COMMIT and PUBACK has to keep the first one: else it would be stored twice.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np

from ingest.message import RawMessage
from pulso.db.observations import ObservationColumns

_RECEIPT = struct.Struct(">8sq")  # beginning of the fingerprint, microseconds since 1970 UTC

Receipts = dict[bytes, int]


def encode(batch: Sequence[RawMessage], columns: ObservationColumns, places: Sequence[int]) -> bytes:
    """The receipts of those messages of a batch that may come again and from which an observation took its time.

    `places` are the places in the batch of the messages that the rows of `columns` come from.
    """
    timeless = {places[row] for row in np.flatnonzero(columns.phenomenon_time == columns.received_at).tolist()}
    return b"".join(
        _RECEIPT.pack(batch[place].fingerprint()[:8], batch[place].received_at)
        for place in sorted(timeless)
        if batch[place].qos
    )


def decode(receipts: Iterable[bytes]) -> Receipts:
    """Time of receipt by the beginning of the fingerprint; of what `encode` made, oldest first, the last one stands."""
    return {fingerprint: at for encoded in receipts for fingerprint, at in _RECEIPT.iter_unpack(encoded)}


def as_first_received(batch: Sequence[RawMessage], known: Receipts) -> list[RawMessage]:
    """The batch, in which messages that are delivered again have the time at which they came first, if it is known."""
    return [
        message._replace(received_at=known.get(message.fingerprint()[:8], message.received_at))
        if message.redelivered
        else message
        for message in batch
    ]
