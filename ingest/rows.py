"""Observations on their way to the table: lists that grow together, then columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ingest.message import DecodedObservation
from pulso.db.observations import NO_TIME, ObservationColumns
from pulso.model import DatastreamId, Quality


@dataclass(slots=True)
class Rows:
    """Observations ready to store, as lists that grow together. Times in microseconds since 1970 UTC.

    `message` is the place of the message in its batch. Lists, because an append costs a fraction of an object. `sent`
    holds what stood in the message for the few rows that were converted: (value, unit) by row.
    """

    datastream_id: list[int] = field(default_factory=list)
    phenomenon_time: list[int] = field(default_factory=list)
    result: list[float] = field(default_factory=list)
    received_at: list[int] = field(default_factory=list)
    result_time: list[int] = field(default_factory=list)
    message: list[int] = field(default_factory=list)
    sent: dict[int, tuple[float, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.datastream_id)

    def add(
        self,
        datastream_ids: Sequence[DatastreamId],
        observations: Sequence[DecodedObservation],
        received_at: int,
        place: int,
    ) -> None:
        """Append observations of the message at `place`, each with its datastream."""
        phenomenon_times, results, result_times = self.phenomenon_time, self.result, self.result_time
        for _, result, _, phenomenon_time, result_time, sent_result, sent_unit in observations:
            if sent_unit is not None and sent_result is not None:
                self.sent[len(results)] = sent_result, sent_unit
            results.append(result)
            phenomenon_times.append(received_at if phenomenon_time is None else phenomenon_time)
            result_times.append(NO_TIME if result_time is None else result_time)
        self.datastream_id += datastream_ids
        self.received_at += [received_at] * len(datastream_ids)
        self.message += [place] * len(datastream_ids)

    def sort(self) -> None:
        """Bring rows that were added out of turn into the order of their messages: the later of two results counts."""
        order = sorted(range(len(self)), key=self.message.__getitem__)
        moved_to = {old: new for new, old in enumerate(order)}
        self.sent = {moved_to[row]: sent for row, sent in self.sent.items()}
        for name in ("datastream_id", "phenomenon_time", "result", "received_at", "result_time", "message"):
            column = getattr(self, name)
            column[:] = [column[row] for row in order]

    def columns(self) -> ObservationColumns:
        """The rows as columns, not assessed yet."""
        count = len(self)
        return ObservationColumns(
            datastream_id=np.array(self.datastream_id, np.int32),
            phenomenon_time=np.array(self.phenomenon_time, np.int64),
            result=np.array(self.result, np.float64),
            quality=np.full(count, Quality.NOT_EVALUATED, np.int16),
            received_at=np.array(self.received_at, np.int64),
            result_time=np.array(self.result_time, np.int64),
            flags=np.zeros(count, np.int16),
            sent=self.sent,
        )
