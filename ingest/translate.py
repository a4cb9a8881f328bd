"""From raw messages to columns: decode, judge each observation, find its datastream. Pure but for its caches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from ingest.decoders import decoders, find_decoder
from ingest.message import Decoded, DecodedObservation, Decoder, RawMessage
from pulso.db.observations import NO_TIME, ObservationColumns, RejectedMessage
from pulso.db.things import DatastreamKey
from pulso.errors import DecodeError, RejectReason
from pulso.model import DatastreamId, Family, Quality, ThingDescription, ZoneId, from_micros, to_micros
from pulso.units import canonical_units

EARLIEST = to_micros(datetime(2000, 1, 1, tzinfo=UTC))


class Stream(NamedTuple):
    """Where a result goes."""

    datastream_id: DatastreamId
    unit: str


class Row(NamedTuple):
    """One observation ready to store. Times in microseconds since 1970 UTC."""

    datastream_id: int
    phenomenon_time: int
    result: float
    received_at: int
    result_time: int
    message: int


@dataclass(slots=True)
class Understood:
    """What a batch of messages comes to: `rows` and `rejected`, and what has to be registered first.

    `waiting` are decoded messages that name a datastream not known yet, by their place in the batch.
    """

    rows: list[Row] = field(default_factory=list)
    rejected: dict[int, RejectedMessage] = field(default_factory=dict)
    described: dict[int, ThingDescription] = field(default_factory=dict)
    waiting: dict[int, Decoded] = field(default_factory=dict)
    unknown: dict[DatastreamKey, tuple[Family, str]] = field(default_factory=dict)


class Translator:
    """Decodes messages and remembers where their results go.

    `max_ahead` is the largest lead of a phenomenon time over the time of receipt, in seconds.
    """

    def __init__(self, zones: frozenset[ZoneId], *, max_ahead: float) -> None:
        self._zones = zones
        self._max_ahead = round(max_ahead * 1e6)
        self._decoder_of: dict[str, tuple[str, Decoder]] = {}
        self._streams: dict[tuple[str, str], Stream] = {}

    def understand(self, batch: Sequence[RawMessage]) -> Understood:
        """Decode a batch. A message with any fault is rejected whole; the others are not touched by it."""
        understood = Understood()
        for place, message in enumerate(batch):
            name = None
            try:
                name, decode = self._decoder(message.topic)
                decoded = decode(message.topic, message.payload)
                self._judge(place, message, decoded, understood)
            except DecodeError as error:
                understood.rejected[place] = _rejected(message, error, name)
        return understood

    def learn(self, streams: Mapping[DatastreamKey, tuple[DatastreamId, str]]) -> None:
        """Remember datastreams that were looked up or made."""
        for key, (datastream_id, unit) in streams.items():
            self._streams[key.external_id, key.observed_property] = Stream(datastream_id, unit)

    def forget(self) -> None:
        """Look every datastream up again; for a database that was replaced under us."""
        self._streams.clear()

    def resolve(self, batch: Sequence[RawMessage], understood: Understood) -> None:
        """Turn waiting messages into rows, after `learn` was told of all `unknown` datastreams."""
        waiting, understood.waiting = understood.waiting, {}
        for place, decoded in waiting.items():
            try:
                understood.rows += self._rows(place, batch[place], decoded)
            except DecodeError as error:
                understood.rejected[place] = _rejected(batch[place], error, self._decoder(batch[place].topic)[0])

    def _decoder(self, topic: str) -> tuple[str, Decoder]:
        known = self._decoder_of.get(topic)
        if known is None:
            name = find_decoder(topic)
            known = name, decoders[name]
            if len(self._decoder_of) >= 200_000:  # a flood of made-up topics must not fill the memory
                self._decoder_of.clear()
            self._decoder_of[topic] = known
        return known

    def _judge(self, place: int, message: RawMessage, decoded: Decoded, understood: Understood) -> None:
        if decoded.description is not None:
            self._check_zone(decoded.description)
            understood.described[place] = decoded.description
        for observation in decoded.observations:
            self._check_time(observation, message.received_at)
        unknown = self._unknown_streams(decoded)
        if unknown:
            understood.unknown.update(unknown)
            understood.waiting[place] = decoded
        else:
            understood.rows += self._rows(place, message, decoded)

    def _check_zone(self, description: ThingDescription) -> None:
        if description.zone_id is not None and description.zone_id not in self._zones:
            raise DecodeError(RejectReason.UNKNOWN_ZONE, f"the city pack has no zone {description.zone_id!r}")

    def _check_time(self, observation: DecodedObservation, received_at: int) -> None:
        at = observation.phenomenon_time
        if at is None:
            return
        if at > received_at + self._max_ahead:
            lead = (at - received_at) / 1e6
            raise DecodeError(RejectReason.FUTURE_TIMESTAMP, f"phenomenon time is {lead:.0f} s ahead of receipt")
        if at < EARLIEST:
            raise DecodeError(RejectReason.IMPOSSIBLE_TIMESTAMP, f"phenomenon time {from_micros(at)} is before 2000")

    def _unknown_streams(self, decoded: Decoded) -> dict[DatastreamKey, tuple[Family, str]]:
        return {
            DatastreamKey(decoded.external_id, observation.observed_property): (
                decoded.family,
                _admitted_unit(observation),
            )
            for observation in decoded.observations
            if (decoded.external_id, observation.observed_property) not in self._streams
        }

    def _rows(self, place: int, message: RawMessage, decoded: Decoded) -> list[Row]:
        rows = []
        for name, result, unit, phenomenon_time, result_time in decoded.observations:
            stream = self._streams[decoded.external_id, name]
            if unit is not None and unit != stream.unit:
                raise DecodeError(
                    RejectReason.UNIT_MISMATCH,
                    f"{name} of {decoded.external_id} is kept in {stream.unit}, not {unit}",
                )
            rows.append(
                Row(
                    stream.datastream_id,
                    message.received_at if phenomenon_time is None else phenomenon_time,
                    result,
                    message.received_at,
                    NO_TIME if result_time is None else result_time,
                    place,
                )
            )
        return rows


def _admitted_unit(observation: DecodedObservation) -> str:
    """The unit a new datastream gets. Raises DecodeError for an unknown property or a unit it is not kept in."""
    admitted = canonical_units(observation.observed_property)
    if admitted is None:
        raise DecodeError(RejectReason.UNKNOWN_PROPERTY, f"no observed property {observation.observed_property!r}")
    unit = observation.unit or admitted[0]
    if unit not in admitted:
        raise DecodeError(
            RejectReason.UNIT_MISMATCH,
            f"{observation.observed_property} is kept in {' or '.join(admitted)}, not {unit}",
        )
    return unit


def _rejected(message: RawMessage, error: DecodeError, decoder: str | None) -> RejectedMessage:
    return RejectedMessage(
        received_at=from_micros(message.received_at),
        topic=message.topic.replace("\x00", "\\x00"),  # PostgreSQL's text cannot hold it
        payload=message.payload,
        reason=error.reason,
        detail=error.detail.replace("\x00", "\\x00"),
        decoder=decoder,
        fingerprint=message.fingerprint(),
        redelivered=message.redelivered,
    )


def columns_of(rows: Sequence[Row]) -> ObservationColumns:
    """Rows as columns; ingest of this release evaluates no quality."""
    ids, phenomenon_times, results, received, result_times, _ = zip(*rows, strict=True) if rows else [()] * 6
    return ObservationColumns(
        np.array(ids, np.int32),
        np.array(phenomenon_times, np.int64),
        np.array(results, np.float64),
        np.full(len(rows), Quality.NOT_EVALUATED, np.int16),
        np.array(received, np.int64),
        np.array(result_times, np.int64),
    )
